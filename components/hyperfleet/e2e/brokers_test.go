package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/pstest"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/rabbitdev"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// dnsAdapter is the stack's DNS adapter, as `hyperfleet-adapter dlq` is told of it.
const dnsAdapter = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: dns-adapter}
spec:
  adapterType: dns
  resourceTypes: [clusters]
  broker: `

func TestTheStackAndItsDeadLettersOnRabbitMQ(t *testing.T) {
	pgdev.Need(t)
	node := rabbitdev.Start(t)
	address := []string{"--broker-url", "amqp://" + node.Addr() + "/"}
	stackAndDeadLetters(t, "rabbitmq", address,
		"{type: rabbitmq, exchange: hyperfleet-dev.clusters, routingKey: clusters.changed, subscription: dns-adapter-sub}",
		func(body string) error {
			return node.Publish("hyperfleet-dev.clusters", "clusters.changed", amqp.Publishing{Body: []byte(body)})
		})
}

func TestTheStackAndItsDeadLettersOnPubSub(t *testing.T) {
	pgdev.Need(t)
	server := pstest.NewServerWithAddress("127.0.0.1:0")
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("PUBSUB_EMULATOR_HOST", server.Addr)
	stackAndDeadLetters(t, "pubsub", nil,
		"{type: gcp-pubsub, projectID: hyperfleet-dev, subscription: dns-adapter-sub}",
		func(body string) error {
			server.Publish("projects/hyperfleet-dev/topics/hyperfleet.clusters.changed.v1", []byte(body), nil)
			return nil
		})
}

// stackAndDeadLetters has the stack make a cluster ready over a broker, and
// deals with the dead letter of a message that publish stores for its adapters.
func stackAndDeadLetters(t *testing.T, kind string, address []string, subscription string, publish func(body string) error) {
	t.Helper()
	p := startProcess(t, program(t), dataDirOf(t), append([]string{"--broker", kind}, address...)...)
	id, err := p.create(t, "on-"+kind)
	if err != nil {
		t.Fatalf("create: %v\n%s", err, p.out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), ceiling)
	defer cancel()
	if c, err := waitForPhase(ctx, p.client(t), fleet.Clusters, id, fleet.Ready); err != nil {
		t.Fatalf("%v; the cluster is\n%s", err, indent(c))
	}

	dlq := deadLettersOf(t, subscription, address)
	if out := dlq("list"); strings.Contains(out, "malformed-") {
		t.Fatalf("dead letters on a broker where nothing went wrong:\n%s", out)
	}
	if err := publish("no event"); err != nil {
		t.Fatal(err)
	}
	var letter string
	for tick := time.NewTicker(50 * time.Millisecond); letter == ""; {
		if _, rest, found := strings.Cut(dlq("list"), "malformed-"); found {
			letter = "malformed-" + strings.Fields(rest)[0]
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the message that is no event never came to the dead letters")
		}
	}
	if out := dlq("show", letter); !strings.Contains(out, "no CloudEvent") {
		t.Errorf("show says no reason:\n%s", out)
	}
	// Replayed, it comes back: it is still none.
	if out := dlq("replay", letter); !strings.Contains(out, "1 replayed") {
		t.Errorf("replay says\n%s", out)
	}
	for tick := time.NewTicker(50 * time.Millisecond); !strings.Contains(dlq("list"), letter); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the replayed letter never came back")
		}
	}
	if out := dlq("purge", "--all"); !strings.Contains(out, "1 purged") {
		t.Errorf("purge says\n%s", out)
	}
	if out := dlq("list"); strings.Contains(out, letter) {
		t.Errorf("after the purge there is\n%s", out)
	}
	if err := p.end(t, syscall.SIGTERM); err != nil {
		t.Errorf("hyperfleet dev ended with %v\n%s", err, p.out)
	}
}

// deadLettersOf returns `hyperfleet-adapter dlq` for the stack's DNS adapter.
func deadLettersOf(t *testing.T, subscription string, address []string) func(args ...string) string {
	t.Helper()
	dir := t.TempDir()
	binary, config := filepath.Join(dir, "hyperfleet-adapter"), filepath.Join(dir, "adapter.yaml")
	if out, err := exec.Command("go", "build", "-o", binary, "../../adapter/cmd/hyperfleet-adapter").CombinedOutput(); err != nil {
		t.Fatalf("build hyperfleet-adapter: %v\n%s", err, out)
	}
	if err := os.WriteFile(config, []byte(dnsAdapter+subscription+"\n  jobTemplate: {image: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) string {
		t.Helper()
		all := slices.Concat([]string{"dlq", "--config-file", config}, address, args)
		out, err := exec.Command(binary, all...).CombinedOutput()
		if err != nil {
			t.Fatalf("dlq %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}
