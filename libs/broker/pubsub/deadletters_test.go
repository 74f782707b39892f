package pubsub

import (
	"context"
	"fmt"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// dead gives a subscription n dead letters.
func (f *fake) dead(topic, name string, n int) {
	f.t.Helper()
	ctx, stop := context.WithTimeout(f.t.Context(), ceiling)
	defer stop()
	s, p := f.Subscriber(topic, name, broker.Limits{}), f.Publisher(topic)
	for i := range n {
		if err := p.Publish(ctx, sample(fmt.Sprint("bad-", i))); err != nil {
			f.t.Fatal(err)
		}
	}
	left := make(chan struct{}, n)
	go func() {
		for range n {
			<-left
		}
		stop()
	}()
	if err := s.Receive(ctx, func(context.Context, broker.Delivery) broker.Outcome {
		left <- struct{}{}
		return broker.Reject("no use")
	}); err != nil {
		f.t.Fatal(err)
	}
}

func TestLettersBeyondWhatIsGatheredAtOnceAreReviewedTooAndCountedAsMore(t *testing.T) {
	t.Parallel()
	const n = 7
	f := newFake(t)
	f.dead("topic", "sub", n)
	for what, bound := range map[string]func(*deadLetters){
		"as many as are gathered at once": func(d *deadLetters) { d.most = 3 },
		"as large as what is gathered":    func(d *deadLetters) { d.bytes = 1 },
	} {
		d := f.DeadLetters("topic", "sub").(*deadLetters)
		bound(d)
		if stats, err := d.Stats(t.Context()); err != nil || stats.Count == 0 || !stats.More {
			t.Errorf("%s: %+v, %v", what, stats, err)
		}
		done, err := d.Review(t.Context(), func(broker.DeadLetter) broker.Verdict { return broker.Keep })
		if err != nil || done.Kept != n {
			t.Errorf("%s: reviewed %+v of %d, %v", what, done, n, err)
		}
	}
	if stats, err := f.DeadLetters("topic", "sub").Stats(t.Context()); err != nil || stats.Count != n || stats.More {
		t.Errorf("all of them: %+v, %v", stats, err)
	}
}
