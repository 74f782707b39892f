package shard

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/broker/reconcile"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// firstRetry is about how long an event that failed once waits; then twice that.
const firstRetry = 200 * time.Millisecond

// publish publishes the event of one due item, and tries again under the same
// event id while decide lets it.
func (p *poll) publish(d due) {
	out := false
	defer func() {
		if !out {
			p.memory.failed(d.ID)
		}
	}()
	verdict := p.judge(d.DueItem, 0, nil)
	ce, err := reconcile.Event("sentinel-operator/"+p.Name, fleet.ReconcileEvent{
		ResourceType: p.Type, ResourceID: d.ID, Reason: verdict.Reason, Generation: d.Generation}, d.asOf)
	if err != nil {
		p.Metrics.publishErrors.Inc()
		p.Log.Error("event not made", "cluster", d.ID, "err", err)
		return
	}
	for failures := 0; verdict.Action == decide.Publish; verdict = p.judge(d.DueItem, failures, nil) {
		if failures > 0 && !p.again(firstRetry<<(failures-1)) {
			return
		}
		if err := p.send(ce); err != nil {
			failures++
			continue
		}
		out = true
		p.memory.confirm(d.DueItem, time.Now())
		p.confirmed.Add(1)
		if p.Log.Enabled(p.ctx, slog.LevelDebug) { // else its words alone would cost as much as the memory of it
			p.Log.Debug("published", "cluster", d.ID, "event", ce.ID(), "reason", verdict.Reason, "generation", d.Generation)
		}
		return
	}
	p.Log.Warn("event left to the next poll", "cluster", d.ID, "event", ce.ID(), "check", verdict.Check)
}

// send publishes once and counts how that went.
func (p *poll) send(ce event.Event) error {
	ctx, cancel := context.WithTimeout(p.publishing, publishTimeout)
	defer cancel()
	err := p.Publisher.Publish(ctx, ce)
	if err == nil {
		p.Metrics.eventsCreated.Inc()
		p.lost.worked()
		return nil
	}
	p.Metrics.publishErrors.Inc()
	p.lost.failed(anonymous{err, ce.ID()})
	p.Log.Debug("publish failed", "cluster", ce.Subject(), "event", ce.ID(), "err", err)
	return err
}

// again waits about d and says whether to try again: not when the poll is to
// stop, and not when the broker is away.
func (p *poll) again(d time.Duration) bool {
	select {
	case <-time.After(d/2 + rand.N(d)):
		return p.lost.err() == nil
	case <-p.ctx.Done():
		return false
	}
}

// manyFailures in a row mean that the broker is away, not that one event fails.
const manyFailures = 32

// broken tells an outage of the broker from events that fail alone.
type broken struct {
	mu    sync.Mutex
	row   int // failures since the last success
	ever  bool
	cause error
}

func (b *broken) worked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row, b.ever, b.cause = 0, true, nil
}

func (b *broken) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row++
	b.cause = err
}

// err says that the broker is away.
func (b *broken) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.row < manyFailures {
		return nil
	}
	return fmt.Errorf("publish: %d failures in a row, the last: %w", b.row, b.cause)
}

// atEnd says, after the last event, that none got through.
func (b *broken) atEnd() error {
	if err := b.err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ever || b.cause == nil {
		return nil
	}
	return fmt.Errorf("publish: no event got through, the last failure: %w", b.cause)
}

// anonymous leaves an event's id out of the text of its error, so that the same
// outage reads the same.
type anonymous struct {
	err error
	id  string
}

func (a anonymous) Error() string { return strings.ReplaceAll(a.err.Error(), a.id, "…") }

func (a anonymous) Unwrap() error { return a.err }
