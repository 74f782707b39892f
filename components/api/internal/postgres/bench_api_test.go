package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// benchTurns is how often each of two rivals is measured, in turns; the median counts.
const benchTurns = 3

// BenchmarkAPI measures the API as a process, with authentication on and a
// durable PostgreSQL, against the least that could do the same. It prints a
// table and judges nothing: a busy machine makes every number worse.
// BENCH_ROWS (1,000,000), BENCH_TURN (5s) and BENCH_LOAD (5m) say how much.
//
//	go test -run '^$' -bench '^BenchmarkAPI$' -benchtime 1x -timeout 2h ./internal/postgres
func BenchmarkAPI(b *testing.B) {
	x := newBench(b)
	var report strings.Builder
	aligned := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	table := io.MultiWriter(aligned, os.Stderr) // each line at once, too: a long run may not reach its end
	fmt.Fprintln(table, "what\tAPI\tagainst\tratio\tgoal")
	x.benchGet(table)
	x.benchList(table)
	x.benchLabels(table)
	rate := x.benchReports(table)
	x.benchDueUnderLoad(table, rate/2)
	aligned.Flush() // into memory
	fmt.Printf("\nthe API at %d clusters, medians of %d\n%s\n", x.rows, benchTurns, report.String())
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// turns measures rivals one after the other, several times, and returns medians.
func turns(measure ...func() float64) []float64 {
	all := make([][]float64, len(measure))
	for range benchTurns {
		for i, m := range measure {
			all[i] = append(all[i], m())
		}
	}
	out := make([]float64, len(all))
	for i, values := range all {
		out[i] = median(values)
	}
	return out
}

// hammer sends requests from so many workers for a while and returns how many
// were answered as they should, in a second.
func (x *bench) hammer(workers, status int, request func(worker, i int) *http.Request) float64 {
	x.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	turn := benchTime(x.B, "BENCH_TURN", 5*time.Second)
	ctx, cancel := context.WithTimeout(x.Context(), turn)
	defer cancel()
	var answered atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				resp, err := client.Do(request(w, i).WithContext(ctx))
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != status {
					x.Errorf("answered %s", resp.Status)
					return
				}
				answered.Add(1)
			}
		})
	}
	group.Wait()
	return float64(answered.Load()) / time.Since(begun).Seconds()
}

func (x *bench) request(method, url, body string) *http.Request {
	r, err := http.NewRequestWithContext(x.Context(), method, url, strings.NewReader(body))
	if err != nil {
		panic(err) // a URL of ours
	}
	r.Header.Set("Authorization", "Bearer "+x.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (x *bench) benchGet(table io.Writer) {
	names, _ := of(clusters)
	listen := freeAddress(x)
	bare := x.run("./testdata/bare", listen, nil, "LISTEN="+listen, "BARE_SQL="+names.sql(getSQL))
	id := func(w, i int) string { return x.ids[(w*977+i)%len(x.ids)] }
	r := turns(
		func() float64 {
			return x.hammer(32, 200, func(w, i int) *http.Request {
				return x.request("GET", x.api.url+"/v1/clusters/"+id(w, i), "")
			})
		},
		func() float64 {
			return x.hammer(32, 200, func(w, i int) *http.Request { return x.request("GET", bare.url+"/"+id(w, i), "") })
		},
	)
	fmt.Fprintf(table, "GET by id, 32 connections\t%.0f/s\tbare net/http and lib/pq: %.0f/s\t%.2f\t0.80 at least\n", r[0], r[1], r[0]/r[1])
}

// benchList walks the whole fleet once, against COPY of the same columns.
func (x *bench) benchList(table io.Writer) {
	before := x.api.memory(x.B)
	most, pages := before, 0
	begun := time.Now()
	walk := func(next string) string {
		resp, err := x.client.Do(x.request("GET", x.api.url+"/v1/clusters?limit=1000&continue="+url.QueryEscape(next), ""))
		if err != nil {
			x.Fatal(err)
		}
		defer resp.Body.Close() // read to its end
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			x.Fatalf("list: %s, %v", resp.Status, err)
		}
		found := continuation.FindSubmatch(text[max(0, len(text)-2000):])
		if found == nil {
			return ""
		}
		return string(found[1])
	}
	for next, more := "", true; more; more = next != "" {
		next = walk(next)
		if pages++; pages%20 == 0 {
			most = max(most, x.api.memory(x.B))
		}
	}
	took := time.Since(begun).Seconds()
	copied := turns(func() float64 {
		begun := time.Now()
		// lib/pq reads no COPY TO; psql does, and its writing to nowhere costs nothing.
		cmd := exec.CommandContext(x.Context(), x.program("psql"), x.url, "-qc", `\copy (SELECT `+columns+` FROM clusters ORDER BY id) TO '/dev/null'`)
		if out, err := cmd.CombinedOutput(); err != nil {
			x.Fatalf("copy: %v\n%s", err, out)
		}
		return time.Since(begun).Seconds()
	})
	fmt.Fprintf(table, "list all through pages of 1000 (%d)\t%.1f s, memory +%.0f MiB\tCOPY: %.1f s\t%.2f\t3 at most, 64 MiB at most\n",
		pages, took, most-before, copied[0], took/copied[0])
}

var continuation = regexp.MustCompile(`"continue":"([^"]+)"`)

// program finds one of PostgreSQL's programs.
func (x *bench) program(name string) string {
	dir, err := pgdev.Binaries(x.Context(), io.Discard)
	if err != nil {
		x.Fatal(err)
	}
	if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
		return found
	}
	found, err := exec.LookPath(name)
	if err != nil {
		x.Skipf("%s was not found beside PostgreSQL's server, nor in PATH", name)
	}
	return found
}

