package brokertest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var reviews = []theme{
	{name: "a review that keeps everything changes nothing", test: reviewKeeps},
	{name: "a replayed dead letter reaches its own subscription alone, as new", test: replays},
	{name: "a purged dead letter is gone, the others stay", test: purges},
	{name: "a review that stops keeps the rest", test: reviewStops},
	{name: "dead letters are counted, with the oldest's age", test: counted},
	{name: "a subscription without dead letters has an empty review", test: nothingToReview},
}

// bury publishes n events that are rejected, one after the other, and returns
// once all are dead letters. The subscriber has stopped then.
func bury(t *testing.T, h *bench, n int) broker.Subscriber {
	t.Helper()
	s := h.Subscriber(topic, subscription, broker.Limits{})
	stop := receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		return broker.Reject("no use for " + d.Event.ID())
	})
	p := h.Publisher(topic)
	for i := range n {
		publish(t, p, sample(fmt.Sprintf("bad-%d", i), "s"))
		buried(t, h, i+1)
	}
	stop()
	return s
}

func ids(dead []broker.DeadLetter) []string {
	all := make([]string, 0, len(dead))
	for _, d := range dead {
		all = append(all, d.ID())
	}
	slices.Sort(all) // not every broker has an order
	return all
}

func wantDead(t *testing.T, h *bench, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(ceiling); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = ids(listed(t, h, subscription)); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("dead letters %q, want %q", got, want)
}

func reviewKeeps(t *testing.T, h *bench) {
	bury(t, h, 3)
	for range 3 {
		dead := buried(t, h, 3)
		if got := ids(dead); !slices.Equal(got, []string{"bad-0", "bad-1", "bad-2"}) {
			t.Fatalf("dead letters %q", got)
		}
		for _, d := range dead {
			if d.Reason != "no use for "+d.ID() || d.Deliveries != 1 || d.First.IsZero() {
				t.Fatalf("dead letter %+v", d)
			}
			same(t, d.Event, sample(d.ID(), "s"))
		}
	}
}

func replays(t *testing.T, h *bench) {
	other := make(chan string, 10)
	receive(t, h.Subscriber(topic, "other-sub", broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		other <- d.Event.ID()
		return broker.Ack()
	})
	s := bury(t, h, 2)
	for range 2 {
		next(t, other, "the events on the other subscription")
	}
	again := make(chan broker.Delivery, 10)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		again <- d
		return broker.Ack()
	})
	done := reviewed(t, h, subscription, func(d broker.DeadLetter) broker.Verdict {
		if d.ID() == "bad-1" {
			return broker.Replay
		}
		return broker.Keep
	})
	if done.Replayed != 1 || done.Purged != 0 {
		t.Fatalf("reviewed %+v", done)
	}
	d := next(t, again, "the replayed event")
	if d.Event.ID() != "bad-1" || d.Attempt != 1 {
		t.Fatalf("%s came back as attempt %d", d.Event.ID(), d.Attempt)
	}
	same(t, d.Event, sample("bad-1", "s"))
	none(t, again, "more was replayed than was asked for")
	none(t, other, "the other subscription got the replayed event")
	wantDead(t, h, "bad-0")
}

func purges(t *testing.T, h *bench) {
	s := bury(t, h, 3)
	done := reviewed(t, h, subscription, func(d broker.DeadLetter) broker.Verdict {
		if d.ID() == "bad-0" {
			return broker.Keep
		}
		return broker.Purge
	})
	if done.Purged != 2 || done.Replayed != 0 {
		t.Fatalf("reviewed %+v", done)
	}
	wantDead(t, h, "bad-0")
	again := make(chan string, 10)
	receive(t, s, func(_ context.Context, d broker.Delivery) broker.Outcome {
		again <- d.Event.ID()
		return broker.Ack()
	})
	none(t, again, "a purged event came back")
}

func reviewStops(t *testing.T, h *bench) {
	bury(t, h, 4)
	shown := 0
	done := reviewed(t, h, subscription, func(broker.DeadLetter) broker.Verdict {
		if shown++; shown == 2 {
			return broker.Stop
		}
		return broker.Purge
	})
	if shown != 2 || done != (broker.Reviewed{Purged: 1, Kept: 1}) {
		t.Fatalf("%d shown, reviewed %+v", shown, done)
	}
	if left := buried(t, h, 3); len(left) != 3 {
		t.Fatalf("%d dead letters are left, want 3", len(left))
	}
}

func counted(t *testing.T, h *bench) {
	before := time.Now().Add(-time.Second)
	bury(t, h, 2)
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	for {
		stats, err := h.DeadLetters(subscription).Stats(ctx)
		if err != nil {
			t.Fatalf("count the dead letters: %v", err)
		}
		if stats.Count == 2 && stats.Oldest.After(before) && !stats.Oldest.After(time.Now()) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("stats %+v, want two that died after %s", stats, before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func nothingToReview(t *testing.T, h *bench) {
	h.Subscriber(topic, subscription, broker.Limits{})
	if done := reviewed(t, h, subscription, func(broker.DeadLetter) broker.Verdict { return broker.Purge }); done != (broker.Reviewed{}) {
		t.Fatalf("reviewed %+v", done)
	}
	stats, err := h.DeadLetters(subscription).Stats(t.Context())
	if err != nil || stats != (broker.DeadLetterStats{}) {
		t.Fatalf("stats %+v, %v", stats, err)
	}
}
