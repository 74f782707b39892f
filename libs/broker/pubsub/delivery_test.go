package pubsub

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// unhandled has Pub/Sub deliver the event of a subscription n times more, to
// somebody who gives it back.
func (f *fake) unhandled(name string, n int) {
	f.t.Helper()
	c, err := f.driver.dial(f.t.Context(), project)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), ceiling)
	defer cancel()
	for i := range n {
		got, err := c.SubscriptionAdminClient.Pull(ctx, &pubsubpb.PullRequest{Subscription: subscriptionName(project, name), MaxMessages: 1})
		if err != nil || len(got.ReceivedMessages) != 1 {
			f.t.Fatalf("pull %d from %s: %v, %v", i, name, got, err)
		}
		err = c.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
			Subscription: subscriptionName(project, name), AckIds: []string{got.ReceivedMessages[0].AckId},
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fake) buried(topic, name string) int {
	f.t.Helper()
	stats, err := f.DeadLetters(topic, name).Stats(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return stats.Count
}

func TestWhatIsGivenBackOftenIsStoredAnewWithWhatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := f.Subscriber("topic", "sub", broker.Limits{MaxDeliveries: 3})
	if err := publishOne(t, f.Publisher("topic"), "a", ceiling); err != nil {
		t.Fatal(err)
	}
	f.unhandled("sub", mostReturns) // by stops during an outage, say
	ctx, stop := context.WithTimeout(t.Context(), ceiling)
	defer stop()
	var attempts []int
	if err := s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
		if attempts = append(attempts, d.Attempt); d.Attempt == 1 {
			return broker.Retry(0)
		}
		stop()
		return broker.Ack()
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(attempts, []int{1, 2}) {
		t.Errorf("attempts %v, dead letters %d", attempts, f.buried("topic", "sub"))
	}
	stored := f.server.Messages()
	if len(stored) != 2 {
		t.Fatalf("%d messages, want the event twice", len(stored))
	}
	// Another process would know as much.
	if known := recall(stored[1].Attributes); known.n != 1 || known.first.IsZero() || !known.notBefore.Equal(known.last) {
		t.Errorf("the event stored anew says %+v", known)
	}
}

func TestARetryThatFindsNoRoomToWaitIsNeitherEarlyNorCounted(t *testing.T) {
	t.Parallel()
	const (
		n     = 40
		after = time.Second
	)
	f := newFake(t)
	s := f.Subscriber("topic", "sub", broker.Limits{Concurrency: 2, MaxDeliveries: 2}) // 4 can wait
	p := f.Publisher("topic")
	for i := range n {
		if err := publishOne(t, p, fmt.Sprint(i), ceiling); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithTimeout(t.Context(), ceiling)
	defer stop()
	type delivery struct {
		id      string
		attempt int
		at      time.Time
	}
	got := make(chan delivery, 10*n)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			got <- delivery{d.Event.ID(), d.Attempt, time.Now()}
			if d.Attempt == 1 {
				return broker.Retry(after)
			}
			return broker.Ack()
		})
	}()
	first := map[string]time.Time{}
	for left := n; left > 0; {
		select {
		case d := <-got:
			if d.attempt == 1 {
				first[d.id] = d.at
				continue
			}
			left--
			if passed := d.at.Sub(first[d.id]); passed < after {
				t.Errorf("%s came again after %s, want at least %s", d.id, passed, after)
			}
		case <-ctx.Done():
			t.Fatalf("%d events did not come again; %d are dead letters", left, f.buried("topic", "sub"))
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := f.buried("topic", "sub"); n > 0 {
		t.Errorf("%d dead letters", n)
	}
}