// benchLabels reads pages of what a selector matches, against the best SQL for
// the same page, read as it comes.
func (x *bench) benchLabels(table io.Writer) {
	for _, q := range []struct{ selector, best string }{
		{"env=prod", `labels @> '{"env":"prod"}'`},
		{"env in (prod,stage)", `labels @> ANY (ARRAY['{"env":"prod"}','{"env":"stage"}']::jsonb[])`},
		{"canary", `labels ? 'canary'`},
		{"env notin (dev)", `labels->>'env' IS DISTINCT FROM 'dev'`},
	} {
		text := `SELECT ` + columns + ` FROM clusters WHERE deleted_at IS NULL AND ` + q.best + ` ORDER BY id LIMIT 1001`
		path := x.api.url + "/v1/clusters?limit=1000&labelSelector=" + url.QueryEscape(q.selector)
		r := turns(
			func() float64 { return x.average(func() { x.drain(path) }) },
			func() float64 { return x.average(func() { x.readAll(text) }) },
		)
		fmt.Fprintf(table, "list labels %s\t%.1f ms\tSQL by hand: %.1f ms\t%.2f\t1.30 at most\n", q.selector, r[0], r[1], r[0]/r[1])
	}
}

// average is the milliseconds of a run, of ten.
func (x *bench) average(run func()) float64 {
	run() // for the caches
	begun := time.Now()
	for range 10 {
		run()
	}
	return time.Since(begun).Seconds() * 100
}

func (x *bench) drain(path string) {
	resp, err := x.client.Do(x.request("GET", path, ""))
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close() // read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		x.Fatalf("list: %s, %v", resp.Status, err)
	}
}

func (x *bench) readAll(text string) {
	rows, err := x.db.QueryContext(x.Context(), text)
	if err != nil {
		x.Fatal(err)
	}
	defer rows.Close() // read to its end
	names, err := rows.Columns()
	if err != nil {
		x.Fatal(err)
	}
	values, into := make([]sql.RawBytes, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			x.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		x.Fatal(err)
	}
}

// benchReports returns the API's rate of reports.
func (x *bench) benchReports(table io.Writer) float64 {
	var cpu, wall time.Duration
	var n atomic.Int64
	post := func() float64 {
		before, begun := ownCPU(), time.Now()
		rate := x.hammer(256, 201, func(w, _ int) *http.Request { return x.postReport(w, n.Add(1)) })
		cpu, wall = cpu+ownCPU()-before, wall+time.Since(begun)
		return rate
	}
	r := turns(post, x.directGroups, x.pgbench)
	fmt.Fprintf(table, "POST status, 256 writers (the load's CPU: %.2f cores)\t%.0f/s\tthe same statements through lib/pq: %.0f/s\t%.2f\t0.60 at least\n",
		cpu.Seconds()/wall.Seconds(), r[0], r[1], r[0]/r[1])
	fmt.Fprintf(table, "the same\t%.0f/s\tpgbench, one commit each, 32 clients: %.0f/s\t%.2f\t2 at least, 4 aimed at\n", r[0], r[2], r[0]/r[2])
	return r[0]
}

