package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// table gathers what was found; each line is also shown at once.
type table struct {
	mu      sync.Mutex
	text    strings.Builder
	healthy spent // what a poll of a healthy fleet costs, once that is known
}

func (t *table) add(what, found, against, ratio, goal string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := strings.Join([]string{what, found, against, ratio, goal}, "\t")
	fmt.Fprintln(os.Stderr, line)
	t.text.WriteString(line + "\n")
}

// BenchmarkSentinel prints the table of docs/benchmarks.md. BENCH_ROWS
// (1,000,000) says how much, BENCH_DATA where fleets are kept for the next run,
// BENCH_PROFILE where profiles of the sentinel go.
//
//	go test -run '^$' -bench '^BenchmarkSentinel$' -benchtime 1x -timeout 1h ./bench
func BenchmarkSentinel(b *testing.B) {
	x, out := newStack(b), &table{}
	for _, name := range []string{"small", "notready", "burst", "quiet", "large", "silent", "import"} {
		x.fleet(name)
	}
	if os.Getenv("BENCH_LOAD_ONLY") != "" {
		return
	}
	for _, row := range []struct {
		name string
		do   func(*stack, *table)
	}{{"poll", polls}, {"nothing", nothingDue}, {"burst", burst}, {"silent", silentAdapters}, {"record", recording}, {"budget", budgets}, {"import", imported}} {
		b.Run(row.name, func(b *testing.B) {
			inner := *x
			inner.B, inner.temp = b, b.TempDir()
			row.do(&inner, out)
		})
	}
	aligned := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(aligned, "\nthe sentinel at %d clusters\nwhat\tfound\tagainst\tratio\tgoal\n%s", x.rows, out.text.String())
	_ = aligned.Flush() // to the standard output
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

func times2(a, b time.Duration) string {
	return fmt.Sprintf("%.2f", a.Seconds()/b.Seconds())
}

const (
	pollsDone = "hyperfleet_sentinel_poll_duration_seconds"
	eventsOut = "hyperfleet_sentinel_events_created_total"
)

// spent is the processor time of everything that a poll occupies.
type spent struct{ sentinel, api, postgres time.Duration }

func (s spent) all() time.Duration { return s.sentinel + s.api + s.postgres }
func (s spent) over(n float64) spent {
	part := func(d time.Duration) time.Duration { return time.Duration(float64(d) / n) }
	return spent{part(s.sentinel), part(s.api), part(s.postgres)}
}
func (s spent) String() string {
	return fmt.Sprintf("%s (sentinel %s, API %s, PostgreSQL %s)", millis(s.all()), millis(s.sentinel), millis(s.api), millis(s.postgres))
}

func (x *stack) spent(api, sentinel *process) spent {
	return spent{sentinel.cpu(), api.cpu(), x.postgresCPU()}
}

// watch lets a sentinel poll n times, after some that warm it up, and returns
// what one poll cost and how many events it published.
func (x *stack) watch(api, s *process, warm, n float64) (each spent, events float64) {
	x.Helper()
	x.until(s, pollsDone, warm, time.Minute)
	before, e0, n0 := x.spent(api, s), x.metric(s, eventsOut), x.metric(s, pollsDone)
	x.profile(s)
	x.until(s, pollsDone, n0+n, 2*time.Minute)
	after, e1, n1 := x.spent(api, s), x.metric(s, eventsOut), x.metric(s, pollsDone)
	d := spent{after.sentinel - before.sentinel, after.api - before.api, after.postgres - before.postgres}
	return d.over(n1 - n0), (e1 - e0) / (n1 - n0)
}

// polls compares a poll that publishes into nothing and may record nothing with
// lib/pq, which fetches the same rows into nothing.
func polls(x *stack, out *table) {
	cost := map[string]spent{}
	for _, fleet := range []string{"small", "large"} {
		api := x.api(fleet)
		s := x.sentinel(api, shard{role: "viewer", notReady: "1s", ready: "1s", poll: "2s"})
		each, events := x.watch(api, s, 3, 6)
		if events != dueRows {
			x.Errorf("%s: %v events in a poll, want %d", fleet, events, dueRows)
		}
		cost[fleet] = each
		if fleet == "large" {
			out.add("memory of a sentinel of a million", fmt.Sprintf("%.0f MiB", s.memory()), "", "", "64 MiB at most")
		}
		s.stop()
		api.stop()
	}
	bare := x.bareFetch("large")
	out.add("a poll, 10,000 due of a million", cost["large"].String(), "lib/pq into nothing: "+millis(bare), times2(cost["large"].all(), bare), "2.50 at most")
	out.add("the same, 10,000 due of a million", millis(cost["large"].all()), "of 10,000: "+millis(cost["small"].all()), times2(cost["large"].all(), cost["small"].all()), "1.25 at most")
}

// bareFetch is the processor time of fetching what is due, once.
func (x *stack) bareFetch(fleet string) time.Duration {
	x.Helper()
	db := x.open(fleet)
	defer db.Close() // nobody may be connected to what is copied
	db.SetMaxOpenConns(1)
	query, err := db.PrepareContext(x.Context(), `SELECT id, generation, phase, transitioned_at, wakes, base FROM schedule
		WHERE shard_key = $1 AND ready = true AND base <= now() - interval '1 second' ORDER BY base, id LIMIT 10000`)
	if err != nil {
		x.Fatal(err)
	}
	defer query.Close()
	fetch := func() {
		rows, err := query.QueryContext(x.Context(), "region-1")
		if err != nil {
			x.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ { // into nothing
		}
		if rows.Err() != nil || n != dueRows {
			x.Fatalf("%d rows, %v", n, rows.Err())
		}
	}
	fetch()
	const n = 50
	before := ownCPU() + x.postgresCPU()
	for range n {
		fetch()
	}
	return (ownCPU() + x.postgresCPU() - before) / n
}

// silentAdapters lets a sentinel poll 120 times what nobody answers for.
func silentAdapters(x *stack, out *table) {
	x.copyOf("notready")
	api := x.api("notready_run")
	s := x.sentinel(api, shard{role: "sentinel", notReady: "1s", ready: "1s", poll: "500ms"})
	x.until(s, pollsDone, 120, 3*time.Minute)
	each := x.metric(s, eventsOut) / dueRows
	const backoffs = 60
	out.add("adapters silent for 120 polls, 60 backoffs", fmt.Sprintf("%.1f events each", each), "the literal algorithm: 120", fmt.Sprintf("%.2f", each/120), "60 at most")
	if each > backoffs {
		x.Errorf("%v events of each resource in %d backoffs", each, backoffs)
	}
}

// perSecond is the budget of fleets in trouble, poll their interval, and
// watched how many polls are measured.
const (
	perSecond = 2_000
	poll      = 5 * time.Second
	watched   = 6
)

// budgets compares polls of a fleet in trouble with those of a healthy one that
// has as many events to publish as the budget allows.
func budgets(x *stack, out *table) {
	x.copyOf("large")
	api := x.api("large_run")
	s := x.sentinel(api, shard{role: "sentinel", notReady: "4s", ready: "4s", poll: "5s"})
	healthy, events := x.watch(api, s, 2, watched)
	s.stop()
	api.stop()
	out.healthy = healthy
	out.add("a poll of a healthy fleet", healthy.String(), fmt.Sprintf("%.0f events", events), "", "")

	x.copyOf("silent")
	api = x.api("silent_run")
	begun := time.Now()
	s = x.sentinel(api, shard{role: "sentinel", notReady: "1h", ready: "1h", poll: "5s", perSecond: perSecond})
	each, events := x.watch(api, s, 2, watched)
	memory := s.memory()
	x.judgeBudget(s, "silent_run", perSecond, begun)
	out.add("a poll, all adapters silent, budget 2,000/s", each.String(), fmt.Sprintf("healthy: %s; %.0f events", millis(healthy.all()), events), times2(each.all(), healthy.all()), "3.00 at most")
	out.add("memory of that sentinel", fmt.Sprintf("%.0f MiB", memory), "", "", "64 MiB at most")
	api.stop()
}

// imported lets a million new resources come at once, beside others that are
// due in turn.
func imported(x *stack, out *table) {
	x.copyOf("import")
	x.exec("import_run", `UPDATE schedule SET base = now() + random() * interval '30 seconds' WHERE ready`)
	api := x.api("import_run")
	s := x.sentinel(api, shard{role: "sentinel", notReady: "1h", ready: "30s", poll: "5s", perSecond: perSecond})
	lag := x.worstLag("import_run", 30*time.Second)
	each, events := x.watch(api, s, 2, 2*watched)
	worst := lag()
	out.add("a poll, a million imported, budget 2,000/s", each.String(), fmt.Sprintf("healthy: %s; %.0f events", millis(out.healthy.all()), events), times2(each.all(), out.healthy.all()), "3.00 at most")
	out.add("memory of that sentinel", fmt.Sprintf("%.0f MiB", s.memory()), "", "", "64 MiB at most")
	out.add("due lag of the others", worst.Round(10*time.Millisecond).String(), "polls: "+poll.String(), times2(worst, poll), "2.00 at most")
}

// judgeBudget compares the events with the budget, and with how many rows were
// published at all: more events than rows are repeats.
func (x *stack) judgeBudget(s *process, fleet string, perSecond float64, begun time.Time) {
	x.Helper()
	events := x.metric(s, eventsOut)
	if most := perSecond * (time.Since(begun).Seconds() + 0.1); events > most {
		x.Errorf("%v events, the budget allows %v", events, most)
	}
	s.stop() // it records what is not yet
	var rows float64
	if err := x.open(fleet).QueryRowContext(x.Context(), `SELECT count(*) FROM schedule WHERE base > '2026-01-01'`).Scan(&rows); err != nil {
		x.Fatal(err)
	}
	if rows < events {
		x.Errorf("%v events of %v resources within one backoff", events, rows)
	}
}

// worstLag looks once a second for how long the longest of the Ready has been
// due, until the returned function asks.
func (x *stack) worstLag(fleet string, backoff time.Duration) func() time.Duration {
	x.Helper()
	db, ask, answer := x.open(fleet), make(chan struct{}), make(chan time.Duration)
	go func() {
		var worst float64
		for {
			select {
			case <-ask:
				answer <- time.Duration(worst * float64(time.Second))
				return
			case <-time.After(time.Second):
			}
			var lag float64
			if err := db.QueryRowContext(x.Context(), `SELECT coalesce(extract(epoch FROM now() - min(base)) - $1, 0)
				FROM schedule WHERE shard_key = 'region-1' AND ready`, backoff.Seconds()).Scan(&lag); err != nil {
				x.Error(err)
			}
			worst = max(worst, lag)
		}
	}()
	return func() time.Duration { ask <- struct{}{}; return <-answer }
}
