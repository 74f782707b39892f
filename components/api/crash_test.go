package api_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// rounds is how often a violent test repeats.
func rounds(t *testing.T) int {
	t.Helper()
	return fleettest.Rounds(t)
}

// promises is what the API's answers oblige the database to hold.
type promises struct {
	mu      sync.Mutex
	stored  map[string]string // name -> id, answered 201
	refused map[string]bool   // idempotency keys that were answered 4xx from within the transaction
	unknown map[string]string // name -> idempotency key
	broken  []string          // what nobody should have been told
	reports map[string]string // id of the report -> message, answered 201
	answers chan struct{}     // one for each 201
}

// TestNoPromiseIsBrokenByACrash: PostgreSQL is killed and restarted under
// writes. What was answered 201 is there, nothing of what was answered 4xx is, and a
// request whose outcome is unknown, sent again under its key, is one row.
func TestNoPromiseIsBrokenByACrash(t *testing.T) {
	t.Parallel()
	pgdev.Database(t) // skips where there is no PostgreSQL
	ln := listen(t)
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close() // PostgreSQL takes it, and keeps it over its restarts
	options := pgdev.Options{DataDir: filepath.Join(t.TempDir(), "postgres"), Port: port, Durable: true}
	pg := startPostgres(t, options)
	if err := pg.CreateDatabase(t.Context(), "fleet"); err != nil {
		t.Fatal(err)
	}
	r := start(t, pg.URL("fleet"), nil)
	p, stop := underWrites(t, r.Client)
	for range rounds(t) {
		p.await(t, 60)
		if err := pg.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := pg.Stop(); err != nil { // gives the directory back
			t.Fatal(err)
		}
		pg = startPostgres(t, options)
	}
	p.await(t, 60)
	stop()
	p.retry(t, r.Client)
	p.compare(t, pg.URL("fleet"))
}

// underWrites starts writers and returns what ends them.
func underWrites(t *testing.T, c *client.Client) (p *promises, stop func()) {
	t.Helper()
	p = &promises{stored: map[string]string{}, refused: map[string]bool{}, unknown: map[string]string{}, reports: map[string]string{}, answers: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				p.write(ctx, c, fmt.Sprintf("w%d-%d", w, i))
			}
		})
	}
	return p, func() { cancel(); writers.Wait() }
}

func startPostgres(t *testing.T, o pgdev.Options) *pgdev.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pg, err := pgdev.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop() })
	return pg
}

// await waits for so many promises more.
func (p *promises) await(t *testing.T, n int) {
	t.Helper()
	patience := time.After(2 * time.Minute)
	for range n {
		select {
		case <-p.answers:
		case <-patience:
			t.Fatal("nothing is stored any more")
		}
	}
}

// write creates a cluster, reports on it and deletes it, and asks for what is
// refused only when a part of it is written already: the cluster once more, and a
// node pool of it while it is deleted.
func (p *promises) write(ctx context.Context, c *client.Client, name string) {
	key := "key-" + name
	made, err := c.Create(ctx, fleet.Clusters, fleet.NewResource{Name: name}, client.IdempotencyKey(key))
	for p.note(ctx, name, key, made.ID, err); err != nil && ctx.Err() == nil; p.note(ctx, name, key, made.ID, err) {
		made, err = c.Create(ctx, fleet.Clusters, fleet.NewResource{Name: name}, client.IdempotencyKey(key))
	}
	if err != nil {
		return
	}
	_, err = c.Create(ctx, fleet.Clusters, fleet.NewResource{Name: name}, client.IdempotencyKey("twice-"+name))
	p.refuse("twice-"+name, err, fleet.NameTaken)
	if p.report(ctx, c, made.ID, fleet.ReportRunning, name) && c.Delete(ctx, fleet.Clusters, made.ID) == nil {
		_, err = c.CreateIn(ctx, fleet.Clusters, made.ID, fleet.NodePools, fleet.NewResource{Name: name}, client.IdempotencyKey("late-"+name))
		p.refuse("late-"+name, err, fleet.Conflict)
	}
	p.report(ctx, c, made.ID, fleet.ReportComplete, name)
}

