package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func untilAsked(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestPartsRunUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		drained := 0
		drain := func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			drained++
			return nil
		}
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		if err := Run(ctx, Part{"waits", untilAsked}, Part{"drains", drain}); err != nil {
			t.Errorf("Run = %v", err)
		}
		if drained != 1 || time.Since(begin) != 65*time.Second {
			t.Errorf("Run returned after %s with %d drained", time.Since(begin), drained)
		}
	})
}

func TestAPartThatFailsEndsTheOthers(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	ended := errors.New("could not drain")
	err := Run(t.Context(),
		Part{"first", func(context.Context) error { return boom }},
		Part{"second", func(ctx context.Context) error { <-ctx.Done(); return ended }},
		Part{"third", untilAsked})
	if !errors.Is(err, boom) || !errors.Is(err, ended) || !strings.Contains(err.Error(), "first: boom") {
		t.Errorf("Run = %v", err)
	}
	if errors.Is(err, context.Canceled) {
		t.Errorf("the mere end counts as an error: %v", err)
	}
}

func TestAPartThatEndsUnaskedEndsTheOthers(t *testing.T) {
	t.Parallel()
	err := Run(t.Context(), Part{"quitter", func(context.Context) error { return nil }}, Part{"other", untilAsked})
	if err == nil || !strings.Contains(err.Error(), "quitter") {
		t.Errorf("Run = %v", err)
	}
}

func TestNoPartsIsNothingToDo(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context()); err != nil {
		t.Error(err)
	}
}
