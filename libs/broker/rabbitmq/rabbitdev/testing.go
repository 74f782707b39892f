package rabbitdev

import (
	"errors"
	"testing"
)

// Start runs a node until the test ends. Where RabbitMQ is not installed the
// test is skipped, and says so.
func Start(t testing.TB) *Node {
	t.Helper()
	node, err := New(Options{})
	if errors.Is(err, ErrNotInstalled) {
		t.Skip("SKIPPED: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return node
}
