package jobspec_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

var update = flag.Bool("update", false, "write the golden files")

const id = "0190b6a0-1234-7000-8000-0000000000aa"

func config(adapter string, dependencies ...string) v1alpha1.AdapterConfig {
	return v1alpha1.AdapterConfig{
		ObjectMeta: metav1.ObjectMeta{Name: adapter + "-adapter", Namespace: "hyperfleet-system"},
		Spec: v1alpha1.AdapterConfigSpec{
			AdapterType:   adapter,
			Criteria:      v1alpha1.Criteria{Dependencies: dependencies},
			HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://hyperfleet-api:8080"},
			JobTemplate:   v1alpha1.JobTemplate{Image: "quay.io/hyperfleet/" + adapter + "-job:v1.0.0"},
		},
	}.Defaults()
}

func create(number, base int) jobspec.Attempt {
	return jobspec.Attempt{Number: number, Base: base, Mode: jobspec.ModeCreate}
}

func sample() fleet.Resource {
	at := fleet.At(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return fleet.Resource{
		ID: id, Kind: "Cluster", Href: "/v1/clusters/" + id, Tenant: "default", Name: "prod-7", Generation: 2, ResourceVersion: "m2.s5",
		Labels: map[string]string{"region": "us-east"}, Spec: json.RawMessage(`{"version":"4.17.3"}`), CreatedAt: at, UpdatedAt: at,
		Status: fleet.Status{Phase: fleet.Provisioning, LastTransitionTime: at, ObservedGeneration: 2, Adapters: []fleet.AdapterStatus{
			{AdapterName: "validation", Phase: fleet.ReportComplete, ObservedGeneration: 2, Attempt: 1, LastTransitionTime: at, Data: json.RawMessage(`{"policies":4}`)},
			{AdapterName: "dns", Phase: fleet.ReportComplete, ObservedGeneration: 1, Attempt: 1, LastTransitionTime: at, Data: json.RawMessage(`{"old":true}`)},
		}},
	}
}

func TestManifestsMatchTheGoldenFiles(t *testing.T) {
	full := config("hypershift", "validation", "dns")
	full.Spec.JobTemplate.Command = []string{"/job"}
	full.Spec.JobTemplate.Args = []string{"--verbose"}
	full.Spec.JobTemplate.Env = []corev1.EnvVar{{Name: "ZONE", Value: "a"}}
	full.Spec.JobTemplate.Secrets = []string{"aws-credentials", "registry"}
	full.Spec.JobTemplate.ServiceAccountName = "hypershift-job"
	full.Spec.JobTemplate.ActiveDeadlineSeconds = new(int64(600))
	full.Spec.JobTemplate.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
	full.Spec.Deletion = &v1alpha1.Deletion{JobTemplate: v1alpha1.JobTemplate{Image: "quay.io/hyperfleet/undo:v1.0.0", TTLSecondsAfterFinished: new(int32(60))}}
	full = full.Defaults()
	owner := sample()
	cluster := jobspec.Subject{Type: fleet.Clusters, Resource: owner}
	pool := jobspec.Subject{Type: fleet.NodePools, Owner: &owner, Resource: fleet.Resource{
		ID: "0190b6a0-1234-7000-8000-0000000000bb", Kind: "NodePool", Name: "workers", Owner: &fleet.Owner{ID: id}, Generation: 1,
		Spec: json.RawMessage(`{"replicas":3}`), CreatedAt: owner.CreatedAt, UpdatedAt: owner.UpdatedAt,
		Status: fleet.Status{LastTransitionTime: owner.CreatedAt, Adapters: []fleet.AdapterStatus{
			{AdapterName: "validation", Phase: fleet.ReportComplete, ObservedGeneration: 1, Attempt: 1, LastTransitionTime: owner.CreatedAt, Data: json.RawMessage(`{"policies":2}`)},
		}},
	}}
	for _, tc := range []struct {
		name    string
		cfg     v1alpha1.AdapterConfig
		about   jobspec.Subject
		attempt jobspec.Attempt
	}{
		{"the-defaults", config("dns", "validation"), cluster, create(1, 0)},
		{"everything-set-third-attempt", full, cluster, create(3, 2)},
		{"a-long-adapter-name", config("an-adapter-with-a-very-long-name-indeed-it-does-not-fit-at-all"), cluster, create(12, 0)},
		{"a-node-pool", config("hypershift", "validation"), pool, create(1, 0)},
		{"a-deletion", full, cluster, jobspec.Attempt{Number: 2, Mode: jobspec.ModeDelete}},
		{"a-check", full, cluster, jobspec.Attempt{Number: 2, Mode: jobspec.ModeCheck, Check: 1767323045}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j, err := jobspec.New(tc.cfg, tc.about, tc.attempt)
			if err != nil {
				t.Fatal(err)
			}
			job, secret, err := jobspec.Manifests(j)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			input := *secret // as text, for the reader of the golden file
			input.StringData, input.Data = map[string]string{}, nil
			for k, v := range secret.Data {
				input.StringData[k] = string(v)
			}
			text, err := yaml.Marshal(input)
			if err != nil {
				t.Fatal(err)
			}
			got = append(append(got, "---\n"...), text...)
			golden := filepath.Join("testdata", tc.name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("golden file differs (-want +got); -update writes it:\n%s", diff)
			}
		})
	}
}

