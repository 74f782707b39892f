package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sethvargo/go-retry"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

const (
	firstResend = 50 * time.Millisecond
	mostResend  = 5 * time.Second
)

// outbox sends messages through one connection after the other, and keeps each
// until the broker has confirmed it. It holds at most [Window].
type outbox struct {
	link    *link
	prepare func(*amqp.Connection) error // what must exist at the broker
	slots   chan struct{}                // one token per parcel that is held
	queue   chan *parcel                 // to be sent; as large as slots, so that none who holds a slot waits

	mu       sync.Mutex
	sent     map[uint64]*parcel // by delivery tag of the connection that is up
	unproved bool               // the broker refused what the last connection sent

	// Of the session alone: sent on a connection that was lost, in order. Those
	// in doubt are sent one by one, with nothing else under way.
	again, doubtful []*parcel
	settled         chan struct{} // has a token when something was confirmed
}

// parcel is one message with whoever waits for it.
type parcel struct {
	ctx           context.Context // of who waits; once it ends, the message is not sent again
	exchange, key string
	message       amqp.Publishing
	unroutable    bool
	losses        int           // connections that ended while it was under way
	resend        retry.Backoff // nil until the broker refused it
	done          chan error    // gets one answer
}

func newOutbox(l *link, prepare func(*amqp.Connection) error) *outbox {
	return &outbox{
		link: l, prepare: prepare,
		slots: make(chan struct{}, Window), queue: make(chan *parcel, Window), sent: map[uint64]*parcel{},
		settled: make(chan struct{}, 1),
	}
}

// send waits for a place in the window, and returns once the broker has
// confirmed that it stores the message.
func (o *outbox) send(ctx context.Context, exchange, key string, message func() (amqp.Publishing, error)) error {
	o.link.health.Pending.Inc()
	defer o.link.health.Pending.Dec()
	select {
	case o.slots <- struct{}{}:
		return o.post(ctx, exchange, key, message)
	case <-ctx.Done():
		return o.overdue(ctx)
	}
}

// post sends from a place in the window, which it leaves. The message is made
// only now, so that callers who wait hold no second copy.
func (o *outbox) post(ctx context.Context, exchange, key string, message func() (amqp.Publishing, error)) error {
	m, err := message()
	if err != nil {
		<-o.slots
		return err
	}
	p := &parcel{ctx: ctx, exchange: exchange, key: key, message: m, done: make(chan error, 1)}
	o.queue <- p
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return o.overdue(ctx)
	}
}

// overdue is what a caller is told whose patience ended, with the reason that
// the link knows.
func (o *outbox) overdue(ctx context.Context) error {
	if problem := o.link.health.Check(); problem != nil {
		return fmt.Errorf("%w (%w)", ctx.Err(), problem)
	}
	return ctx.Err()
}

// run keeps a connection until ctx ends.
func (o *outbox) run(ctx context.Context) { o.link.run(ctx, o.session) }

// session sends through one connection until it is lost or ctx ends.
func (o *outbox) session(ctx context.Context, conn *amqp.Connection) error {
	if err := o.prepare(conn); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirms: %w", err)
	}
	var (
		blocked  = conn.NotifyBlocked(make(chan amqp.Blocking, 8))
		confirms = ch.NotifyPublish(make(chan amqp.Confirmation, Window))
		// Unbuffered: the broker returns a message before it confirms it, and
		// the library hands over the return before the confirm.
		returns = ch.NotifyReturn(make(chan amqp.Return))
		failed  = ch.NotifyClose(make(chan *amqp.Error, 1))
		heard   = make(chan struct{})
	)
	go func() {
		defer close(heard)
		o.listen(confirms, returns)
	}()
	if !o.refusedBefore() {
		o.link.health.Up()
	}
	err = o.write(ctx, ch, blocked, failed)
	part(conn) // it ends the confirms; the link says why the connection ended
	<-heard
	select {
	case why := <-failed:
		if why != nil && err == nil {
			err = o.ended(why)
		}
	default:
	}
	o.keep(err)
	return err
}

// write sends what is to be sent, first what the last connection left.
func (o *outbox) write(ctx context.Context, ch *amqp.Channel, blocked <-chan amqp.Blocking, failed <-chan *amqp.Error) error {
	var (
		tag     uint64
		blocks  bool // the broker, for an alarm
		private bool // one in doubt is under way
	)
	for {
		var (
			p       *parcel
			queue   <-chan *parcel
			settled <-chan struct{}
		)
		switch {
		case blocks:
		case (private || len(o.doubtful) > 0 && len(o.again) == 0) && o.underWay() > 0:
			settled = o.settled
		case len(o.again) > 0:
			p, o.again = o.again[0], o.again[1:]
			private = false
		case len(o.doubtful) > 0:
			p, o.doubtful = o.doubtful[0], o.doubtful[1:]
			private = true
		default:
			queue, private = o.queue, false
		}
		if p == nil {
			select {
			case <-ctx.Done():
				return nil
			case err := <-failed:
				return o.ended(err)
			case b := <-blocked:
				o.link.block(b)
				blocks = b.Active
				continue
			case <-settled:
				continue
			case p = <-queue:
				if p.doubted() {
					o.doubtful = append(o.doubtful, p)
					continue
				}
			}
		}
		if err := p.ctx.Err(); err != nil {
			o.finish(p, err)
			continue
		}
		tag++
		p.message.CorrelationId = strconv.FormatUint(tag, 10) // tells which one a return is about
		o.mu.Lock()
		o.sent[tag] = p
		o.mu.Unlock()
		if err := ch.Publish(p.exchange, p.key, true, false, p.message); err != nil {
			select {
			case why := <-failed:
				return o.ended(why)
			default:
				return failure(health.Lost, fmt.Errorf("send: %w", err))
			}
		}
	}
}