func (x *bench) postReport(w int, n int64) *http.Request {
	id := x.ids[(int64(w)*79+n)%int64(len(x.ids))]
	body := fmt.Sprintf(`{"adapter_name":"dns","phase":"Running","message":"step %d","data":{"n":%d}}`, n, n)
	return x.request("POST", x.api.url+"/v1/clusters/"+id+"/statuses", body)
}

// directGroups stores what the API's groups store, with nothing to decide and
// nobody to answer.
func (x *bench) directGroups() float64 {
	names, _ := of(clusters)
	var texts []*sql.Stmt
	for _, text := range []string{lockManySQL, latestManySQL, saveManySQL} {
		stmt, err := x.db.PrepareContext(x.Context(), names.sql(text))
		if err != nil {
			x.Fatal(err)
		}
		defer stmt.Close() // a benchmark's
		texts = append(texts, stmt)
	}
	turn := benchTime(x.B, "BENCH_TURN", 5*time.Second)
	var stored atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for flight := range maxFlights {
		group.Go(func() {
			for i := 0; time.Since(begun) < turn; i++ {
				// A report that the API was at when its turn ended may still hold a row.
				if err := again(x.Context(), func(context.Context) error { return x.directGroup(texts, flight, i) }); err != nil {
					x.Error(err)
					return
				}
				stored.Add(256 / maxFlights)
			}
		})
	}
	group.Wait()
	return float64(stored.Load()) / time.Since(begun).Seconds()
}

func (x *bench) directGroup(texts []*sql.Stmt, flight, i int) error {
	const size = 256 / maxFlights
	at := time.Now().UTC().Truncate(time.Microsecond)
	ids, places, words, data := make(pq.StringArray, size), make(pq.Int64Array, size), make(pq.StringArray, size), make(pq.StringArray, size)
	entries, changes := make([]newEntry, size), make([]newChange, size)
	half := len(x.ids) / maxFlights
	for j := range size {
		id, err := newID(at)
		if err != nil {
			return err
		}
		ids[j], places[j] = x.ids[flight*half+(i*size+j)%half], int64(j)
		words[j], data[j] = fmt.Sprintf("step %d", i), fmt.Sprintf(`{"n":%d}`, i)
		entries[j] = newEntry{ID: id, Subject: ids[j], Adapter: "dns", Phase: "Running", Message: words[j], Data: json.RawMessage(data[j]), Generation: 1, Attempt: 1, Transition: at, At: at}
		changes[j] = newChange{ID: ids[j], At: at, Reports: 1, Worked: true, Phase: "Provisioning", Generation: 1, Transition: at, Retries: []string{},
			Status: json.RawMessage(`{"phase":"Provisioning","adapters":[{"adapter_name":"dns","phase":"Running","observed_generation":1,"attempt":1,"retry_at":null,"message":"step 1000","last_transition_time":"2026-01-02T03:04:05.000000Z"}],"conditions":[{"type":"Ready","status":"False","reason":"WaitingForAdapters","message":"dns: Running","observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}],"observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}`)}
	}
	adapters := make(pq.StringArray, size)
	for j := range adapters {
		adapters[j] = "dns"
	}
	tx, err := x.db.BeginTx(x.Context(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	for k, args := range [][]any{{ids}, {places, ids, adapters, words, data}, {mustJSON(entries), `[]`, mustJSON(changes), maxID, 16}} {
		if err := drop(tx.StmtContext(x.Context(), texts[k]).QueryContext(x.Context(), args...)); err != nil { //nolint:sqlclosecheck // closed with the transaction
			return err
		}
	}
	return tx.Commit()
}

// drop reads rows, as the API reads them, and forgets them.
func drop(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close() // read to its end
	for rows.Next() {
	}
	return rows.Err()
}
