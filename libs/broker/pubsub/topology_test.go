package pubsub

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
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
	f.fence.refuse("ListTopicSubscriptions", nil)
	pub.(*publisher).routes.forget()
	if err := publishOne(t, pub, "c", ceiling); !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("Publish gave %v", err)
	}
}

// forget makes the last answer stale.
func (r *routes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = r.asked.Add(-routesFresh)
}
