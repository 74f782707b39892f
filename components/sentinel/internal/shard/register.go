package shard

import (
	"context"
	"errors"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const registerTimeout = 4 * time.Second // of one call

// Registrar is where a shard says that it publishes its part of the fleet, and
// sees how all of them divide it.
type Registrar interface {
	HoldShard(ctx context.Context, name string, in fleet.NewShard) (fleet.Shard, error)
	ReleaseShard(ctx context.Context, name, holder string) error
	Coverage(ctx context.Context, typ fleet.ResourceType) (fleet.Coverage, error)
}

// register renews the registration until ctx ends, at the interval of polls but
// beside them: a long poll must not let it expire. A shard that is refused
// works on. A call under way goes on until last ends: the API might otherwise
// store it after the release.
func (s *Shard) register(ctx, last context.Context) {
	told := "nothing"
	for {
		call, cancel := context.WithTimeout(last, registerTimeout)
		_, err := s.Registrar.HoldShard(call, s.Name, fleet.NewShard{
			Holder: s.Holder, ResourceType: s.Type, Selector: s.Selector, BackoffNotReady: s.Backoff.NotReady.String(),
			BackoffReady: s.Backoff.Ready.String(), PollInterval: s.PollInterval.String(),
		})
		cancel()
		s.Metrics.held.Store(err == nil)
		s.state.note(func(st *state) { st.held = err })
		told = s.tellRegistered(told, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.wait(err)):
		}
	}
}

// tellRegistered logs what changed since what was told before. The code alone
// is compared: a refusal says anew each time until when the other holder is live.
func (s *Shard) tellRegistered(before string, err error) string {
	now := ""
	if err != nil {
		now = "not registered: " + string(fleet.ErrorCode(err))
	}
	switch {
	case now == before:
	case err != nil:
		s.Log.Warn("the shard is not registered, and works on", "condition", "Registered=False", "holder", s.Holder, "err", err)
	default:
		s.Log.Info("the shard is registered", "condition", "Registered=True", "holder", s.Holder)
	}
	return now
}

// release gives the registration back, so that who comes next need not wait
// for its end.
func (s *Shard) release(last context.Context) {
	s.Metrics.held.Store(false)
	call, cancel := context.WithTimeout(last, registerTimeout)
	defer cancel()
	err := s.Registrar.ReleaseShard(call, s.Name, s.Holder)
	code := fleet.ErrorCode(err)
	if err != nil && code != fleet.NotFound && code != fleet.ShardHeld && !errors.Is(err, context.Canceled) {
		s.Log.Warn("the shard's registration is not released; it ends by itself", "holder", s.Holder, "err", err)
	}
}
