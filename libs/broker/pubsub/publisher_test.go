package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestClosesDoNotStarveEachOtherAndNothingDialsAfterThem(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("topic", "sub", broker.Limits{})
	p := f.Publisher("topic").(*publisher)
	if err := publishOne(t, p, "first", ceiling); err != nil {
		t.Fatal(err)
	}
	thaw := f.Freeze()
	published := make(chan error, 1)
	go func() { published <- publishOne(t, p, "a", ceiling) }()
	for f.Stored("topic", "sub") < 2 {
		time.Sleep(time.Millisecond)
	}
	const closes = 4
	closed := make(chan error, closes)
	for range closes {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), ceiling)
			defer cancel()
			closed <- p.Close(ctx)
		}()
	}
	thaw()
	for range closes {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if err := <-published; err != nil {
		t.Error(err)
	}
	if err := p.Check(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("the check of a closed publisher says %v", err)
	}
}

func TestAFullWindowSaysWhyAndForWhichEvent(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("topic", "sub", broker.Limits{})
	p := f.Publisher("topic").(*publisher)
	f.Alarm(true)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}, Window)
	for range Window {
		go func() {
			_ = p.Publish(ctx, sample("held")) // it ends with the context
			ended <- struct{}{}
		}()
	}
	for len(p.slots) < Window || !strings.Contains(fmt.Sprint(p.state.Check()), "quota exceeded") {
		time.Sleep(time.Millisecond)
	}
	err := publishOne(t, p, "late", 50*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || !containsAll(err.Error(), []string{"event late", "window is full", "quota exceeded"}) {
		t.Errorf("Publish gave %v", err)
	}
	stop()
	for range Window {
		<-ended
	}
	if strings.Contains(err.Error(), "event held") {
		t.Errorf("it names another event: %v", err)
	}
}
