package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

const (
	mostLetters  = 1000             // gathered and sorted at once
	lettersBytes = 64 << 20         // likewise
	emptyAfter   = 2 * time.Second  // a pull that brought nothing for so long: there is nothing
	reviewLease  = 10 * time.Minute // of letters under review; the most that Pub/Sub allows
)

// deadLetters are the messages of a subscription of the dead-letter topic. To
// look at them is to take them away for a while: Pub/Sub shows nobody a message
// that it has leased to another.
type deadLetters struct {
	driver  *driver
	plan    plan
	notices *notices
	most    int // letters gathered and sorted at once; mostLetters, or less in tests
	bytes   int // likewise; lettersBytes
}

// letter is a dead letter as Pub/Sub delivered it.
type letter struct {
	broker.DeadLetter
	received *pubsubpb.ReceivedMessage
}

// Review gathers the letters, oldest first, up to a thousand or 64 MiB at a time.
func (d *deadLetters) Review(ctx context.Context, judge func(broker.DeadLetter) broker.Verdict) (broker.Reviewed, error) {
	var done broker.Reviewed
	err := d.with(ctx, func(c *pubsub.Client) error {
		desk := d.desk(c)
		defer desk.giveBack(ctx)
		for more := true; more; {
			var letters []letter
			var err error
			if letters, more, err = desk.gather(ctx); err != nil {
				return err
			}
			stopped, err := desk.judge(ctx, letters, judge, &done)
			if err != nil || stopped {
				return err
			}
		}
		return nil
	})
	return done, err
}

// Stats counts at most a thousand letters, or as many as have 64 MiB, which
// nobody else sees meanwhile.
func (d *deadLetters) Stats(ctx context.Context) (broker.DeadLetterStats, error) {
	var stats broker.DeadLetterStats
	err := d.with(ctx, func(c *pubsub.Client) error {
		desk := d.desk(c)
		defer desk.giveBack(ctx)
		letters, more, err := desk.gather(ctx)
		if len(letters) > 0 {
			stats = broker.DeadLetterStats{Count: len(letters), More: more, Oldest: letters[0].Last}
		}
		return err
	})
	return stats, err
}

// with does something over a client of its own, once the dead letters exist.
func (d *deadLetters) with(ctx context.Context, do func(*pubsub.Client) error) error {
	c, err := d.driver.dial(ctx, d.plan.project)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = c.Close() }() // all that matters was confirmed
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := d.plan.survey(call, c, d.driver.create, d.notices); err != nil {
		return fmt.Errorf("dead letters of %s: %w", d.plan.name, explain(err))
	}
	if err := do(c); err != nil {
		return fmt.Errorf("dead letters of %s: %w", d.plan.name, explain(err))
	}
	return nil
}

// desk is where letters lie while they are under review.
type desk struct {
	plan   plan
	client *pubsub.Client
	most   int             // letters at once
	bytes  int             // likewise
	seen   map[string]bool // by message id
	lying  []string        // ack ids of what was not dealt with
}

func (d *deadLetters) desk(c *pubsub.Client) *desk {
	return &desk{plan: d.plan, client: c, most: d.most, bytes: d.bytes, seen: map[string]bool{}}
}

// gather takes letters until there are no more, or enough: there may be more then.
func (d *desk) gather(ctx context.Context) (letters []letter, more bool, err error) {
	size := 0
	for more = true; more && len(letters) < d.most && size < d.bytes; {
		received, err := d.pull(ctx, d.most-len(letters))
		if err != nil {
			return nil, false, err
		}
		more = len(received) > 0
		for _, m := range received {
			if d.seen[m.Message.MessageId] { // a lease ran out meanwhile
				continue
			}
			d.seen[m.Message.MessageId] = true
			size += len(m.Message.Data)
			letters = append(letters, letter{exhume(m.Message), m})
		}
	}
	slices.SortStableFunc(letters, func(a, b letter) int { return a.Last.Compare(b.Last) })
	return letters, more, nil
}

// pull takes some letters, or none if there are none.
func (d *desk) pull(ctx context.Context, most int) ([]*pubsubpb.ReceivedMessage, error) {
	call, cancel := context.WithTimeout(ctx, emptyAfter)
	defer cancel()
	r, err := d.client.SubscriptionAdminClient.Pull(call, &pubsubpb.PullRequest{
		Subscription: d.plan.deadSubscription, MaxMessages: int32(min(most, 100)), //nolint:gosec // bounded
	}, once())
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, err
	case len(r.ReceivedMessages) == 0:
		return nil, nil
	}
	ids := make([]string, len(r.ReceivedMessages))
	for i, m := range r.ReceivedMessages {
		ids[i] = m.AckId
	}
	d.lying = append(d.lying, ids...)
	return r.ReceivedMessages, d.lease(ctx, ids, reviewLease)
}

// judge shows letters and does what judge says. Those that are replayed or
// purged leave the dead letters when all were shown.
func (d *desk) judge(ctx context.Context, letters []letter, judge func(broker.DeadLetter) broker.Verdict, done *broker.Reviewed) (stopped bool, err error) {
	var gone []string
	for _, l := range letters {
		if err = ctx.Err(); err != nil {
			break
		}
		switch judge(l.DeadLetter) {
		case broker.Replay:
			err = persistently(ctx, func(ctx context.Context) error {
				return publish(ctx, d.client, d.plan.topic, replay(l.received.Message, d.plan.name))
			})
			if err == nil {
				gone = append(gone, l.received.AckId)
				done.Replayed++
			}
		case broker.Purge:
			gone = append(gone, l.received.AckId)
			done.Purged++
		case broker.Stop:
			done.Kept++
			stopped = true
		default:
			done.Kept++
		}
		if stopped || err != nil {
			break
		}
	}
	return stopped, errors.Join(err, d.remove(ctx, gone))
}

// remove acknowledges letters, also after ctx has ended.
func (d *desk) remove(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTimeout)
	defer cancel()
	for some := range slices.Chunk(ids, 100) {
		err := persistently(ctx, func(ctx context.Context) error {
			return d.client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: d.plan.deadSubscription, AckIds: some}, once())
		})
		if err != nil {
			return fmt.Errorf("remove letters that were dealt with: %w", err)
		}
	}
	return nil
}

// giveBack lets others see what lies on the desk.
func (d *desk) giveBack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for some := range slices.Chunk(d.lying, 100) {
		_ = d.lease(ctx, some, 0) // else the lease runs out by itself
	}
}

func (d *desk) lease(ctx context.Context, ids []string, period time.Duration) error {
	return d.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: d.plan.deadSubscription, AckIds: ids, AckDeadlineSeconds: int32(period / time.Second), //nolint:gosec // bounded
	}, once())
}
