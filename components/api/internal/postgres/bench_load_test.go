package postgres

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// pgbenchScript is the transaction of one report, one commit each.
const pgbenchScript = `\set n random(0, %d)
BEGIN;
SELECT id FROM clusters WHERE id = (SELECT id FROM bench_ids WHERE n = :n) AND deleted_at IS NULL FOR UPDATE \gset
SELECT status_id, message = 'step' AND data = '{"n":1}'::jsonb FROM adapter_reports WHERE cluster_id = :id::uuid AND adapter_name = 'dns';
INSERT INTO statuses SELECT (left(first_id(clock_timestamp())::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, :id::uuid, 'dns', 'Running', 'step', '{"n":1}', 1, 1, 0, NULL, NULL, now(), 1, now(), now() RETURNING id AS status \gset
INSERT INTO adapter_reports VALUES (:id::uuid, 'dns', :status::uuid, 'step', '{"n":1}') ON CONFLICT (cluster_id, adapter_name) DO UPDATE SET status_id = excluded.status_id, message = excluded.message, data = excluded.data;
UPDATE clusters SET status = jsonb_set(status, '{phase}', '"Provisioning"'), reports_version = reports_version + 1, touched_at = now() WHERE id = :id::uuid;
UPDATE schedule SET ready = false, phase = 'Provisioning', transitioned_at = now(), base = now(), repeat = 0 WHERE id = :id::uuid;
COMMIT;
`

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

func (x *bench) pgbench() float64 {
	script := filepath.Join(x.dir, "report.sql")
	if err := os.WriteFile(script, fmt.Appendf(nil, pgbenchScript, len(x.ids)-1), 0o600); err != nil {
		x.Fatal(err)
	}
	if _, err := x.db.ExecContext(x.Context(), `CREATE TABLE IF NOT EXISTS bench_ids (n int PRIMARY KEY, id uuid)`); err != nil {
		x.Fatal(err)
	}
	const fill = `INSERT INTO bench_ids SELECT n - 1, id FROM unnest($1::uuid[]) WITH ORDINALITY AS t (id, n) ON CONFLICT DO NOTHING`
	if _, err := x.db.ExecContext(x.Context(), fill, database.StringArray(x.ids)); err != nil {
		x.Fatal(err)
	}
	seconds := int(benchTime(x.B, "BENCH_TURN", 5*time.Second).Seconds())
	out, err := exec.CommandContext(x.Context(), x.program("pgbench"), "-n", "-M", "prepared", "-c", "32", "-j", "2",
		"-T", strconv.Itoa(seconds), "-f", script, x.url).CombinedOutput()
	found := tps.FindSubmatch(out)
	if err != nil || found == nil {
		x.Fatalf("pgbench: %v\n%s", err, out)
	}
	rate, _ := strconv.ParseFloat(string(found[1]), 64)
	return rate
}

