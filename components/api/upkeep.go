package api

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How often the upkeep runs, and how soon again where it did not succeed.
const (
	upkeepEvery = time.Hour
	upkeepAgain = time.Minute
)

// keeper is what the upkeep asks the store.
type keeper interface {
	Upkeep(ctx context.Context, retention time.Duration) (ahead map[string]int64, err error)
}

// upkeep makes and drops partitions and removes old tombstones. Every replica
// does it: the database lets one at a time.
type upkeep struct {
	store     keeper
	retention time.Duration
	log       *slog.Logger
	ahead     *prometheus.GaugeVec
}

func newUpkeep(r prometheus.Registerer, store keeper, retention time.Duration, log *slog.Logger) (*upkeep, error) {
	u := &upkeep{store: store, retention: retention, log: log, ahead: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "hyperfleet_api_partitions_ahead",
		Help: "Partitions of a table that lie wholly in the future, as of the last upkeep; fewer than 2 need a look.",
	}, []string{"table"})}
	if err := r.Register(u.ahead); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return u, nil
}

// run works until ctx ends.
func (u *upkeep) run(ctx context.Context) error {
	for {
		next := time.NewTimer(u.once(ctx))
		select {
		case <-ctx.Done():
			next.Stop()
			return nil
		case <-next.C:
		}
	}
}

// once says after how long the next upkeep should run.
func (u *upkeep) once(ctx context.Context) time.Duration {
	ahead, err := u.store.Upkeep(ctx, u.retention)
	for table, n := range ahead {
		u.ahead.WithLabelValues(table).Set(float64(n))
	}
	if err != nil && ctx.Err() == nil {
		u.log.WarnContext(ctx, "upkeep", "err", err)
		return upkeepAgain
	}
	return upkeepEvery
}
