package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// TestWalkSeesEveryStableRowOnce walks lists while others create, change and
// delete rows. What is there all the time is seen exactly once.
func TestWalkSeesEveryStableRowOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	stable := map[string]bool{}
	for i := range 120 {
		r := create(t, s, name(i), map[string]string{"region": regions[i%3], "keep": "yes"})
		stable[r.ID] = i%3 == 0
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for n := range 3 {
		writers.Go(func() { churn(t, ctx, s, n, stable) })
	}
	selector, err := labels.Parse("keep=yes,region=" + regions[0])
	if err != nil {
		t.Fatal(err)
	}
	for range rounds(t) {
		for _, limit := range []int{1, 7, 50} {
			everything := seen(t, s, resource.Query{Limit: limit})
			some := seen(t, s, resource.Query{Limit: limit, Selector: selector})
			for id, first := range stable {
				if everything[id] != 1 {
					t.Errorf("pages of %d: %s was seen %d times", limit, id, everything[id])
				}
				if want := map[bool]int{true: 1}[first]; some[id] != want {
					t.Errorf("pages of %d with a selector: %s was seen %d times, want %d", limit, id, some[id], want)
				}
			}
		}
	}
}

func seen(t testing.TB, s *Store, q resource.Query) map[string]int {
	t.Helper()
	count := map[string]int{}
	for {
		page, err := s.list(t.Context(), clusters, all, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) > q.Limit {
			t.Fatalf("%d items on a page of %d", len(page.Items), q.Limit)
		}
		for _, r := range page.Items {
			if count[r.ID]++; count[r.ID] > 1 {
				t.Fatalf("pages of %d: %s was seen twice", q.Limit, r.ID) // the walk may never end
			}
		}
		if page.Continue == "" {
			return count
		}
		q.Continue = page.Continue
	}
}

// churn creates and deletes rows of its own and reports on the stable ones.
func churn(t *testing.T, ctx context.Context, s *Store, n int, stable map[string]bool) {
	var mine []string
	for i := 0; ctx.Err() == nil; i++ {
		r, err := s.Create(ctx, clusters, "default", fleet.NewResource{Name: fmt.Sprintf("w%d-%d", n, i), Labels: map[string]string{"keep": "yes", "region": regions[0]}}, once.Request{})
		if err == nil {
			mine = append(mine, r.ID)
		}
		if len(mine) > 5 {
			k := rand.IntN(len(mine))
			_, err = s.Delete(ctx, clusters, all, mine[k], desired.Removal{Force: true})
			mine = append(mine[:k], mine[k+1:]...)
		}
		for id := range stable { // any one
			if err == nil {
				_, err = s.Report(ctx, clusters, all, id, fleet.NewReport{AdapterName: "dns", Phase: running, Message: fmt.Sprint(i)})
			}
			break
		}
		if err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := create(t, s, "a", map[string]string{"region": "us-east", "env": "prod"})
	b := create(t, s, "b", map[string]string{"region": "us-east"})
	c := create(t, s, "c", nil)
	for _, adapter := range required {
		report(t, s, b.ID, fleet.NewReport{AdapterName: adapter, Phase: complete})
	}
	report(t, s, c.ID, fleet.NewReport{AdapterName: "dns", Phase: failed})
	c = patch(t, s, c.ID, withLabels(map[string]string{"x": "y"}))
	selector := func(text string) labels.Selector {
		sel, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return sel
	}
	since := c.UpdatedAt.Time
	later := since.Add(time.Microsecond)
	for _, test := range []struct {
		name string
		q    resource.Query
		want string
	}{
		{"nothing asked is everything", resource.Query{}, "a b c"},
		{"by labels", resource.Query{Selector: selector("region=us-east,env!=prod")}, "b"},
		{"by absent label", resource.Query{Selector: selector("!region")}, "c"},
		{"nothing matches the empty scope of labels", resource.Query{Selector: labels.Nothing()}, ""},
		{"by phase", resource.Query{Phases: []fleet.Phase{fleet.Ready, fleet.Failed}}, "b c"},
		{"by other phases", resource.Query{Phases: []fleet.Phase{fleet.Ready}, NotPhases: true}, "a c"},
		{"by name", resource.Query{Name: "b"}, "b"},
		{"by time, the moment included", resource.Query{UpdatedSince: &since}, "c"},
		{"by time, after the moment", resource.Query{UpdatedSince: &later}, ""},
		{"all at once", resource.Query{Selector: selector("env"), Phases: []fleet.Phase{fleet.Pending}, Name: "a", UpdatedSince: &a.UpdatedAt.Time}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			list, err := s.list(t.Context(), clusters, tenant.Only("default"), test.q)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, r := range list.Items {
				if i > 0 {
					got += " "
				}
				got += r.Name
			}
			if got != test.want || list.Kind != "ClusterList" || list.AsOf.Before(since) {
				t.Errorf("listed %q, want %q (%s as of %v)", got, test.want, list.Kind, list.AsOf)
			}
		})
	}
}
