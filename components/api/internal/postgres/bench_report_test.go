package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// benchStatus is what a cluster's becomes, whatever it was.
const benchStatus = `{"phase":"Provisioning","adapters":[{"adapter_name":"dns","phase":"Running","observed_generation":1,"attempt":1,"retry_at":null,"message":"step 1000","last_transition_time":"2026-01-02T03:04:05.000000Z"}],"conditions":[{"type":"Ready","status":"False","reason":"WaitingForAdapters","message":"dns: Running","observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}],"observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}`

// benchReports measures how fast reports are stored.
func (x *bench) benchReports(table io.Writer) {
	var n atomic.Int64
	post := func() float64 {
		return x.hammer(256, 201, func(w, _ int) *http.Request { return x.postReport(x.api.url+"/v1/clusters", w, n.Add(1)) })
	}
	size := x.groupSize(post)
	var api, alone load
	r := turns(
		func() float64 { return api.of(post) },
		func() float64 { return alone.of(func() float64 { return x.directGroups(size) }) },
		x.pgbench,
	)
	fmt.Fprintf(table, "POST status, 256 writers, groups of %d (the load: %.2f cores)\t%.0f/s\tthe same grouped statements through lib/pq, with nobody who asks (the load: %.2f cores): %.0f/s\t%.2f\t0.60 at least\n",
		size, api.cores(), r[0], alone.cores(), r[1], r[0]/r[1])
	fmt.Fprintf(table, "the same\t%.0f/s\tpgbench, one commit each, 32 clients: %.0f/s\t%.2f\t2 at least, 4 aimed at\n", r[0], r[2], r[0]/r[2])
	x.rate = r[0]
}

// load is what this process, which makes the load, needs for it.
type load struct{ cpu, wall time.Duration }

func (l *load) of(measure func() float64) float64 {
	before, begun := ownCPU(), time.Now()
	rate := measure()
	l.cpu, l.wall = l.cpu+ownCPU()-before, l.wall+time.Since(begun)
	return rate
}

func (l *load) cores() float64 { return l.cpu.Seconds() / l.wall.Seconds() }

// groupSize is how many reports the API stores with one commit.
func (x *bench) groupSize(post func() float64) int {
	x.Helper()
	var before, after struct{ Reports, Commits int }
	const count = `SELECT count(*) AS reports, count(DISTINCT xmin::text) AS commits FROM statuses WHERE reports = 1`
	if err := x.db.GetContext(x.Context(), &before, count); err != nil {
		x.Fatal(err)
	}
	post()
	if err := x.db.GetContext(x.Context(), &after, count); err != nil {
		x.Fatal(err)
	}
	return (after.Reports - before.Reports) / max(1, after.Commits-before.Commits)
}

func (x *bench) postReport(base string, w int, n int64) *http.Request {
	id := x.ids[(int64(w)*79+n)%int64(len(x.ids))]
	body := fmt.Sprintf(`{"adapter_name":"dns","phase":"Running","message":"step %d","data":{"n":%d}}`, n, n)
	r := x.request("POST", base+"/"+id+"/statuses", body)
	r.Header.Set("Authorization", "Bearer "+x.adapter)
	return r
}

// directGroups stores what the API's groups store, with nothing to decide and
// nobody to answer.
func (x *bench) directGroups(size int) float64 {
	names, _ := database.TablesFor(clusters)
	var texts []*sql.Stmt
	for _, text := range []string{lockManySQL, latestManySQL, saveManySQL} {
		stmt, err := x.db.PrepareContext(x.Context(), names.SQL(text))
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
				if err := database.Again(x.Context(), func(context.Context) error { return x.directGroup(texts, size, flight, i) }); err != nil {
					x.Error(err)
					return
				}
				stored.Add(int64(size))
			}
		})
	}
	group.Wait()
	return float64(stored.Load()) / time.Since(begun).Seconds()
}

func (x *bench) directGroup(texts []*sql.Stmt, size, flight, i int) error {
	at := time.Now().UTC().Truncate(time.Microsecond)
	ids, places, words, data := make(pq.StringArray, size), make(pq.Int64Array, size), make(pq.StringArray, size), make(pq.StringArray, size)
	entries, changes := make([]newEntry, size), make([]newChange, size)
	var status fleet.Status
	if err := json.Unmarshal([]byte(benchStatus), &status); err != nil {
		return err
	}
	half := len(x.ids) / maxFlights
	for j := range size {
		id, err := database.NewID(at)
		if err != nil {
			return err
		}
		ids[j], places[j] = x.ids[flight*half+(i*size+j)%half], int64(j)
		words[j], data[j] = fmt.Sprintf("step %d", i), fmt.Sprintf(`{"n":%d}`, i)
		entries[j] = newEntry{ID: id, Subject: ids[j], Adapter: "dns", Phase: "Running", Message: words[j], Data: json.RawMessage(data[j]), Generation: 1, Attempt: 1, Transition: at, At: at}
		changes[j] = newChange{ID: ids[j], At: at, Reports: 1, Worked: true, Phase: "Provisioning", Generation: 1, Transition: at, Retries: []string{},
			Status: status}
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
	for k, args := range [][]any{{ids}, {places, ids, adapters, words, data}, {database.JSON(entries), `[]`, database.JSON(changes), database.MaxID, 16}} {
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
