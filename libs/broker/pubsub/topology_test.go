package pubsub

import (
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

func TestAPublisherThatMayNotSeeItsSubscriptionsSaysSo(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	h := f.harness.driver
	if c, err := h.dial(t.Context(), project); err != nil {
		t.Fatal(err)
	} else if err := errors.Join(ensureTopic(t.Context(), c, topicName(project, "nobody")), c.Close()); err != nil {
		t.Fatal(err)
	}
	f.fence.refuse("ListTopicSubscriptions", status.Error(codes.PermissionDenied, "User not authorized to perform this action."))
	p := newProcess(t, broker.Settings{}, f.addr)
	pub := p.publisher("nobody")
	for _, id := range []string{"a", "b"} {
		if err := publishOne(t, pub, id, ceiling); err != nil {
			t.Fatal(err) // it may well have subscriptions
		}
		err := pub.(broker.Checker).Check(t.Context())
		if err == nil || !containsAll(err.Error(), []string{"cannot be verified", "topic nobody", "roles/pubsub.viewer"}) {
			t.Fatalf("the check says %v", err)
		}
	}
	if n := strings.Count(p.log.String(), "cannot be verified"); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, p.log)
	}
	if n := brokertest.Metric(t, p.registry, "hyperfleet_broker_connection_failures_total", "publisher", "nobody", string(health.Credentials)); n == 0 {
		t.Error("the metric counts no doubt")
	}
	f.fence.refuse("ListTopicSubscriptions", nil)
	pub.(*publisher).routes.forget()
	if err := publishOne(t, pub, "c", ceiling); !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("Publish gave %v", err)
	}
}

// byHand creates a subscription and its dead letters, as change leaves them.
func (f *fake) byHand(change func(sub, dead *pubsubpb.Subscription)) {
	f.t.Helper()
	c, err := f.driver.dial(f.t.Context(), project)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	p := newPlan(subscriptionOf("topic", "sub"))
	for _, topic := range []string{p.topic, p.deadTopic, topicName(project, "other")} {
		if err := ensureTopic(f.t.Context(), c, topic); err != nil {
			f.t.Fatal(err)
		}
	}
	sub, dead := p.subscriptionProto(), p.deadSubscriptionProto()
	change(sub, dead)
	for _, s := range []*pubsubpb.Subscription{sub, dead} {
		if _, err := c.SubscriptionAdminClient.CreateSubscription(f.t.Context(), s); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestASubscriptionMadeByHandThatMisleadsEventsIsAProblem(t *testing.T) {
	t.Parallel()
	other := topicName(project, "other")
	for want, change := range map[string]func(sub, dead *pubsubpb.Subscription){
		"subscription sub reads " + other:                     func(sub, _ *pubsubpb.Subscription) { sub.Topic = other },
		"subscription sub sends its dead letters to " + other: func(sub, _ *pubsubpb.Subscription) { sub.DeadLetterPolicy.DeadLetterTopic = other },
		"subscription sub-dead-letters reads " + other:        func(_, dead *pubsubpb.Subscription) { dead.Topic = other },
	} {
		f := newFake(t)
		f.byHand(change)
		p := newProcess(t, broker.Settings{}, f.addr)
		s, _, _ := p.receive("topic", "sub")
		p.problem(s, "subscriber", "sub", health.Topology, want)
	}
}

func TestASubscriptionMadeByHandThatKeepsLessIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(sub, dead *pubsubpb.Subscription)
		want   []string
	}{
		"as recommended": {change: func(_, _ *pubsubpb.Subscription) {}},
		"keeps little": {
			change: func(sub, _ *pubsubpb.Subscription) {
				sub.EnableMessageOrdering, sub.DeadLetterPolicy, sub.Filter = false, nil, ""
			},
			want: []string{"has no ordering", "has no dead-letter topic", "has no filter", "gcloud pubsub subscriptions create sub "},
		},
		"gives up early": {
			change: func(sub, _ *pubsubpb.Subscription) { sub.DeadLetterPolicy.MaxDeliveryAttempts = 5 },
			want:   []string{"gives events up early: set --max-delivery-attempts=100"},
		},
	} {
		f := newFake(t)
		f.byHand(c.change)
		p := newProcess(t, broker.Settings{}, f.addr)
		s, got, _ := p.receive("topic", "sub")
		if err := publishOne(t, p.publisher("topic"), name, ceiling); err != nil {
			t.Fatal(err)
		}
		next(t, got, name)
		p.well(s) // which looks again
		p.well(s)
		text := p.log.String()
		if n := strings.Count(text, "level=WARN"); n != min(1, len(c.want)) || !containsAll(text, c.want) {
			t.Errorf("%s: %d warnings, want %q:\n%s", name, n, c.want, text)
		}
	}
}

// forget makes the last answer stale.
func (r *routes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = r.asked.Add(-routesFresh)
}
