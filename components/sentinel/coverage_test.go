package sentinel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// shelf is an API with a fleet of clusters, in pages of 7, and a coverage.
type shelf struct {
	clusters []fleet.Resource
	coverage fleet.Coverage
	refuses  int // so many lists are refused before one is answered
}

func (s *shelf) RoundTrip(r *http.Request) (*http.Response, error) {
	const page = 7
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	var answer any
	switch {
	case r.URL.Path == "/v1/shards/coverage" && q.Get("resourceType") == "clusters":
		answer = s.coverage
	case r.URL.Path == "/v1/shards/coverage":
		answer = fleet.Coverage{ResourceType: fleet.ResourceType(q.Get("resourceType"))}
	case s.refuses > 0:
		s.refuses--
		w.WriteHeader(http.StatusTooManyRequests)
		answer = map[string]string{"code": "rate_limited"}
	default:
		list := fleet.List{Items: []fleet.Resource{}, AsOf: fleet.At(time.Now())}
		from, _ := strconv.Atoi(q.Get("continue"))
		if r.URL.Path == "/v1/clusters" {
			to := min(from+page, len(s.clusters))
			if list.Items = s.clusters[from:to]; to < len(s.clusters) {
				list.Continue = strconv.Itoa(to)
			}
		}
		answer = list
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (s *shelf) command(file string) *coverage {
	p := DefaultProcess()
	p.APIURL, p.ConfigFile = "http://api.test:8080", file
	return &coverage{process: &p, transport: s, timeout: time.Minute, asJSON: true}
}

// draw makes one random requirement on labels, and says in its own words
// whether a resource meets it. Some are invalid.
func draw(r *rand.Rand) (q metav1.LabelSelectorRequirement, meets func(map[string]string) bool, valid bool) {
	key := []string{"region", "env", "size"}[r.IntN(3)]
	values := []string{"a", "b", "c"}[:1+r.IntN(3)]
	in := func(l map[string]string) bool { v, has := l[key]; return has && slices.Contains(values, v) }
	has := func(l map[string]string) bool { _, has := l[key]; return has }
	not := func(f func(map[string]string) bool) func(map[string]string) bool {
		return func(l map[string]string) bool { return !f(l) }
	}
	switch n := r.IntN(100); {
	case n < 3:
		return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn}, nil, false
	case n < 5:
		return metav1.LabelSelectorRequirement{Key: "-" + key, Operator: metav1.LabelSelectorOpExists}, nil, false
	case n < 7:
		return metav1.LabelSelectorRequirement{Key: key, Operator: "Near", Values: values}, nil, false
	case n < 50:
		return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: values}, in, true
	case n < 70:
		return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: values}, not(in), true
	case n < 85:
		return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpExists}, has, true
	}
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist}, not(has), true
}

// TestCoverageOfAFileIsBruteForces judges 500 random files: none, gaps,
// overlaps, and those that cannot be.
func TestCoverageOfAFileIsBruteForces(t *testing.T) {
	seed := rand.Uint64()
	r, dir := rand.New(rand.NewPCG(seed, 0)), t.TempDir()
	t.Logf("seed %d", seed)
	gaps, overlaps, whole, invalid := 0, 0, 0, 0
	for i := range 500 {
		s := &shelf{}
		for n := range r.IntN(40) {
			l := map[string]string{}
			for _, key := range []string{"region", "env", "size"} {
				if r.IntN(4) > 0 {
					l[key] = []string{"a", "b", "c"}[r.IntN(3)]
				}
			}
			s.clusters = append(s.clusters, fleet.Resource{ID: fmt.Sprintf("%03d-%d", r.IntN(1000), n), Labels: l})
		}
		text, meets, valid := drawSet(t, r)
		var out bytes.Buffer
		err := s.command(written(t, dir, text)).run(t.Context(), &out)
		if !valid {
			if invalid++; err == nil {
				t.Fatalf("seed %d, set %d: accepted\n%s", seed, i, text)
			}
			continue
		}
		if err != nil {
			t.Fatalf("seed %d, set %d: %v\n%s", seed, i, err, text)
		}
		var got fleet.Coverage
		if err := json.Unmarshal(bytes.SplitAfter(out.Bytes(), []byte("\n"))[0], &got); err != nil {
			t.Fatal(err)
		}
		want := brute(s.clusters, meets)
		got.Shards, got.AsOf = nil, fleet.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, set %d (-brute force +command):\n%s\n%s", seed, i, diff, text)
		}
		gaps, overlaps = gaps+min(1, len(want.Uncovered.IDs)), overlaps+min(1, len(want.Overlapping.IDs))
		if want.Total > 0 && want.Uncovered.Count+want.Overlapping.Count == 0 {
			whole++
		}
	}
	if gaps < 50 || overlaps < 50 || whole < 2 || invalid < 50 {
		t.Errorf("%d gaps, %d overlaps, %d without either and %d invalid prove little", gaps, overlaps, whole, invalid)
	}
}

