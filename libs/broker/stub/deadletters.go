package stub

import (
	"context"
	"slices"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// DeadLetters returns the dead letters of a subscription, which need not exist yet.
func (b *Broker) DeadLetters(subscription string) broker.DeadLetters {
	return &deadLetters{broker: b, subscription: subscription}
}

type deadLetters struct {
	broker       *Broker
	subscription string
}

// Review judges the letters that are there when it begins.
func (d *deadLetters) Review(ctx context.Context, judge func(broker.DeadLetter) broker.Verdict) (broker.Reviewed, error) {
	var (
		done    broker.Reviewed
		letters = d.take()
		kept    []*parcel
	)
	defer func() { d.giveBack(kept) }()
	for i, p := range letters {
		if err := ctx.Err(); err != nil {
			kept = append(kept, letters[i:]...)
			return done, err
		}
		switch judge(p.letter()) {
		case broker.Replay:
			d.broker.replay(p)
			done.Replayed++
		case broker.Purge:
			done.Purged++
		case broker.Stop:
			kept = append(kept, letters[i:]...)
			done.Kept++
			return done, nil
		default:
			kept = append(kept, p)
			done.Kept++
		}
	}
	return done, nil
}

// Stats counts.
func (d *deadLetters) Stats(context.Context) (broker.DeadLetterStats, error) {
	d.broker.mu.Lock()
	defer d.broker.mu.Unlock()
	s := d.broker.subscriptions[d.subscription]
	if s == nil || len(s.dead) == 0 {
		return broker.DeadLetterStats{}, nil
	}
	return broker.DeadLetterStats{Count: len(s.dead), Oldest: s.dead[0].last}, nil
}

// take takes the letters away, so that no two reviews judge one.
func (d *deadLetters) take() []*parcel {
	d.broker.mu.Lock()
	defer d.broker.mu.Unlock()
	s := d.broker.subscriptions[d.subscription]
	if s == nil {
		return nil
	}
	dead := s.dead
	s.dead = nil
	return dead
}

func (d *deadLetters) giveBack(letters []*parcel) {
	if len(letters) == 0 {
		return
	}
	d.broker.mu.Lock()
	defer d.broker.mu.Unlock()
	s := d.broker.subscriptions[d.subscription]
	s.dead = slices.Concat(letters, s.dead)
}

// letter is the parcel as people see it. A judge may do to its event what it likes.
func (p *parcel) letter() broker.DeadLetter {
	return broker.DeadLetter{Event: p.event.Clone(), Reason: p.reason, Deliveries: p.deliveries, First: p.first, Last: p.last}
}

// replay offers a dead parcel to its subscription as a new one. It is stored
// even if that is full: it was there already when it died.
func (b *Broker) replay(p *parcel) {
	fresh := &parcel{broker: b, subscription: p.subscription, event: p.event}
	b.mu.Lock()
	p.subscription.held++
	b.mu.Unlock()
	fresh.offer()
}
