package fleettest_test

import (
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// fatal is a test that notes that it was ended.
type fatal struct {
	testing.TB
	ended bool
}

func (f *fatal) Helper()               {}
func (f *fatal) Fatalf(string, ...any) { f.ended = true }

func TestRoundsTakesANumberOfAtLeastOneOrEndsTheTest(t *testing.T) {
	for text, want := range map[string]int{"": 3, "1": 1, "60": 60, "0": 0, "-1": 0, "many": 0, "3 ": 0} {
		t.Setenv("ROUNDS", text)
		f := &fatal{TB: t}
		if got := fleettest.Rounds(f); f.ended != (want == 0) || !f.ended && got != want {
			t.Errorf("ROUNDS=%q: %d, ended %t", text, got, f.ended)
		}
	}
}
