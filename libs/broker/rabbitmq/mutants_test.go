//go:build mutants

package rabbitmq

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants break one promise of the driver each. A suite that does not notice is
// worth nothing.
var mutants = []struct {
	name, file, old, new string
	tests                string // of which one at least must fail
}{
	{
		"confirms off", "outbox.go",
		"	o.mu.Unlock()\n		if err := ch.Publish(", "	o.mu.Unlock()\n		o.confirmed(amqp.Confirmation{DeliveryTag: tag, Ack: true})\n		if err := ch.Publish(",
		"^TestConformance$/nothing_counts_as_sent",
	},
	{
		"mandatory off", "outbox.go",
		"ch.Publish(p.exchange, p.key, true, false, p.message)", "ch.Publish(p.exchange, p.key, false, false, p.message)",
		"^TestConformance$/reaches_no_subscription_is_unroutable",
	},
	{
		"acknowledge before handling", "settle.go",
		"func (p *held) offer() {\n", "func (p *held) offer() {\n	p.ack()\n",
		"^TestConformance$/whose_handler_runs_when_the_connection_is_lost",
	},
	{
		"no re-send after reconnect", "outbox.go",
		"	o.again = append(left, o.again...)\n", "	for _, p := range left {\n		o.finish(p, nil)\n	}\n",
		"^TestConformance$/connections_cut_in_the_middle",
	},
	{
		"dead letters at most once", "topology.go",
		`"x-dead-letter-strategy":    "at-least-once",`, `"x-dead-letter-strategy":    "at-most-once",`,
		"^TestARetryWaitsForItsQueueToComeBack$",
	},
	{
		"dead letters acknowledged unconfirmed", "settle.go",
		"		err := r.outbox.send(", "		p.ack()\n		err := r.outbox.send(",
		"^TestConformance$/an_alarm_keeps_from_being_stored",
	},
	{
		"unbounded window", "outbox.go",
		"slots: make(chan struct{}, Window), queue: make(chan *parcel, Window)", "slots: make(chan struct{}, 1<<20), queue: make(chan *parcel, 1<<20)",
		"^TestConformance$/nothing_counts_as_sent",
	},
}

// TestMutantsAreCaught runs the suite on the driver as each mutant has it. The
// sources stay as they are: the compiler is told to read others in their place.
func TestMutantsAreCaught(t *testing.T) {
	rabbit(t)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			out, err := mutate(t, m.file, m.old, m.new, m.tests)
			switch {
			case err == nil:
				t.Fatalf("the suite passed:\n%s", out)
			case !strings.Contains(out, "--- FAIL: Test"):
				t.Fatalf("the suite did not run: %v\n%s", err, out)
			}
		})
	}
}

// mutate runs the tests on a driver in which one text is replaced.
func mutate(t *testing.T, file, old, replacement, tests string) (string, error) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), old); n != 1 {
		t.Fatalf("%s has the text that the mutant replaces %d times, want once: %q", file, n, old)
	}
	dir := t.TempDir()
	mutant, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{mutant: strings.Replace(string(text), old, replacement, 1), overlay: string(replace)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1", "-timeout=5m", "-run", tests, ".")
	cmd.Env = append(os.Environ(), "ROUNDS=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
