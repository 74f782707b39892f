package adapter

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	// countEvery is how often the dead letters are counted, about.
	countEvery = 30 * time.Second
	// recentCounts is how many counts stand together: whoever looks at letters,
	// another replica's count included, may hide them from this one.
	recentCounts = 3
	// countTimeout bounds one count.
	countTimeout = 10 * time.Second
)

// deadLetters watches the dead letters of one subscription.
type deadLetters struct {
	subscription string
	letters      broker.DeadLetters
	log          *slog.Logger

	count *prometheus.Desc
	age   *prometheus.Desc

	mu      sync.Mutex
	recent  []broker.DeadLetterStats // at most recentCounts, the newest last
	problem bool                     // the last count failed
}

// watchDeadLetters registers the metrics of a subscription's dead letters.
func watchDeadLetters(r prometheus.Registerer, adapter, subscription string, letters broker.DeadLetters, log *slog.Logger) (*deadLetters, error) {
	labels := prometheus.Labels{"adapter": adapter, "subscription": subscription}
	d := &deadLetters{
		subscription: subscription, letters: letters, log: log,
		count: prometheus.NewDesc("hyperfleet_adapter_dead_letters",
			"Events that were given up and wait for somebody to look, at least: on gcp-pubsub at most 1,000 are counted; absent until they were counted.", nil, labels),
		age: prometheus.NewDesc("hyperfleet_adapter_dead_letters_oldest_age_seconds",
			"Age of the oldest dead letter; 0 without any, absent until they were counted.", nil, labels),
	}
	if err := r.Register(d); err != nil {
		return nil, fmt.Errorf("register metrics of the dead letters of %s: %w", subscription, err)
	}
	return d, nil
}

// Describe names the metrics.
func (d *deadLetters) Describe(to chan<- *prometheus.Desc) {
	to <- d.count
	to <- d.age
}

// Collect says nothing before the first count: no sample is not "none".
func (d *deadLetters) Collect(to chan<- prometheus.Metric) {
	stats, known := d.last()
	if !known {
		return
	}
	age := 0.0
	if !stats.Oldest.IsZero() {
		age = time.Since(stats.Oldest).Seconds()
	}
	to <- prometheus.MustNewConstMetric(d.count, prometheus.GaugeValue, float64(stats.Count))
	to <- prometheus.MustNewConstMetric(d.age, prometheus.GaugeValue, age)
}

// last is the largest of the recent counts, if there is any.
func (d *deadLetters) last() (stats broker.DeadLetterStats, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.recent {
		if s.Count >= stats.Count {
			stats = s
		}
	}
	return stats, len(d.recent) > 0
}

// total is what lies in the dead letters of all of an adapter's subscriptions,
// as far as they were counted.
func total(watched []*deadLetters) fleet.DeadLetters {
	var sum fleet.DeadLetters
	for _, d := range watched {
		stats, _ := d.last()
		sum.Count += int64(stats.Count)
		if oldest := fleet.At(stats.Oldest); !stats.Oldest.IsZero() && (sum.Oldest == nil || oldest.Before(sum.Oldest.Time)) {
			sum.Oldest = &oldest
		}
	}
	return sum
}

// run counts until ctx ends. While that fails the last counts stand.
func (d *deadLetters) run(ctx context.Context) error {
	for ctx.Err() == nil {
		d.look(ctx)
		select {
		case <-ctx.Done():
		// Replicas drift apart, so that they do not hide letters from each other each time.
		case <-time.After(countEvery*3/4 + rand.N(countEvery/2)):
		}
	}
	return nil
}

// look counts once. A failure is said once, until it is over.
func (d *deadLetters) look(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	stats, err := d.letters.Stats(call)
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && !d.problem:
		d.log.Warn("dead letters cannot be counted; the last count stands", "subscription", d.subscription, "err", err)
	case err == nil && d.problem:
		d.log.Info("dead letters are counted again", "subscription", d.subscription)
	}
	if d.problem = err != nil; d.problem {
		return
	}
	d.recent = append(d.recent, stats)
	d.recent = d.recent[max(0, len(d.recent)-recentCounts):]
}
