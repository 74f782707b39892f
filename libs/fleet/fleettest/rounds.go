package fleettest

import (
	"os"
	"strconv"
	"testing"
)

// Rounds is how often a random or violent test repeats: ROUNDS of the
// environment, 3 without it. Anything but a number of at least 1 ends the test:
// a soak that quietly does less than it was asked to proves nothing.
func Rounds(t testing.TB) int {
	t.Helper()
	text := os.Getenv("ROUNDS")
	if text == "" {
		return 3
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ROUNDS is %q: write a number of at least 1", text)
	}
	return n
}
