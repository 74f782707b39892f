package replicas

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/rabbitdev"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

const (
	ceiling     = 2 * time.Minute // how long a test waits for what must happen
	shards      = 10
	shardSize   = 20
	modulePath  = "github.com/hyperfleet/hyperfleet/components/"
	shardPrefix = "sentinel-shard."
)

func TestMain(m *testing.M) {
	os.Exit(kubedev.Run(func() int { return pgdev.Run(m.Run) }))
}

// stand is a fleet, all of it in processes: what sentinels work on.
type stand struct {
	t         *testing.T
	binaries  string
	cluster   *kubedev.Cluster
	leases    coordinationclient.LeaseInterface
	api       *client.Client
	apiURL    string
	brokerURL string
	kube      string // the kubeconfig's file
	flags     []string
	ledger    *ledger

	clusters   []string       // ids
	shardOf    map[string]int // by id
	generation int64          // of every cluster
	started    int            // replicas, so far
}

// newStand has shards SentinelConfigs with this spec, and clusters in each. The
// flags are every sentinel's.
func newStand(t *testing.T, spec string, flags ...string) *stand {
	t.Helper()
	pgdev.Need(t)
	kubedev.Need(t)
	node := rabbitdev.Start(t)
	s := &stand{t: t, flags: flags, cluster: kubedev.Start(t, kubedev.Options{}), brokerURL: "amqp://" + node.Addr() + "/", shardOf: map[string]int{}}
	s.ledger = openLedger(t, node.URL())
	s.build()
	s.startAPI()
	leases, err := coordinationclient.NewForConfig(s.cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	s.leases = leases.Leases(s.cluster.Namespace)
	s.configure(spec)
	s.populate()
	return s
}

func (s *stand) build() {
	s.t.Helper()
	s.binaries = s.t.TempDir()
	out, err := exec.CommandContext(s.t.Context(), "go", "build", "-o", s.binaries+"/", modulePath+"api/cmd/hyperfleet-api", modulePath+"sentinel/cmd/hyperfleet-sentinel").CombinedOutput()
	if err != nil {
		s.t.Fatalf("build API and sentinel: %v\n%s", err, out)
	}
}

// startAPI starts the API on a database of its own, open to everybody here.
func (s *stand) startAPI() {
	s.t.Helper()
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "api.yaml")
	if err := os.WriteFile(file, []byte("auth: {mode: disabled}\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run("hyperfleet-api", []string{"DATABASE_URL=" + pgdev.Database(s.t)}, "--config-file", file, "--listen", address, "--admin-listen", "127.0.0.1:0", "--migrate", "--log-level", "warn")
	s.apiURL = "http://" + address
	if s.api, err = client.New(s.apiURL, nil, ceiling); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the API answers", func(ctx context.Context) error {
		_, err := s.api.Shards(ctx, fleet.Clusters, 1, "")
		return err
	})
}

// configure applies the SentinelConfigs.
func (s *stand) configure(spec string) {
	s.t.Helper()
	for _, file := range []string{"../../../libs/apis/crds/hyperfleet.redhat.com_sentinelconfigs.yaml", "../../sentinel/rbac/role.yaml", "../../sentinel/rbac/binding.yaml"} {
		manifest, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		s.cluster.Apply(s.t, manifest)
	}
	var all strings.Builder
	for i := range shards {
		fmt.Fprintf(&all, `---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: shard-%d}
spec:
  resourceType: clusters
  shardSelector: {matchLabels: {region: r%d}}
  backoffNotReady: 1h
  backoffReady: 1h
  broker: {type: rabbitmq, exchange: %s, routingKey: clusters.changed}
%s
`, i, i, exchange, spec)
	}
	s.cluster.Apply(s.t, []byte(all.String()))
	s.kube = s.cluster.Kubeconfig(s.t, s.cluster.As(s.t, "hyperfleet-sentinel"))
}

// populate makes the clusters: generation 1, which is due at once.
func (s *stand) populate() {
	s.t.Helper()
	for i := range shards * shardSize {
		c, err := s.api.Create(s.t.Context(), fleet.Clusters, fleet.NewResource{Name: fmt.Sprintf("c-%d", i),
			Labels: map[string]string{"region": fmt.Sprintf("r%d", i%shards)}, Spec: []byte(`{"provider":"aws"}`)})
		if err != nil {
			s.t.Fatal(err)
		}
		s.clusters = append(s.clusters, c.ID)
		s.shardOf[c.ID] = i % shards
	}
	s.generation = 1
}

// change changes every cluster, which is due once more for that. It ends when
// all are changed.
func (s *stand) change() {
	s.t.Helper()
	s.generation++
	patch := map[string]any{"spec": map[string]any{"version": fmt.Sprintf("4.16.%d", s.generation)}}
	var group sync.WaitGroup
	for part := range 4 {
		group.Go(func() {
			for i := part; i < len(s.clusters); i += 4 {
				if c, err := s.api.Patch(s.t.Context(), fleet.Clusters, s.clusters[i], patch); err != nil || c.Generation != s.generation {
					s.t.Errorf("change cluster %s: generation %d, %v; want %d", s.clusters[i], c.Generation, err, s.generation)
				}
			}
		})
	}
	group.Wait()
}

// heard waits until there was an event of each cluster's generation.
func (s *stand) heard() {
	s.t.Helper()
	deadline := time.After(ceiling)
	for {
		missing, changed := s.ledger.missing(s.clusters, s.generation)
		if missing == 0 {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.t.Fatalf("%d clusters had no event of generation %d in %s", missing, s.generation, ceiling)
		}
	}
}

// leaders are the holders of the shards' Leases; "" = nobody.
func (s *stand) leaders(ctx context.Context) (map[int]string, error) {
	all, err := s.leases.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, l := range all.Items {
		var shard int
		if n, _ := fmt.Sscanf(l.Name, shardPrefix+"shard-%d", &shard); n == 1 && l.Spec.HolderIdentity != nil {
			out[shard] = *l.Spec.HolderIdentity
		}
	}
	return out, nil
}

// led waits until every shard has a leader among these, and returns how long
// that took.
func (s *stand) led(by ...*replica) time.Duration {
	s.t.Helper()
	began := time.Now()
	s.eventually("every shard has a leader that lives", func(ctx context.Context) error {
		leaders, err := s.leaders(ctx)
		if err != nil {
			return err
		}
		for shard := range shards {
			if !isOneOf(leaders[shard], by) {
				return fmt.Errorf("shard %d is led by %q", shard, leaders[shard])
			}
		}
		return nil
	})
	return time.Since(began)
}

func isOneOf(holder string, replicas []*replica) bool {
	for _, r := range replicas {
		if r.is(holder) {
			return true
		}
	}
	return false
}

// eventually waits until such says nil.
func (s *stand) eventually(what string, such func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), ceiling)
	defer cancel()
	for {
		err := such(ctx)
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("not in %s: %s: %v", ceiling, what, err)
		}
	}
}
