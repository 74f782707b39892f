package adapter_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/components/adapter"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

const dlqConfig = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: dns-adapter}
spec:
  adapterType: dns
  resourceTypes: [clusters]
  broker: {type: stub, subscription: dns-sub}
  jobTemplate: {image: x}
`

// dlq runs `hyperfleet-adapter dlq …` on a driver.
func dlq(t *testing.T, open broker.Open, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "adapter.yaml")
	if err := os.WriteFile(file, []byte(dlqConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p := adapter.DefaultProcess()
	program := service.Program{Name: "hyperfleet-adapter", Declare: p.Declare, Validate: func() error { return p.Validate() }}
	cmd, settings := program.Command()
	has := map[string]broker.Open{broker.TypeStub: open}
	cmd.AddCommand(adapter.DLQCommand(&p, has, program, settings))
	var out, errs bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{"dlq", "--config-file", file}, args...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// bury gives b dead letters with these ids, on dns-sub.
func bury(t *testing.T, b *stub.Broker, ids ...string) broker.Subscriber {
	t.Helper()
	s := b.Subscriber("topic", "dns-sub", broker.Limits{Concurrency: 1}) // so that they keep their order
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	p, left := b.Publisher("topic"), len(ids)
	for _, id := range ids {
		e := event.New()
		e.SetID(id)
		e.SetSource("test")
		e.SetType("test")
		e.SetSubject("cluster-of-" + id)
		if err := p.Publish(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
		if left--; left == 0 {
			stop()
		}
		return broker.Reject("no use for " + d.Event.ID())
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeadLettersAreListedShownReplayedAndPurged(t *testing.T) {
	b := stub.New()
	bury(t, b, "a", "b", "c")
	for _, c := range []struct {
		args  string
		says  []string
		fail  string
		warns string
	}{
		{args: "list", says: []string{"ID", "DELIVERIES", "cluster-of-a", "no use for b", "c  "}},
		{args: "list --limit 1", says: []string{"no use for a"}, warns: "there are more than 1: raise --limit"},
		{args: "list --limit 3", says: []string{"no use for c"}},
		{args: "list --json --subscription dns-sub", says: []string{`"id":"a"`, `"reason":"no use for a"`, `"subject":"cluster-of-a"`}},
		{args: "show b", says: []string{`"deliveries": 1`, `"firstFailure": "20`, `"cluster-of-b"`}},
		{args: "show z", fail: `no dead letter "z"`},
		{args: "list --subscription other", fail: `has ["dns-sub"]`},
		{args: "purge", fail: "name the ids, or say --all"},
		{args: "purge a --all", fail: "name the ids, or say --all"},
		{args: "purge a z", says: []string{"1 purged"}, fail: `no dead letter "z"`},
		{args: "replay b", says: []string{"1 replayed"}},
		{args: "replay --all", says: []string{"1 replayed"}},
		{args: "list --json", says: []string{""}},
	} {
		open := func(broker.Settings, broker.Deps) (broker.Driver, error) { return b.Driver(), nil }
		out, warned, err := dlq(t, open, strings.Fields(c.args)...)
		if c.fail == "" && strings.TrimSpace(warned) != c.warns {
			t.Errorf("dlq %s warns of %q, want %q", c.args, warned, c.warns)
		}
		if (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Fatalf("dlq %s: %v, want %q", c.args, err, c.fail)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("dlq %s does not say %q:\n%s", c.args, want, out)
			}
		}
	}
	if stats, err := b.DeadLetters("dns-sub").Stats(t.Context()); err != nil || stats.Count != 0 {
		t.Errorf("%d dead letters are left, %v", stats.Count, err)
	}
}

// What somebody copies at night from the runbook must be understood.
func TestTheCommandsOfTheRunbookParse(t *testing.T) {
	text, err := os.ReadFile("../../docs/runbooks/DeadLetters.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	values := map[string]string{"ADAPTER": "dns-adapter", "NAMESPACE": "hyperfleet", "SUBSCRIPTION": "dns-adapter-sub", "EVENT": "0190"}
	for _, line := range regexp.MustCompile("hyperfleet-adapter [^\n`]*").FindAllString(string(text), -1) {
		line = os.Expand(line, func(name string) string {
			if values[name] == "" {
				t.Errorf("%s: nobody knows what $%s is", line, name)
			}
			return values[name]
		})
		p := adapter.DefaultProcess()
		program := service.Program{Name: "hyperfleet-adapter", Declare: p.Declare, Validate: func() error { return p.Validate() }}
		cmd, settings := program.Command()
		cmd.AddCommand(adapter.DLQCommand(&p, nil, program, settings))
		called, args, err := cmd.Find(strings.Fields(line)[1:])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		seen[called.Name()] = true
		if err := errors.Join(called.ParseFlags(args), called.ValidateArgs(called.Flags().Args()), p.Validate()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if !p.Operated() {
			t.Errorf("%s: says of no adapter", line)
		}
	}
	for _, name := range []string{"list", "show", "replay", "purge"} {
		if !seen[name] {
			t.Errorf("the runbook does not say how to %s", name)
		}
	}
}

// silent is a broker that does half of what it is asked and then says nothing.
type silent struct {
	broker.Driver
	log *slog.Logger
}

func (s silent) DeadLetters(context.Context, broker.Subscription) (broker.DeadLetters, error) {
	return s, nil
}

func (silent) Stats(context.Context) (broker.DeadLetterStats, error) {
	return broker.DeadLetterStats{}, nil
}

func (s silent) Review(ctx context.Context, judge func(broker.DeadLetter) broker.Verdict) (broker.Reviewed, error) {
	s.log.Warn("the disk is full")
	judge(broker.DeadLetter{Event: event.New()})
	<-ctx.Done()
	return broker.Reviewed{Replayed: 1}, ctx.Err()
}

func TestASilentBrokerEndsADealInTimeAndWhatWasDoneIsTold(t *testing.T) {
	open := func(_ broker.Settings, deps broker.Deps) (broker.Driver, error) { return silent{log: deps.Log}, nil }
	stdout, stderr, err := dlq(t, open, "replay", "--all", "--timeout", "50ms")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "--timeout 50ms") {
		t.Errorf("ended with %v", err)
	}
	if !strings.Contains(stdout, "1 replayed") {
		t.Errorf("the output does not say what was done: %q", stdout)
	}
	if !strings.Contains(stderr, "the disk is full") {
		t.Errorf("the standard error lacks the driver's log: %q", stderr)
	}
}
