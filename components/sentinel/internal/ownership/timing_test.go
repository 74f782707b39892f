package ownership

import (
	"strings"
	"testing"
	"time"
)

func TestTimingsThatCannotWorkAreRefused(t *testing.T) {
	if err := DefaultTiming().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	if err := (Timing{time.Second, 700 * time.Millisecond, 100 * time.Millisecond}).Validate(); err != nil {
		t.Errorf("a tenth of the default: %v", err)
	}
	err := Timing{1500 * time.Millisecond, 2 * time.Second, time.Second}.Validate()
	for _, want := range []string{"lease duration 1.5s", "shorter than the lease duration", "three retry periods"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if err := (Timing{}).Validate(); err == nil || !strings.Contains(err.Error(), "retry period") || !strings.Contains(err.Error(), "lease duration") {
		t.Errorf("nothing set: %v", err)
	}
}

func TestDelaysAndPatienceAreBounded(t *testing.T) {
	timing := DefaultTiming()
	for rank, want := range map[int]time.Duration{0: 0, 1: 2 * time.Second, 2: 4 * time.Second, 3: 5 * time.Second, 1000: 5 * time.Second} {
		if got := timing.delay(rank); got != want {
			t.Errorf("at place %d a claim waits %s, want %s", rank, got, want)
		}
	}
	for steps, want := range map[int]time.Duration{0: 10 * time.Second, 1: 20 * time.Second, 5: 320 * time.Second, 1000: 320 * time.Second} {
		if got := timing.settled(steps); got != want {
			t.Errorf("after %d steps down patience is %s, want %s", steps, got, want)
		}
	}
}