// drawSet makes a file, and for each SentinelConfig of clusters what it demands.
func drawSet(t *testing.T, r *rand.Rand) (text string, meets []func(map[string]string) bool, valid bool) {
	t.Helper()
	n := r.IntN(6)
	valid = n > 0 // a file without any is a mistake
	for i := range n {
		c := v1alpha1.SentinelConfig{TypeMeta: metav1.TypeMeta{APIVersion: "hyperfleet.redhat.com/v1alpha1", Kind: "SentinelConfig"},
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d", i)}}
		c.Spec.ResourceType, c.Spec.ShardSelector = "clusters", &metav1.LabelSelector{}
		var all []func(map[string]string) bool
		for range r.IntN(3) {
			q, meets, ok := draw(r)
			c.Spec.ShardSelector.MatchExpressions = append(c.Spec.ShardSelector.MatchExpressions, q)
			all, valid = append(all, meets), valid && ok
		}
		switch k := r.IntN(30); {
		case k < 10:
			c.Spec.ShardSelector.MatchLabels = map[string]string{"region": "a"}
			all = append(all, func(l map[string]string) bool { return l["region"] == "a" })
		case k == 10:
			c.Spec.ShardSelector, valid = nil, false
		case k == 11:
			c.Spec.ResourceType, valid = "planets", false
		}
		doc, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		text += "---\n" + string(doc)
		meets = append(meets, func(l map[string]string) bool {
			return !slices.ContainsFunc(all, func(f func(map[string]string) bool) bool { return !f(l) })
		})
	}
	return text, meets, valid
}

func written(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "sentinels.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func brute(clusters []fleet.Resource, meets []func(map[string]string) bool) fleet.Coverage {
	out := fleet.Coverage{Kind: "Coverage", ResourceType: fleet.Clusters, Total: int64(len(clusters))}
	ids := [3][]string{{}, {}, {}}
	for _, c := range clusters {
		n := 0
		for _, f := range meets {
			if f(maps.Clone(c.Labels)) {
				n++
			}
		}
		ids[min(n, 2)] = append(ids[min(n, 2)], c.ID)
	}
	slices.Sort(ids[0])
	slices.Sort(ids[2])
	out.Uncovered = fleet.Found{Count: int64(len(ids[0])), IDs: ids[0]}
	out.Overlapping = fleet.Found{Count: int64(len(ids[2])), IDs: ids[2]}
	return out
}

func TestCoverageFailsOnWhatItShall(t *testing.T) {
	s := &shelf{coverage: fleet.Coverage{ResourceType: fleet.Clusters, Total: 9, Uncovered: fleet.Found{Count: 120, IDs: []string{"c-1"}},
		Overlapping: fleet.Found{Count: 2, IDs: []string{"c-2", "c-3"}}, Shards: []fleet.ShardCoverage{{Name: "all", Matched: 8, Overlapping: 2}}}}
	for name, c := range map[string]struct {
		gap, overlap bool
		want         string
	}{
		"nothing is forbidden": {want: ""},
		"gaps":                 {gap: true, want: "of 9 clusters 120 are matched by no shard"},
		"overlaps":             {overlap: true, want: "of 9 clusters 2 are matched by several shards"},
		"both":                 {gap: true, overlap: true, want: "of 9 clusters 120 are matched by no shard, and 2 are matched by several shards"},
	} {
		t.Run(name, func(t *testing.T) {
			v := s.command("")
			v.failOnGap, v.failOnOverlap, v.asJSON = c.gap, c.overlap, false
			var out strings.Builder
			err := v.run(t.Context(), &out)
			if text := fmt.Sprint(err); text != c.want && (err != nil || c.want != "") {
				t.Errorf("%v, want %q", err, c.want)
			}
			var says interface{ ExitCode() int }
			if err != nil && (!errors.As(err, &says) || says.ExitCode() != 2) {
				t.Errorf("%v has no exit code of its own", err)
			}
			for _, part := range []string{"clusters: 9, matched by no shard: 120, by several: 2", "all    8        2            (everything)",
				"no shard: c-1", "no shard: 119 more", "several shards: c-3", "nodepools: 0"} {
				if !strings.Contains(out.String(), part) {
					t.Errorf("%q is missing in\n%s", part, out.String())
				}
			}
		})
	}
}

func TestCoverageWaitsWhereTheAPIAsksForPatienceAndFailsWhereItIsAway(t *testing.T) {
	file := written(t, t.TempDir(), "apiVersion: hyperfleet.redhat.com/v1alpha1\nkind: SentinelConfig\nmetadata: {name: a}\nspec: {resourceType: clusters, shardSelector: {}}\n")
	s := &shelf{clusters: []fleet.Resource{{ID: "a"}, {ID: "b"}}, refuses: 1}
	v := s.command(file)
	v.failOnGap = true
	if err := v.run(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
	v.timeout = 0 // the API never answers in it
	var says interface{ ExitCode() int }
	if err := v.run(t.Context(), io.Discard); err == nil || errors.As(err, &says) {
		t.Errorf("an API that does not answer: %v", err)
	}
}
