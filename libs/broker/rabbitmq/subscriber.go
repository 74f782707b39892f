package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/dispatch"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

const (
	// leastPrefetch is how many events are fetched at least, so that those of
	// one busy resource keep no other waiting.
	leastPrefetch = 64
	// mostHeld is how long an event is held at most without being handled: a
	// broker gives up a consumer that holds one for 30 minutes, and counts it.
	mostHeld = 10 * time.Minute
	// lateSettling is how long after the end of the handlers' context what they
	// decided is still carried out. A process has 10 s in all.
	lateSettling = time.Second
	// oftenLost is from how many lost deliveries on a stop stores an event
	// anew that nobody handled, lest it reach crashLimit.
	oftenLost = 5
)

// subscriber receives the events of one subscription.
type subscriber struct {
	driver *driver
	broker.Subscription
	limits   broker.Limits
	link     *link
	copies   *link         // of the connection that stores retries and dead letters
	patience time.Duration // mostHeld, or less in tests
	unasked  sync.Once     // the log hears once of what cannot be asked
}

func newSubscriber(d *driver, s broker.Subscription, l broker.Limits) *subscriber {
	return &subscriber{
		driver: d, Subscription: s, limits: l, patience: mostHeld,
		link: newLink(d, "subscriber", s.Name), copies: newLink(d, "settler", s.Name),
	}
}

// Check says what is wrong with the connections. What a subscriber stores may
// be blocked while it can still receive.
func (s *subscriber) Check(context.Context) error {
	return errors.Join(s.link.health.Check(), s.copies.health.Check())
}

// declare declares the subscription without receiving.
func (s *subscriber) declare(ctx context.Context) error {
	return s.driver.dialer.use(ctx, "hyperfleet declares "+s.Name, s.prepare)
}

func (s *subscriber) prepare(conn *amqp.Connection) error {
	asked, err := atLeastOnce(conn, s.Name)
	if err != nil {
		return err
	}
	if !asked {
		s.unasked.Do(func() {
			s.link.log.Warn("whether the broker keeps dead letters at least once cannot be asked, because the user may not declare a queue for it; "+
				"make sure that its feature flag stream_queue is enabled", "queue", probeQueue(s.Name))
		})
	}
	return declareSubscription(conn, s.Subscription, s.driver.queueArguments)
}

// reception is one call to Receive.
type reception struct {
	*subscriber
	queue    *dispatch.Queue
	outbox   *outbox
	stopping <-chan struct{} // closed when no more is to be fetched
}

// Receive receives until ctx ends. It goes on trying whatever the broker says.
func (s *subscriber) Receive(ctx context.Context, h broker.Handler) error {
	living, stopLinks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLinks()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(dispatch.DefaultGrace+lateSettling, stopLinks) })()

	r := &reception{subscriber: s, queue: dispatch.NewQueue(), stopping: ctx.Done()}
	r.outbox = newOutbox(s.copies, func(*amqp.Connection) error { return nil })
	var links sync.WaitGroup
	links.Go(func() { s.link.run(living, r.session) })
	links.Go(func() { r.outbox.run(living) })
	links.Go(func() { r.sweep(living) })
	dispatch.Run(ctx, r.queue, h, dispatch.Config{Concurrency: s.limits.Concurrency, Log: s.driver.log})
	r.giveBack(func(p *held) bool { return broughtBack(p.delivery) >= oftenLost })
	stopLinks()
	links.Wait()
	return nil
}

// session receives through one connection until it is lost or ctx ends.
func (r *reception) session(ctx context.Context, conn *amqp.Connection) error {
	if err := r.prepare(conn); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Qos(max(leastPrefetch, 2*r.limits.Concurrency), 0, false); err != nil {
		return fmt.Errorf("bound what is fetched: %w", err)
	}
	failed := ch.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := ch.NotifyCancel(make(chan string, 1))
	const consumer = "hyperfleet"
	deliveries, err := ch.Consume(r.Name, consumer, false, false, false, false, nil)
	if code(err) == amqp.AccessRefused {
		return failure(health.Credentials, fmt.Errorf("the user has no permission to read queue %q: grant it: %w", r.Name, err))
	}
	if err != nil {
		return declareError(fmt.Sprintf("consumer of queue %q", r.Name), err)
	}
	r.link.health.Up()
	// What this connection fetched, the broker delivers again on the next: with
	// it ends what is being stored anew, and what nobody handles yet goes.
	var calls sync.WaitGroup
	ctx, end := context.WithCancel(ctx)
	defer calls.Wait()
	defer part(conn)
	defer r.queue.Withdraw(func(m dispatch.Message) bool { return m.Origin.(*held).channel == ch })
	defer end()
	unfetched := make(chan error, 1)
	stopping := r.stopping
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-stopping:
			stopping = nil
			calls.Go(func() { unfetched <- ch.Cancel(consumer, false) })
		case err := <-unfetched:
			if err != nil {
				return fmt.Errorf("stop fetching: %w", err)
			}
		case <-cancelled:
			return failure(health.Topology, fmt.Errorf("queue %q was deleted", r.Name))
		case err := <-failed:
			return channelError(err)
		case d, ok := <-deliveries:
			if !ok {
				deliveries = nil
				continue
			}
			p := &held{reception: r, alive: ctx, channel: ch, delivery: d, history: read(d.Headers), since: time.Now()}
			if wait := time.Until(p.history.notBefore); wait > 0 { // its time has not come
				calls.Go(func() { p.store(delayQueue(r.Name, step(wait)), p.history) })
				continue
			}
			p.offer()
		}
	}
}

// step is the longest delay that is not too long, or the shortest.
func step(wait time.Duration) time.Duration {
	best := delays[0]
	for _, d := range delays {
		if d <= wait {
			best = d
		}
	}
	return best
}

// sweep stores anew what has been held for long, as during an outage of what
// handlers need.
func (r *reception) sweep(ctx context.Context) {
	every := time.NewTicker(r.patience / 10)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			r.giveBack(func(p *held) bool { return time.Since(p.since) > r.patience })
		}
	}
}

// giveBack stores anew what matches of that which nobody handles: it does not
// count as delivered. What it cannot store, the broker delivers again.
func (r *reception) giveBack(match func(*held) bool) {
	var stored sync.WaitGroup
	for _, m := range r.queue.Withdraw(func(m dispatch.Message) bool { return match(m.Origin.(*held)) }) {
		p := m.Origin.(*held)
		stored.Go(func() { p.store(r.Name, p.history) })
	}
	stored.Wait()
}
