package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// flights is a store of groups that a test holds back and lets go.
type flights struct {
	began chan []*submission
	end   chan error
	ctx   chan context.Context
}

func newFlights() (*flights, *groups) {
	f := &flights{began: make(chan []*submission), end: make(chan error), ctx: make(chan context.Context, 10*maxWaiting)}
	return f, &groups{store: func(ctx context.Context, group []*submission) error {
		f.ctx <- ctx
		f.began <- group
		return <-f.end
	}}
}

func of1(id, adapter string) *submission {
	return &submission{id: id, report: fleet.NewReport{AdapterName: adapter}}
}

// send submits in the background, and returns once the report is waiting or
// being stored, with the channel of what came of it.
func send(t *testing.T, ctx context.Context, g *groups, m *submission) chan error {
	t.Helper()
	g.mu.Lock()
	before := len(g.waiting)
	full := g.flights == maxFlights
	g.mu.Unlock()
	came := make(chan error, 1)
	go func() { came <- g.submit(ctx, m) }()
	for full { // it can only wait
		g.mu.Lock()
		waiting := len(g.waiting)
		g.mu.Unlock()
		if waiting > before {
			break
		}
	}
	return came
}

func TestReportsThatComeMeanwhileGoTogether(t *testing.T) {
	t.Parallel()
	f, g := newFlights()
	var came []chan error
	for i := range maxFlights { // each alone, and at once
		came = append(came, send(t, t.Context(), g, of1(fmt.Sprint("first", i), "dns")))
		if group := <-f.began; len(group) != 1 {
			t.Errorf("a lone report waited for %d others", len(group)-1)
		}
	}
	for i := range maxGroup + 10 {
		came = append(came, send(t, t.Context(), g, of1(fmt.Sprint(i), "dns")))
	}
	came = append(came, send(t, t.Context(), g, of1("x", "placement")), send(t, t.Context(), g, of1("x", "dns")))
	f.end <- nil
	second := <-f.began
	if len(second) != maxGroup || second[0].id != "0" {
		t.Errorf("%d went together, the first is %s", len(second), second[0].id)
	}
	f.end <- errors.New("refused") // the other lone one, or the big group
	third := <-f.began
	seen := map[string]int{}
	for _, m := range third {
		seen[m.id+m.report.AdapterName]++
	}
	if len(third) != 12 || seen["xdns"] != 1 || seen["xplacement"] != 1 {
		t.Errorf("then went %d: %v", len(third), seen)
	}
	f.end <- nil
	f.end <- nil
	failed := 0
	for _, c := range came {
		if err := <-c; err != nil {
			failed++
		}
	}
	if failed != 1 && failed != maxGroup {
		t.Errorf("%d were told of a failure that was 1's or %d's", failed, maxGroup)
	}
	g.wait()
}

func TestAnAdaptersSecondReportWaitsForItsFirst(t *testing.T) {
	t.Parallel()
	_, g := newFlights()
	g.waiting = []*submission{of1("a", "dns"), of1("a", "dns"), of1("b", "dns"), of1("a", "placement"), of1("a", "dns")}
	var stored []*submission
	for _, want := range []int{3, 1, 1, 0} {
		if stored = g.next(stored); len(stored) != want {
			t.Errorf("%d went together, want %d", len(stored), want)
		}
	}
}

func TestReportsOnAResourceOfAnotherFlightWaitForIt(t *testing.T) {
	t.Parallel()
	_, g := newFlights()
	g.flights = 2
	g.waiting = []*submission{of1("a", "dns")}
	first := g.next(nil)
	g.waiting = []*submission{of1("a", "placement"), of1("b", "dns")}
	second := g.next(nil)
	if len(first) != 1 || len(second) != 1 || second[0].id != "b" || g.next(second) != nil || g.flights != 1 {
		t.Errorf("%d, then %d went, %d flights are left", len(first), len(second), g.flights)
	}
	if third := g.next(first); len(third) != 1 || third[0].report.AdapterName != "placement" {
		t.Errorf("after the first, %d went", len(third))
	}
}

func TestACallerThatLeavesDoesNotTakeItsGroupAlong(t *testing.T) {
	t.Parallel()
	f, g := newFlights()
	impatient, leave := context.WithCancel(t.Context())
	first := send(t, impatient, g, of1("a", "dns"))
	<-f.began
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("it was told %v", err)
	}
	if ctx := <-f.ctx; ctx.Err() != nil {
		t.Errorf("its group ended with it: %v", ctx.Err())
	}
	f.end <- nil
	g.wait()
	if err := g.submit(impatient, of1("b", "dns")); !errors.Is(err, context.Canceled) || len(g.waiting) > 0 {
		t.Errorf("who has left already was told %v", err)
	}
}

