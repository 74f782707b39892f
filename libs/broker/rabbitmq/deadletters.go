package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// deadLetters are those of one subscription.
type deadLetters struct {
	driver       *driver
	subscription string

	mu   sync.Mutex
	last broker.DeadLetterStats // as the broker said
}

// Review fetches letters one by one and holds those that are kept until the end,
// when they return to their places.
func (d *deadLetters) Review(ctx context.Context, judge func(broker.DeadLetter) broker.Verdict) (broker.Reviewed, error) {
	var done broker.Reviewed
	err := d.open(ctx, func(ch *amqp.Channel, waiting int) error {
		replays := d.newReplays()
		defer replays.close()
		for range waiting {
			if err := ctx.Err(); err != nil {
				return err
			}
			m, ok, err := ch.Get(deadQueue(d.subscription), false)
			if err != nil {
				return fmt.Errorf("fetch a dead letter of %s: %w", d.subscription, err)
			}
			if !ok {
				return nil // another review holds the rest
			}
			switch judge(letter(m)) {
			case broker.Replay:
				if err := replays.send(ctx, m); err != nil {
					return err
				}
				if err := m.Ack(false); err != nil {
					return fmt.Errorf("take a replayed dead letter away: %w", err)
				}
				done.Replayed++
			case broker.Purge:
				if err := m.Ack(false); err != nil {
					return fmt.Errorf("purge a dead letter: %w", err)
				}
				done.Purged++
			case broker.Stop:
				done.Kept++
				return nil
			default:
				done.Kept++
			}
		}
		return nil
	})
	return done, err
}

// Stats asks the broker for the count, and looks at the oldest. The broker does
// not count what another replica or a review looks at just now: it takes two
// counts for a letter to be gone.
func (d *deadLetters) Stats(ctx context.Context) (broker.DeadLetterStats, error) {
	var stats broker.DeadLetterStats
	err := d.open(ctx, func(ch *amqp.Channel, waiting int) error {
		if waiting == 0 {
			return nil
		}
		m, ok, err := ch.Get(deadQueue(d.subscription), false)
		if err != nil {
			return err
		}
		stats.Count = waiting
		if ok { // else another replica or a review holds it just now
			stats.Oldest = letter(m).Last
		}
		return nil
	})
	if err != nil {
		return broker.DeadLetterStats{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.last
	d.last = stats
	if last.Count > stats.Count {
		return last, nil
	}
	return stats, nil
}

// open connects, and disconnects when do returns. What do fetched and did not
// acknowledge returns to the queue.
func (d *deadLetters) open(ctx context.Context, do func(*amqp.Channel, int) error) error {
	return d.driver.dialer.use(ctx, "hyperfleet dead letters "+d.subscription, func(conn *amqp.Connection) error {
		return d.look(conn, do)
	})
}

func (d *deadLetters) look(conn *amqp.Connection, do func(*amqp.Channel, int) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	q, err := ch.QueueDeclarePassive(deadQueue(d.subscription), true, false, false, false, nil)
	if code(err) == amqp.NotFound {
		return fmt.Errorf("there is no subscription %q, or it has no dead letters yet: %w", d.subscription, err)
	}
	if err != nil {
		return fmt.Errorf("look at the dead letters of %s: %w", d.subscription, err)
	}
	if err := do(ch, q.Messages); err != nil {
		return err
	}
	// The broker has taken back what was kept once it answers this.
	if err := ch.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
		return fmt.Errorf("give back the dead letters: %w", err)
	}
	return nil
}

// replays sends letters back to their subscription.
type replays struct {
	subscription string
	outbox       *outbox
	stop         context.CancelFunc
	running      sync.WaitGroup
}

func (d *deadLetters) newReplays() *replays {
	ctx, stop := context.WithCancel(context.Background())
	r := &replays{subscription: d.subscription, stop: stop}
	r.outbox = newOutbox(newLink(d.driver, "replayer", d.subscription), func(*amqp.Connection) error { return nil })
	r.running.Go(func() { r.outbox.run(ctx) })
	return r
}

func (r *replays) send(ctx context.Context, m amqp.Delivery) error {
	err := r.outbox.send(ctx, "", r.subscription, func() (amqp.Publishing, error) { return copyOf(m, history{}), nil })
	if err != nil {
		return fmt.Errorf("replay dead letter %s: %w", m.MessageId, err)
	}
	return nil
}

func (r *replays) close() {
	r.stop()
	r.running.Wait()
}