// refuse notes that a request was refused, if it was.
func (p *promises) refuse(key string, err error, want fleet.Code) {
	if fleet.ErrorCode(err) == want {
		p.mu.Lock()
		p.refused[key] = true
		p.mu.Unlock()
	}
}

// report says whether the report is a promise now.
func (p *promises) report(ctx context.Context, c *client.Client, id string, phase fleet.ReportPhase, message string) bool {
	report, err := c.Report(ctx, fleet.Clusters, id, fleet.NewReport{AdapterName: "dns", Phase: phase, Message: message})
	if err == nil {
		p.mu.Lock()
		p.reports[report.ID] = message
		p.mu.Unlock()
	}
	return err == nil
}

func (p *promises) note(ctx context.Context, name, key, id string, err error) {
	p.mu.Lock()
	switch code := fleet.ErrorCode(err); {
	case err == nil:
		p.stored[name] = id
	case code == fleet.Unavailable || code == fleet.Internal:
		if key != "" {
			p.unknown[name] = key
		}
	default:
		p.broken = append(p.broken, fmt.Sprintf("%s was refused: %v", name, err))
	}
	p.mu.Unlock()
	if err == nil {
		select {
		case p.answers <- struct{}{}:
		case <-ctx.Done():
		}
	}
}

// retry sends every request whose outcome was unknown at some time again, twice.
func (p *promises) retry(t *testing.T, c *client.Client) {
	t.Helper()
	if len(p.unknown) == 0 {
		t.Error("no outcome was ever unknown: nothing was tested")
	}
	for name, key := range p.unknown {
		first, err := c.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: name}, client.IdempotencyKey(key))
		if err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
		second, err := c.Create(t.Context(), fleet.Clusters, fleet.NewResource{Name: name}, client.IdempotencyKey(key))
		if err != nil || second.ID != first.ID {
			t.Errorf("%s once more: %s, then %s, %v", name, first.ID, second.ID, err)
		}
		if id, answered := p.stored[name]; answered && id != first.ID {
			t.Errorf("%s was answered as %s and is %s now", name, id, first.ID)
		}
		p.stored[name] = first.ID
	}
}

func (p *promises) compare(t *testing.T, url string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // a test's connection
	read := func(query string) map[string]string {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close() // read to its end
		out := map[string]string{}
		for rows.Next() {
			var key, value string
			if err := rows.Scan(&key, &value); err != nil {
				t.Fatal(err)
			}
			if other, twice := out[key]; twice {
				t.Errorf("%s is there twice: %s and %s", key, other, value)
			}
			out[key] = value
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	found := read(`SELECT name, id FROM clusters`)
	for name, id := range p.stored {
		if found[name] != id {
			t.Errorf("%s was answered 201 as %s; the database has %q", name, id, found[name])
		}
	}
	if keys := read(`SELECT key, route FROM idempotency_keys`); len(keys) != len(p.stored) {
		t.Errorf("%d keys are kept for %d clusters", len(keys), len(p.stored))
	} else {
		for key := range p.refused {
			if route, there := keys[key]; there {
				t.Errorf("the request of %s was refused and its key is kept for %s", key, route)
			}
		}
	}
	if late := read(`SELECT name, id FROM nodepools`); len(late) > 0 {
		t.Errorf("node pools were refused and are there: %v", late)
	}
	if noted := read(`SELECT id, action FROM audit WHERE action = 'create'`); len(noted) != len(p.stored) {
		t.Errorf("%d creates are in the audit, %d clusters were made", len(noted), len(p.stored))
	}
	if len(p.refused) < len(p.stored)/2 {
		t.Errorf("%d requests were refused beside %d clusters: little was tested", len(p.refused), len(p.stored))
	}
	for _, what := range p.broken {
		t.Error(what)
	}
	if len(found) != len(p.stored) {
		t.Errorf("the database has %d clusters, %d were promised", len(found), len(p.stored))
	}
	history := read(`SELECT id, message FROM statuses`)
	for id, message := range p.reports {
		if history[id] != message {
			t.Errorf("report %s was answered 201 with %q; the database has %q", id, message, history[id])
		}
	}
	t.Logf("%d stored, %d refused, %d of unknown outcome, %d reports", len(p.stored), len(p.refused), len(p.unknown), len(p.reports))
}