func TestNames(t *testing.T) {
	hex := strings.ReplaceAll(id, "-", "")
	for _, tc := range []struct {
		name string
		id   jobspec.Identity
		want string // "" = an error
	}{
		{"the first attempt has no suffix", jobspec.Identity{Adapter: "dns", ResourceID: id, Generation: 1, Attempt: 1}, "dns-adapter-" + hex + "-g1"},
		{"a later attempt has one", jobspec.Identity{Adapter: "hypershift", ResourceID: id, Generation: 12, Attempt: 3}, "hypershift-adapter-" + hex + "-g12-r3"},
		{"a deletion says so", jobspec.Identity{Adapter: "dns", ResourceID: id, Generation: 3, Attempt: 2, Mode: jobspec.ModeDelete}, "dns-adapter-" + hex + "-g3-r2-d"},
		{"a check says which", jobspec.Identity{Adapter: "dns", ResourceID: id, Generation: 3, Attempt: 2, Mode: jobspec.ModeCheck, Check: 1767323045}, "dns-adapter-" + hex + "-g3-c1767323045"},
		{"where room is short a hash stands for the adapter", jobspec.Identity{Adapter: "validation", ResourceID: id, Generation: 12, Attempt: 1, Mode: jobspec.ModeCheck, Check: 1767323045},
			"98c41d-adapter-" + hex + "-g12-c1767323045"},
		{"an id that is no UUID", jobspec.Identity{Adapter: "dns", ResourceID: "cls-123", Generation: 1, Attempt: 1}, ""},
		{"no attempt", jobspec.Identity{Adapter: "dns", ResourceID: id, Generation: 1}, ""},
		{"no room", jobspec.Identity{Adapter: "hypershift", ResourceID: id, Generation: 1 << 60, Attempt: 1}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.id.Name()
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestDistinctAttemptsHaveDistinctValidNames(t *testing.T) {
	identity := rapid.Custom(func(t *rapid.T) jobspec.Identity {
		return jobspec.Identity{
			Adapter: rapid.OneOf(
				rapid.SampledFrom([]string{"dns", "dns-a", "a-very-long-adapter-name-that-must-be-cut-0", "a-very-long-adapter-name-that-must-be-cut-1"}),
				rapid.StringMatching(`[a-z]([a-z0-9-]{0,61}[a-z0-9])?`)).Draw(t, "adapter"),
			ResourceID: rapid.SampledFrom([]string{id, "0190b6a0-1234-7000-8000-0000000000ab"}).Draw(t, "id"),
			Generation: rapid.OneOf(rapid.Int64Range(1, 12), rapid.Int64Range(1, 1_000_000)).Draw(t, "generation"),
			Attempt:    rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(1, 999)).Draw(t, "attempt"),
			Mode:       rapid.SampledFrom([]string{jobspec.ModeCreate, jobspec.ModeDelete}).Draw(t, "mode"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		names := map[string]jobspec.Identity{}
		for _, i := range rapid.SliceOfN(identity, 2, 30).Draw(t, "identities") {
			name, err := i.Name()
			if err != nil {
				t.Fatal(err)
			}
			if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
				t.Fatalf("%q: %v", name, msgs)
			}
			if other, taken := names[name]; taken && other != i {
				t.Fatalf("%q names %+v and %+v", name, other, i)
			}
			names[name] = i
		}
	})
}
