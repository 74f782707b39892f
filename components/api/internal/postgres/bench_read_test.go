package postgres

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func (x *bench) benchGet(table io.Writer) {
	bare := x.bare()
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

// bare runs the least that can do what the API does.
func (x *bench) bare() *process {
	x.Helper()
	names, _ := database.TablesFor(clusters)
	listen := freeAddress(x)
	return x.run("./testdata/bare", listen, nil, "LISTEN="+listen, "BARE_SQL="+names.SQL(resource.GetSQL))
}

// benchList walks the whole fleet once, against COPY of the same resource.Columns.
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
		cmd := exec.CommandContext(x.Context(), x.program("psql"), x.url, "-qc", `\copy (SELECT `+resource.Columns+` FROM clusters ORDER BY id) TO '/dev/null'`)
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
		text := `SELECT ` + resource.Columns + ` FROM clusters WHERE deleted_at IS NULL AND ` + q.best + ` ORDER BY id LIMIT 1001`
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
