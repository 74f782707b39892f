package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sethvargo/go-retry"
)

const (
	firstRedial = 100 * time.Millisecond
	mostRedial  = 3 * time.Second
	// steady is how long a connection must hold before the next loss of it
	// counts as a new one.
	steady = 10 * time.Second
)

// errConnecting is the state of a link that has not been connected yet.
var errConnecting = errors.New("not connected to the broker yet")

// link keeps one connection to the broker.
type link struct {
	name  string // for people: "publisher hyperfleet.clusters"
	dial  func(ctx context.Context, name string) (*amqp.Connection, error)
	log   *slog.Logger
	meter meter

	mu      sync.Mutex
	problem error  // why there is no working connection; nil = there is one
	blocked string // why the broker takes no events; "" = it takes them
}

func newLink(d *driver, role, name string) *link {
	return &link{
		name: role + " " + name, dial: d.dialer.dial, log: d.log.With("broker", "rabbitmq", role, name),
		meter: d.meters.of(role, name), problem: errConnecting,
	}
}

// run keeps a connection until ctx ends: it dials, with full jitter and without
// limit, and hands the connection to session, which says up once it works, and
// returns when the connection is lost or ctx has ended.
func (l *link) run(ctx context.Context, session func(context.Context, *amqp.Connection) error) {
	backoff := redial()
	for ctx.Err() == nil {
		begun := time.Now()
		err := l.once(ctx, session)
		if ctx.Err() != nil {
			break
		}
		l.down(err)
		if time.Since(begun) > steady {
			backoff = redial()
		}
		wait, _ := backoff.Next() // it has no limit
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	l.meter.connected.Set(0)
	l.meter.blocked.Set(0)
}

func redial() retry.Backoff {
	return retry.WithFullJitter(retry.WithCappedDuration(mostRedial, retry.NewExponential(firstRedial)))
}

// once makes one connection and lives through it.
func (l *link) once(ctx context.Context, session func(context.Context, *amqp.Connection) error) error {
	conn, err := l.dial(ctx, "hyperfleet "+l.name)
	if err != nil {
		return err
	}
	alive, end := context.WithCancel(ctx)
	defer end()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	var why *amqp.Error
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		why = <-closed // nil when this side closed it
		end()
	}()
	// Whatever the session waits for, it waits no longer than its context lasts.
	unbind := context.AfterFunc(ctx, func() { part(conn) })
	err = session(alive, conn)
	unbind()
	closing := conn.CloseDeadline(time.Now().Add(closeTimeout))
	<-gone
	switch {
	case ctx.Err() != nil:
		return nil
	case why != nil && reasonOf(err) == reasonLost: // it says more than that the session noticed
		return failure(reasonLost, why)
	case err == nil:
		return failure(reasonLost, errors.Join(errors.New("the connection ended"), closing))
	}
	return err
}

// up says that the connection works.
func (l *link) up() {
	l.mu.Lock()
	was := l.problem
	l.problem = nil
	l.mu.Unlock()
	l.meter.connected.Set(1)
	if was != nil {
		l.log.Info("connected to the broker")
	}
}

// down says that it does not, and why. The log hears of each why once.
func (l *link) down(why error) {
	l.mu.Lock()
	was := l.problem
	l.problem, l.blocked = why, ""
	l.mu.Unlock()
	l.meter.connected.Set(0)
	l.meter.blocked.Set(0)
	l.meter.failures[reasonOf(why)].Inc()
	if was == nil || gist(was) != gist(why) {
		l.log.Warn("no connection to the broker; dialling on", "reason", reasonOf(why), "err", why)
	}
}

// ownEnd is this end of a connection as errors quote it, another each time.
var ownEnd = regexp.MustCompile(`\S+->`)

// gist is what an error says but for the port that this end happened to have.
func gist(err error) string { return ownEnd.ReplaceAllString(err.Error(), "") }

// block says whether, and why, the broker takes no events.
func (l *link) block(b amqp.Blocking) {
	l.mu.Lock()
	l.blocked = ""
	if b.Active {
		l.blocked = b.Reason
	}
	l.mu.Unlock()
	if b.Active {
		l.meter.blocked.Set(1)
		l.log.Warn("the broker takes no events; publishers wait", "err", b.Reason)
		return
	}
	l.meter.blocked.Set(0)
	l.log.Info("the broker takes events again")
}

// check says in words for an operator what is wrong, or nil.
func (l *link) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem != nil {
		return l.problem
	}
	if l.blocked != "" {
		return errors.New("the broker takes no events: " + l.blocked + " (an alarm for memory or disk)")
	}
	return nil
}
