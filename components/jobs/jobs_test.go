package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	miekg "github.com/miekg/dns"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

const clusterID = "01900000-0000-7000-8000-000000000001"

// example is the cluster that the documentation creates, as the API answers it.
func example(t testing.TB) fleet.Resource {
	t.Helper()
	text, err := os.ReadFile("../../docs/examples/cluster.json")
	if err != nil {
		t.Fatal(err)
	}
	c := fleet.Resource{ID: clusterID, Tenant: "default", Generation: 1}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// numbered is the n-th of many clusters in one zone.
func numbered(t testing.TB, n int) fleet.Resource {
	c := example(t)
	c.ID = fmt.Sprintf("01900000-0000-7000-8000-%012d", n)
	c.Name = fmt.Sprintf("c%d", n)
	return c
}

func input(c fleet.Resource, cfg Config, dependencies map[string]json.RawMessage) Input {
	return Input{Cluster: c, Dependencies: dependencies, Generation: c.Generation, Attempt: 1, Mode: ModeCreate, Config: cfg}
}

// chain runs every job in order, each with the data of those before it.
func chain(t testing.TB, c fleet.Resource, cfg Config, log *slog.Logger) map[string]Result {
	t.Helper()
	results, data := map[string]Result{}, map[string]json.RawMessage{}
	for _, kind := range Kinds() {
		in := input(c, cfg, data)
		in.Log = log
		r, err := Run(t.Context(), kind, in)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		results[kind], data[kind] = r, r.Data
	}
	return results
}

// tree is every file below dir, with its permissions and content; locks are no
// artefacts.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(rel)] = fmt.Sprintf("%s %s\n%s", info.Mode().Perm(), info.ModTime(), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheChainMakesEveryArtefact(t *testing.T) {
	dir := t.TempDir()
	results := chain(t, example(t), DefaultConfig(dir), nil)
	modes := map[string]string{}
	for path, text := range tree(t, dir) {
		modes[path], _, _ = strings.Cut(text, " ")
	}
	want := map[string]string{
		"validation/" + clusterID + ".json": "-rw-r--r--",
		"dns/clusters.example.com.zone":     "-rw-r--r--",
		"dns/ca.crt":                        "-rw-r--r--",
		"dns/ca.key":                        "-rw-------",
		"tls/" + clusterID + ".yaml":        "-rw-------",
		"pullsecret/" + clusterID + ".yaml": "-rw-------",
		"placement/assignments.json":        "-rw-r--r--",
		"placement/" + clusterID + ".json":  "-rw-r--r--",
		"hypershift/" + clusterID + ".yaml": "-rw-r--r--",
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Errorf("artefacts -want +got:\n%s", diff)
	}
	data := map[string]string{}
	for kind, r := range results {
		data[kind] = string(r.Data)
	}
	wantData := map[string]string{
		"validation": `{"policies":29,"warnings":[]}`,
		"dns":        `{"baseDomain":"clusters.example.com","apiHost":"api.prod-7.clusters.example.com","ingressHost":"*.apps.prod-7.clusters.example.com","zoneFile":"dns/clusters.example.com.zone","certificateSecret":"prod-7-tls"}`,
		"placement":  `{"managementCluster":"mc-us-east-aws-1","region":"us-east","zone":"us-east-1a","providerRegion":"us-east-1"}`,
		"pullsecret": `{"secretName":"prod-7-pull-secret","manifest":"pullsecret/` + clusterID + `.yaml","warnings":[]}`,
		"hypershift": `{"manifest":"hypershift/` + clusterID + `.yaml","namespace":"hyperfleet-default"}`,
	}
	if diff := cmp.Diff(wantData, data); diff != "" {
		t.Errorf("data -want +got:\n%s", diff)
	}
}

func TestASecondRunChangesNoByte(t *testing.T) {
	dir := t.TempDir()
	first := chain(t, example(t), DefaultConfig(dir), nil)
	before := tree(t, dir)
	second := chain(t, example(t), DefaultConfig(dir), nil)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("results -first +second:\n%s", diff)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("files -first +second:\n%s", diff)
	}
}

func TestManyClustersShareOneZone(t *testing.T) {
	const clusters = 20
	for round := range fleettest.Rounds(t) {
		dir := t.TempDir()
		cfg := DefaultConfig(dir)
		var all sync.WaitGroup
		for n := range 2 * clusters { // every cluster's job runs twice at once
			all.Go(func() {
				if _, err := Run(t.Context(), "dns", input(numbered(t, n%clusters), cfg, nil)); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		checkZone(t, filepath.Join(dir, "dns", "clusters.example.com.zone"), clusters)
	}
}

// checkZone says whether a zone file holds the records of the first n clusters
// and a serial that rose once for each.
func checkZone(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]string{}
	p := miekg.NewZoneParser(f, "", path)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		switch rr := rr.(type) {
		case *miekg.SOA:
			if rr.Serial != uint32(n) {
				t.Errorf("serial %d, want %d", rr.Serial, n)
			}
		case *miekg.CNAME:
			got[rr.Hdr.Name] = rr.Target
		}
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	want := map[string]string{}
	for i := range n {
		c := numbered(t, i)
		target := c.ID + ".ingress.hyperfleet.example."
		want["api."+c.Name+".clusters.example.com."], want["*.apps."+c.Name+".clusters.example.com."] = target, target
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records -want +got:\n%s", diff)
	}
}

func TestCapacityHoldsAmongPlacementsAtOnce(t *testing.T) {
	inventory := filepath.Join(t.TempDir(), "inventory.yaml")
	text := "managementClusters:\n"
	for _, name := range []string{"a", "b", "c"} {
		text += "- {name: " + name + ", region: us-east, provider: aws, providerRegion: us-east-1, zone: us-east-1" + name + ", architectures: [amd64], capacity: 5}\n"
	}
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range fleettest.Rounds(t) {
		cfg := DefaultConfig(t.TempDir())
		cfg.InventoryFile = inventory
		var mu sync.Mutex
		placed, refused := map[string]int{}, 0
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() {
				r, err := Run(t.Context(), "placement", input(numbered(t, n), cfg, nil))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					if refused++; !strings.Contains(err.Error(), "a (is full: 5 of 5); b (is full: 5 of 5); c (is full: 5 of 5)") {
						t.Error(err)
					}
					return
				}
				var data struct{ ManagementCluster string }
				if err := json.Unmarshal(r.Data, &data); err != nil {
					t.Error(err)
				}
				placed[data.ManagementCluster]++
			})
		}
		all.Wait()
		if diff := cmp.Diff(map[string]int{"a": 5, "b": 5, "c": 5}, placed); diff != "" || refused != 5 {
			t.Errorf("%d refused, want 5; placed -want +got:\n%s", refused, diff)
		}
	}
}

