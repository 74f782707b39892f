package rabbitmq

import (
	"context"
	"errors"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/sethvargo/go-retry"

	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

const (
	firstRedial = 100 * time.Millisecond
	mostRedial  = 3 * time.Second
	// steady is how long a connection must hold before the next loss of it
	// counts as a new one.
	steady = 10 * time.Second
)

// link keeps one connection to the broker.
type link struct {
	name   string // for people: "publisher hyperfleet.clusters"
	dial   func(ctx context.Context, name string) (*amqp.Connection, error)
	log    *slog.Logger
	health *health.Health
}

func newLink(d *driver, role, name string) *link {
	return &link{
		name: role + " " + name, dial: d.dialer.dial, log: d.log.With("broker", "rabbitmq", role, name),
		health: d.meters.Of(d.log.With("broker", "rabbitmq"), role, name),
	}
}

// run keeps a connection until ctx ends: it dials, with full jitter and without
// limit, and hands the connection to session, which says up once it works, and
// returns when the connection is lost or ctx has ended.
func (l *link) run(ctx context.Context, session func(context.Context, *amqp.Connection) error) {
	l.health.Start()
	defer l.health.Stop()
	backoff := redial()
	for ctx.Err() == nil {
		begun := time.Now()
		err := l.once(ctx, session)
		if ctx.Err() != nil {
			break
		}
		l.health.Down(reasonOf(err), err)
		if time.Since(begun) > steady {
			backoff = redial()
		}
		wait, _ := backoff.Next() // it has no limit
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
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
	case why != nil && reasonOf(err) == health.Lost: // it says more than that the session noticed
		return failure(health.Lost, why)
	case err == nil:
		return failure(health.Lost, errors.Join(errors.New("the connection ended"), closing))
	}
	return err
}

// block says whether, and why, the broker takes no events.
func (l *link) block(b amqp.Blocking) {
	if b.Active {
		l.health.Block(b.Reason + " (an alarm for memory or disk)")
		return
	}
	l.health.Unblock()
}