func (o *outbox) underWay() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent)
}

// doubted says whether p may be what ended the connections that it was sent on.
func (p *parcel) doubted() bool { return p.losses >= 2 }

// refusedBefore says whether the connection has yet to show that it works: the
// last one was refused what it sent.
func (o *outbox) refusedBefore() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unproved
}

// ended says why the broker ended the channel.
func (o *outbox) ended(err *amqp.Error) error {
	if code(cause(err)) == amqp.AccessRefused {
		o.mu.Lock()
		o.unproved = true
		o.mu.Unlock()
	}
	return channelError(err)
}

// channelError says in words for an operator why the broker ended a channel.
func channelError(err *amqp.Error) error {
	why := cause(err)
	switch code(why) {
	case amqp.AccessRefused:
		return failure(health.Credentials, fmt.Errorf("the broker's user lacks a permission: grant it: %w", why))
	case amqp.NotFound:
		return failure(health.Topology, fmt.Errorf("something was deleted at the broker: %w", why))
	}
	return failure(health.Lost, fmt.Errorf("the broker ended the channel: %w", why))
}

// cause is err, or that there is none: a nil *amqp.Error is no nil error.
func cause(err *amqp.Error) error {
	if err == nil {
		return errors.New("the connection was closed")
	}
	return err
}

// listen settles parcels as the broker confirms them, until the channel is closed.
func (o *outbox) listen(confirms <-chan amqp.Confirmation, returns <-chan amqp.Return) {
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			o.returned(r)
		case c, ok := <-confirms:
			if !ok {
				return
			}
			o.confirmed(c)
		}
	}
}

func (o *outbox) returned(r amqp.Return) {
	tag, err := strconv.ParseUint(r.CorrelationId, 10, 64)
	if err != nil {
		return // none of ours
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.sent[tag]; p != nil {
		p.unroutable = true
	}
}

func (o *outbox) confirmed(c amqp.Confirmation) {
	o.mu.Lock()
	p, proved := o.sent[c.DeliveryTag], o.unproved
	delete(o.sent, c.DeliveryTag)
	o.unproved = false
	o.mu.Unlock()
	select {
	case o.settled <- struct{}{}:
	default:
	}
	if proved {
		o.link.health.Up()
	}
	switch {
	case p == nil:
	case p.unroutable:
		o.finish(p, broker.ErrUnroutable)
	case c.Ack:
		o.finish(p, nil)
	default:
		o.refused(p)
	}
}

// refused sends a message again after a while: a queue is full.
func (o *outbox) refused(p *parcel) {
	if p.resend == nil {
		p.resend = retry.WithFullJitter(retry.WithCappedDuration(mostResend, retry.NewExponential(firstResend)))
	}
	wait, _ := p.resend.Next() // it has no limit
	time.AfterFunc(wait, func() { o.queue <- p })
}

// finish answers who waits for p and makes room for another.
func (o *outbox) finish(p *parcel, err error) {
	p.done <- err
	<-o.slots
}

// keep puts what the lost connection has not confirmed before what is to be
// sent, but for what the connection may have been lost for.
func (o *outbox) keep(why error) {
	o.mu.Lock()
	tags := slices.Sorted(maps.Keys(o.sent))
	left := make([]*parcel, 0, len(tags)+len(o.again))
	for _, tag := range tags {
		left = append(left, o.sent[tag])
	}
	clear(o.sent)
	o.mu.Unlock()
	var again []*parcel
	for _, p := range left {
		p.unroutable = false
		alone := p.doubted() // it was sent as one in doubt
		if why != nil {
			p.losses++
		}
		switch {
		case alone && condemns(why):
			o.finish(p, refusedError{why})
		case alone && why != nil:
			o.refused(p) // the others first
		case p.doubted():
			o.doubtful = append(o.doubtful, p)
		default:
			again = append(again, p)
		}
	}
	o.again = append(again, o.again...)
}

// refusedError says that the broker does not take a message, whatever the
// connection: it ends each on which there is nothing else.
type refusedError struct{ why error }

func (e refusedError) Error() string { return "the broker refuses the message: " + e.why.Error() }

func (e refusedError) Unwrap() error { return e.why }

// condemns says whether an error of the broker is about the message itself, and
// not about a permission, something that was deleted, or a broker that stops.
func condemns(why error) bool {
	switch code(why) {
	case 0, amqp.AccessRefused, amqp.NotFound, amqp.ConnectionForced, amqp.ResourceLocked:
		return false
	}
	return true
}
