package pubsub

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/googleapis/gax-go/v2"
	"github.com/sethvargo/go-retry"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

const (
	callTimeout = 10 * time.Second       // of one call, connecting included
	firstWait   = 100 * time.Millisecond // before the second try; it doubles from one to the next
	mostWait    = 3 * time.Second
)

// dial makes a client. It reads the credentials, but connects to nothing yet.
func (d *driver) dial(ctx context.Context, project string) (*pubsub.Client, error) {
	patience := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: firstWait, Multiplier: 2, Jitter: 0.5, MaxDelay: mostWait},
		MinConnectTimeout: callTimeout / 2,
	})
	options := []option.ClientOption{option.WithGRPCDialOption(patience)}
	if d.emulator != "" {
		options = append(options, option.WithEndpoint(d.emulator), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	} else {
		// A connection that nothing comes from is noticed within a minute.
		options = append(options, option.WithGRPCDialOption(grpc.WithKeepaliveParams(
			keepalive.ClientParameters{Time: 30 * time.Second, Timeout: callTimeout})))
	}
	// The client lives longer than the call that needs it first.
	c, err := pubsub.NewClient(context.WithoutCancel(ctx), project, options...)
	if err != nil {
		return nil, fmt.Errorf("make a Pub/Sub client: %w", credentialsError{err})
	}
	return c, nil
}

// link is a client that is made when it is needed, and made anew after it was
// dropped.
type link struct {
	driver  *driver
	project string

	mu     sync.Mutex
	client *pubsub.Client
	closed bool
}

func (l *link) get(ctx context.Context) (*pubsub.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, broker.ErrClosed
	}
	if l.client == nil {
		c, err := l.driver.dial(ctx, l.project)
		if err != nil {
			return nil, err
		}
		l.client = c
	}
	return l.client, nil
}

// drop gives c up, unless that was done already, so that the credentials are
// read again.
func (l *link) drop(c *pubsub.Client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == c && c != nil {
		l.client = nil
		_ = c.Close() // there is nothing to be done about a client that does not close
	}
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.client != nil {
		_ = l.client.Close() // as above
		l.client = nil
	}
}

// persistently calls f until it succeeds, fails for good or ctx ends. What it
// returns in the end says what was wrong, and wraps ctx's error if that ended it.
func persistently(ctx context.Context, f func(context.Context) error) error {
	var last error
	err := retry.Do(ctx, waits(), func(ctx context.Context) error {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		err := f(call)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return err
		}
		last = err
		return retry.RetryableError(err)
	})
	if err != nil && ctx.Err() != nil {
		if last != nil {
			return fmt.Errorf("%w; the last try said: %v", ctx.Err(), explain(last)) //nolint:errorlint // one chain: the context's
		}
		return ctx.Err()
	}
	return explain(err)
}

// waits are the pauses between tries: doubling, capped, with full jitter, for ever.
func waits() retry.Backoff {
	return retry.WithFullJitter(retry.WithCappedDuration(mostWait, retry.NewExponential(firstWait)))
}

// once makes a call of the client library a single try: [persistently] tries
// again, and knows what went wrong.
func once() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer { return nil })
}
