package adapter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// countEvery is how often the dead letters are counted.
	countEvery = 30 * time.Second
	// countTimeout bounds one count.
	countTimeout = 10 * time.Second
)

// deadLetters watches the dead letters of one subscription.
type deadLetters struct {
	subscription string
	letters      broker.DeadLetters
	log          *slog.Logger

	mu    sync.Mutex
	stats broker.DeadLetterStats
}

// watchDeadLetters registers the metrics of a subscription's dead letters.
func watchDeadLetters(r prometheus.Registerer, adapter, subscription string, letters broker.DeadLetters, log *slog.Logger) (*deadLetters, error) {
	d := &deadLetters{subscription: subscription, letters: letters, log: log}
	r = prometheus.WrapRegistererWith(prometheus.Labels{"adapter": adapter, "subscription": subscription}, r)
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hyperfleet_adapter_dead_letters", Help: "Events that were given up and wait for somebody to look.",
		}, func() float64 { return float64(d.last().Count) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hyperfleet_adapter_dead_letters_oldest_age_seconds", Help: "Age of the oldest dead letter; 0 without any.",
		}, d.age),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the dead letters of %s: %w", subscription, err)
		}
	}
	return d, nil
}

func (d *deadLetters) last() broker.DeadLetterStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// total is what lies in the dead letters of all of an adapter's subscriptions.
func total(watched []*deadLetters) fleet.DeadLetters {
	var sum fleet.DeadLetters
	for _, d := range watched {
		stats := d.last()
		sum.Count += int64(stats.Count)
		if oldest := fleet.At(stats.Oldest); !stats.Oldest.IsZero() && (sum.Oldest == nil || oldest.Before(sum.Oldest.Time)) {
			sum.Oldest = &oldest
		}
	}
	return sum
}

func (d *deadLetters) age() float64 {
	if oldest := d.last().Oldest; !oldest.IsZero() {
		return time.Since(oldest).Seconds()
	}
	return 0
}

// run counts until ctx ends. While the broker is away the last count stands.
func (d *deadLetters) run(ctx context.Context) error {
	every := time.NewTicker(countEvery)
	defer every.Stop()
	for {
		d.count(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

func (d *deadLetters) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	stats, err := d.letters.Stats(ctx)
	if err != nil {
		// The broker's own checks and metrics say that it is away.
		d.log.Debug("dead letters not counted", "subscription", d.subscription, "err", err)
		return
	}
	d.mu.Lock()
	d.stats = stats
	d.mu.Unlock()
}