func TestTheLogHoldsWhatHappened(t *testing.T) {
	var log bytes.Buffer
	chain(t, example(t), DefaultConfig(t.TempDir()), slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, kind := range Kinds() {
		if !strings.Contains(log.String(), `"msg":"job succeeded","adapter":"`+kind+`","cluster":"`+clusterID+`"`) {
			t.Errorf("nothing of %s in\n%s", kind, &log)
		}
	}
}

func TestBadInputIsRefusedWithEveryProblem(t *testing.T) {
	good := func() Input { return input(example(t), DefaultConfig(t.TempDir()), nil) }
	for name, c := range map[string]struct {
		kind   string
		change func(*Input)
		want   []string
	}{
		"an unknown kind":             {"nonsense", func(*Input) {}, []string{`no job "nonsense"; there are validation, dns, placement, pullsecret, hypershift`}},
		"another mode":                {"dns", func(in *Input) { in.Mode = "mend" }, []string{`mode "mend"`}},
		"an id that leads elsewhere":  {"validation", func(in *Input) { in.Cluster.ID = "../../etc/passwd" }, []string{"want a UUID"}},
		"a name that leads elsewhere": {"dns", func(in *Input) { in.Cluster.Name = "a/b" }, []string{`cluster name "a/b"`}},
		"a base domain that leads elsewhere": {"dns", func(in *Input) { in.Cluster.Spec = json.RawMessage(`{"dns":{"baseDomain":"../x"}}`) },
			[]string{`dns.baseDomain "../x"`}},
		"a pull secret that leads elsewhere": {"pullsecret", func(in *Input) {
			in.Cluster.Spec = json.RawMessage(`{"pullSecrets":["../x","absent"]}`)
			in.Config.PullSecretDir = in.Config.OutputDir
		}, []string{`pullSecrets[0]: "../x" is no name`, "pullSecrets[1]: there is no absent"}},
		"a pool's id that leads elsewhere": {"hypershift", func(in *Input) { in.NodePool = &fleet.Resource{ID: "../x", Name: "a/b"} },
			[]string{`node pool id "../x"`, `node pool name "a/b"`}},
		"a pool for a job that knows none": {"dns", func(in *Input) { in.NodePool = &fleet.Resource{ID: clusterID, Name: "extra"} },
			[]string{"dns has nothing to do for a node pool"}},
		"a tenant that is no label": {"dns", func(in *Input) { in.Cluster.Tenant = "A b" }, []string{`tenant "A b"`}},
		"nothing right": {"dns", func(in *Input) { *in = Input{} }, []string{"mode", "cluster id", "cluster name", "output dir", "zone dir",
			"CA dir", "base domain", "ingress domain", "name server", "release image"}},
		"a policy file that is not there": {"validation", func(in *Input) { in.Config.PolicyBundle = "absent.yaml" }, []string{"read the policies", "absent.yaml"}},
		"missing dependencies": {"hypershift", func(in *Input) {
			in.Dependencies = map[string]json.RawMessage{"dns": json.RawMessage(`{"apiHost":"a"}`)}
		},
			[]string{"placement: its data is missing", "dns: its data lacks baseDomain, certificateSecret, ingressHost", "pullsecret: its data is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			in := good()
			c.change(&in)
			_, err := Run(t.Context(), c.kind, in)
			if err == nil {
				t.Fatal("it succeeded")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestAMessageFitsAReport(t *testing.T) {
	in := input(example(t), DefaultConfig(t.TempDir()), nil)
	in.Cluster.Spec = json.RawMessage(`{"dns":{"baseDomain":"` + strings.Repeat("ü", 9000) + `"}}`)
	_, err := Run(t.Context(), "dns", in)
	if err == nil || len(err.Error()) > maxMessage || !strings.HasSuffix(err.Error(), "…") {
		t.Errorf("%d bytes: %v", len(err.Error()), err)
	}
}

func TestAJobThatIsStoppedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range Kinds() {
		dir := t.TempDir()
		if _, err := Run(ctx, kind, input(example(t), DefaultConfig(dir), nil)); err == nil || !strings.Contains(err.Error(), "stopped") {
			t.Errorf("%s: %v", kind, err)
		}
		if files := slices.Collect(maps.Keys(tree(t, dir))); len(files) > 0 {
			t.Errorf("%s wrote %v", kind, files)
		}
	}
}