// benchDueUnderLoad asks what is due while reports are stored at a rate, alone
// and beside a snapshot that somebody else holds.
func (x *bench) benchDueUnderLoad(table io.Writer) {
	if x.rate == 0 { // measured alone
		x.rate = x.hammer(256, 201, func(w, i int) *http.Request { return x.postReport(x.api.url+"/v1/clusters", w, int64(w)<<32+int64(i)) })
	}
	rate := x.rate / 2
	idle, _ := x.dueFor(20 * time.Second)
	size := x.indexSize()
	load := benchTime(x.B, "BENCH_LOAD", 5*time.Minute)
	ctx, cancel := context.WithCancel(x.Context())
	stored := x.reportAt(ctx, rate)
	_, _ = x.dueFor(5 * time.Second) // until it is under way
	start, _ := x.dueFor(load / 10)
	rest, _ := x.dueFor(load - load/10)
	end, _ := x.dueFor(load / 10)
	grown := x.indexSize()
	fmt.Fprintf(table, "due p99 with %.0f reports/s for %s\t%.1f ms\tat its start: %.1f ms (idle %.1f, all the time %.1f)\t%.2f\t1.50 at most\n",
		rate, load, end, start, idle, rest, end/start)
	fmt.Fprintf(table, "the schedule's indexes\t%.0f MiB\tat the start: %.0f MiB\t%.2f\t1.50 at most\n", grown, size, grown/size)
	held := x.underSnapshot(min(load, time.Minute))
	if _, err := x.db.ExecContext(x.Context(), `VACUUM schedule`); err != nil {
		x.Error(err)
	}
	after, _ := x.dueFor(load / 10)
	cancel()
	fmt.Fprintf(table, "due p99 beside a snapshot %s old\t%.1f ms\tat the start: %.1f ms\t%.2f\tshown\n", min(load, time.Minute), held, start, held/start)
	fmt.Fprintf(table, "and one vacuum later\t%.1f ms\tat the start: %.1f ms\t%.2f\t2 at most\n", after, start, after/start)
	fmt.Fprintf(table, "reports stored meanwhile\t%d\t\t\t\n", stored())
}

// dueFor asks for what is due every 20 ms and returns the 99th percentile and
// the median, in milliseconds.
func (x *bench) dueFor(d time.Duration) (p99, p50 float64) {
	selector, err := labels.Parse("region=region-1")
	if err != nil {
		x.Fatal(err)
	}
	q := schedule.Query{Selector: selector, Backoff: fleet.Backoff{NotReady: 30 * time.Minute, Ready: 30 * time.Minute}, Limit: page.MaxLimit}
	var took []float64
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end) || len(took) < 20; <-tick.C {
		begun := time.Now()
		if _, err := x.store.Due(x.Context(), clusters, q); err != nil {
			x.Fatal(err)
		}
		took = append(took, time.Since(begun).Seconds()*1000)
	}
	slices.Sort(took)
	return took[len(took)*99/100], took[len(took)/2]
}

func (x *bench) indexSize() float64 {
	var bytes float64
	if err := x.db.GetContext(x.Context(), &bytes, `SELECT pg_relation_size('schedule_due') + pg_relation_size('schedule_woken')`); err != nil {
		x.Fatal(err)
	}
	return bytes / (1 << 20)
}

// reportAt posts reports at a rate until ctx ends; what it returns waits for
// the end and says how many were stored.
func (x *bench) reportAt(ctx context.Context, rate float64) (stored func() int) {
	const workers = 128
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
	work := make(chan int64)
	var group sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for w := range workers {
		group.Go(func() {
			for n := range work {
				resp, err := client.Do(x.postReport(x.api.url+"/v1/clusters", w, n))
				if err != nil {
					continue
				}
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusCreated {
					mu.Lock()
					total++
					mu.Unlock()
				}
			}
		})
	}
	group.Go(func() {
		defer close(work)
		begun, n := time.Now(), int64(0)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			for ; float64(n) < time.Since(begun).Seconds()*rate && ctx.Err() == nil; n++ {
				select {
				case work <- n + 1_000_000_000:
				case <-ctx.Done():
				}
			}
		}
	})
	return func() int { group.Wait(); return total }
}

// underSnapshot measures while somebody else's transaction keeps a snapshot.
func (x *bench) underSnapshot(d time.Duration) float64 {
	conn, err := x.db.Connx(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	defer conn.Close() // a benchmark's
	for _, text := range []string{`SET idle_in_transaction_session_timeout = 0`, `BEGIN ISOLATION LEVEL REPEATABLE READ`, `SELECT count(*) FROM settings`} {
		if _, err := conn.ExecContext(x.Context(), text); err != nil {
			x.Fatal(err)
		}
	}
	defer func() { _, _ = conn.ExecContext(x.Context(), `ROLLBACK; RESET ALL`) }()
	_, _ = x.dueFor(d * 9 / 10)
	held, _ := x.dueFor(d / 10)
	return held
}
