package pubsub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sayAgain is how often the log repeats a problem that lasts.
const sayAgain = 30 * time.Second

// state is how one publisher or subscriber stands with the broker: in the log
// when that changes, in metrics, and for readiness.
type state struct {
	log                *slog.Logger
	connected, pending prometheus.Gauge
	failures           map[string]prometheus.Counter

	mu      sync.Mutex
	problem error
	said    time.Time // when the log had it
}

func (d *driver) newState(role, name string) *state {
	s := &state{
		log:       d.log.With("role", role, "name", name),
		connected: d.meters.connected.WithLabelValues(role, name),
		pending:   d.meters.pending.WithLabelValues(role, name),
		failures:  map[string]prometheus.Counter{},
	}
	for _, r := range []string{reasonUnreachable, reasonCredentials, reasonTopology, reasonLost} {
		s.failures[r] = d.meters.failures.WithLabelValues(role, name, r)
	}
	return s
}

// now is what is wrong, or nil.
func (s *state) now() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// saw records how a try ended. One that its caller gave up says nothing of the
// broker.
func (s *state) saw(ctx context.Context, err error) {
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	err = explain(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.problem
	s.problem = err
	if err == nil {
		s.connected.Set(1)
		if was != nil {
			s.log.Info("Pub/Sub can be worked with again")
		}
		return
	}
	s.connected.Set(0)
	s.failures[reasonOf(err)].Inc()
	if now := time.Now(); was == nil || reasonOf(was) != reasonOf(err) || now.Sub(s.said) > sayAgain {
		s.said = now
		s.log.Error("cannot work with Pub/Sub; trying again", "err", err)
	}
}