func TestACallerThatLeavesTakesItsReportAlong(t *testing.T) {
	t.Parallel()
	f, g := newFlights()
	var stored []chan error
	for i := range maxFlights {
		stored = append(stored, send(t, t.Context(), g, of1(fmt.Sprint(i), "dns")))
		<-f.began
	}
	impatient, leave := context.WithCancel(t.Context())
	left := []chan error{send(t, impatient, g, of1("a", "dns")), send(t, impatient, g, of1("b", "dns"))}
	stays := send(t, t.Context(), g, of1("c", "dns"))
	leave()
	for _, came := range left {
		if err := <-came; !errors.Is(err, context.Canceled) {
			t.Errorf("who left was told %v", err)
		}
	}
	f.end <- nil
	if group := <-f.began; len(group) != 1 || group[0].id != "c" {
		t.Errorf("%d reports were stored, the first on %s", len(group), group[0].id)
	}
	for range maxFlights {
		f.end <- nil
	}
	for _, came := range append(stored, stays) {
		if err := <-came; err != nil {
			t.Error(err)
		}
	}
	g.wait()
}

func TestNoMoreReportsWaitThanAreWorthTheirMemory(t *testing.T) {
	t.Parallel()
	f, g := newFlights()
	var came []chan error
	for i := range maxFlights {
		came = append(came, send(t, t.Context(), g, of1(fmt.Sprint("first", i), "dns")))
		<-f.began
	}
	for i := range maxWaiting {
		came = append(came, send(t, t.Context(), g, of1(fmt.Sprint(i), "dns")))
	}
	if err := g.submit(t.Context(), of1("late", "dns")); fleet.ErrorCode(err) != fleet.Unavailable {
		t.Errorf("one too many was told %v", err)
	}
	go func() {
		for range f.began {
			f.end <- nil
		}
	}()
	for range maxFlights {
		f.end <- nil
	}
	for _, c := range came {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	g.wait()
	close(f.began)
}

// TestReportsRaceWithEverything: reports in groups, changes and deletions of
// the same resources at once. Every answer is true, and nobody deadlocks.
func TestReportsRaceWithEverything(t *testing.T) {
	t.Parallel()
	s := open(t)
	var resources []fleet.Resource
	for i := range 6 {
		resources = append(resources, create(t, s, name(i), map[string]string{"region": "us-east"}))
	}
	var mu sync.Mutex
	stored := map[string]int64{} // resource -> reports that were answered
	var entries []fleet.Report
	var group sync.WaitGroup
	for w := range 24 {
		group.Go(func() {
			for i := range 6 * rounds(t) {
				r := resources[(w+i)%len(resources)]
				n := fleet.NewReport{AdapterName: fmt.Sprintf("adapter-%d", w%4), Phase: complete, Message: fmt.Sprint(i % 3)}
				if (w+i)%7 == 0 {
					n.Message = "a\x00b" // which PostgreSQL cannot store
				}
				out, err := s.Report(t.Context(), clusters, all, r.ID, n)
				switch code := fleet.ErrorCode(err); {
				case err == nil && n.Message != "a\x00b":
					mu.Lock()
					stored[r.ID]++
					entries = append(entries, out)
					mu.Unlock()
					if out.Message != n.Message || out.AdapterName != n.AdapterName || out.ResourceID != r.ID {
						t.Errorf("answered another's report: %+v", out)
					}
				case code == fleet.Invalid && n.Message == "a\x00b":
				case code == fleet.NotFound && r.ID == resources[0].ID: // deleted
				default:
					t.Errorf("%+v: %v", n, err)
				}
			}
		})
	}
	for w := range 4 {
		group.Go(func() {
			for i := range 4 * rounds(t) {
				r := resources[1+(w+i)%(len(resources)-1)]
				patch(t, s, r.ID, withLabels(map[string]string{"region": "us-east", "n": fmt.Sprint(w, i)}))
			}
		})
	}
	group.Go(func() {
		if _, err := s.Delete(t.Context(), clusters, all, resources[0].ID, desired.Removal{Force: true}); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	for _, r := range resources {
		var version, reports int64
		if err := s.db.DB.QueryRowContext(t.Context(), `SELECT reports_version FROM clusters WHERE id = $1`, r.ID).Scan(&version); err != nil {
			t.Fatal(err)
		}
		if err := s.db.DB.QueryRowContext(t.Context(), `SELECT coalesce(sum(reports), 0) FROM statuses WHERE cluster_id = $1`, r.ID).Scan(&reports); err != nil {
			t.Fatal(err)
		}
		if version != stored[r.ID] || reports != stored[r.ID] {
			t.Errorf("%s: %d reports were answered, %d are in the history, its version is s%d", r.Name, stored[r.ID], reports, version)
		}
	}
	for _, e := range entries {
		if _, err := s.GetReport(t.Context(), clusters, all, e.ResourceID, e.ID, false); err != nil && e.ResourceID != resources[0].ID {
			t.Errorf("an answered report is not there: %v", err)
		}
	}
	var deadlocks int
	if err := s.db.DB.GetContext(t.Context(), &deadlocks, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); err != nil || deadlocks != 0 {
		t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}
