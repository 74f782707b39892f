package rest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// What listing everything may cost: against COPY of the same columns, and in
// memory of the API.
const (
	maxAgainstCopy = 3.0
	maxGrowth      = 64 << 20
)

var continues = regexp.MustCompile(`"continue":"([^"]+)"`)

// BenchmarkList walks BENCH_ROWS clusters (default 1,000,000) through pages of
// 1,000 and compares the time with COPY of the same columns inside the server.
// It fails where the API's memory grows by more than 64 MiB.
//
//	go test -run '^$' -bench '^BenchmarkList$' -benchtime 1x ./internal/rest
func BenchmarkList(b *testing.B) {
	rows := 1_000_000
	if text := os.Getenv("BENCH_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			b.Fatalf("BENCH_ROWS=%q: write a number from 1000", text)
		}
		rows = n
	}
	bed := newBed(b)
	for _, text := range []string{
		`SET synchronous_commit = off`,
		fmt.Sprintf(`INSERT INTO clusters (id, tenant, name, spec, status, labels, generation, desired_version, reports_version, created_at, updated_at, touched_at)
			SELECT gen_random_uuid(), 'default', 'c-' || n,
				'{"provider":"aws","region":"us-east","version":"4.16.3","networking":{"clusterCIDR":"10.128.0.0/14","serviceCIDR":"172.30.0.0/16","machineCIDR":"10.0.0.0/16","hostPrefix":23},"nodePools":[{"name":"workers","instanceType":"m6i.xlarge","replicas":3}]}',
				'{"phase":"Ready","lastTransitionTime":"2026-01-02T03:04:05.000000Z","observedGeneration":1,"adapters":[{"adapter_name":"validation","phase":"Complete","observed_generation":1,"attempt":1,"retry_at":null,"message":"all policies hold","last_transition_time":"2026-01-02T03:04:05.000000Z"}],"conditions":[{"type":"Ready","status":"True","reason":"AdaptersComplete","message":"","observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}]}',
				jsonb_build_object('region', 'region-' || n %% 4, 'env', 'prod'), 1, 1, 1, now(), now(), now() FROM generate_series(1, %d) n`, rows),
		`VACUUM ANALYZE clusters`,
	} {
		if _, err := bed.db.ExecContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		began := time.Now()
		if _, err := bed.db.ExecContext(b.Context(), `COPY (SELECT id, tenant, name, spec, status, labels, generation, desired_version, reports_version,
			created_at, updated_at, deleted_at, touched_at FROM clusters ORDER BY id) TO '/dev/null'`); err != nil {
			b.Fatal(err)
		}
		bare := time.Since(began)
		began = time.Now()
		seen, size, growth := walkAll(b, bed.url)
		took := time.Since(began)
		fmt.Printf("\nlist of %d clusters (%d MiB) through pages of 1,000: COPY %.1f s, list %.1f s (%.2f times, at most %.1f), memory grew by %d MiB (at most %d)\n",
			seen, size>>20, bare.Seconds(), took.Seconds(), took.Seconds()/bare.Seconds(), maxAgainstCopy, growth>>20, maxGrowth>>20)
		if seen != rows {
			b.Errorf("%d clusters were listed", seen)
		}
		if growth > maxGrowth {
			b.Errorf("memory grew by %d MiB", growth>>20)
		}
	}
}

// walkAll reads every page and says how many clusters and bytes there were, and
// by how much the process came to need more memory.
func walkAll(b *testing.B, url string) (seen, size int, growth int64) {
	b.Helper()
	memory := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapSys - m.HeapReleased)
	}
	runtime.GC()
	before := memory()
	var page bytes.Buffer
	for cont := ""; ; {
		resp, err := http.Get(url + "/v1/clusters?limit=1000&continue=" + cont)
		if err != nil {
			b.Fatal(err)
		}
		page.Reset()
		if _, err := io.Copy(&page, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatalf("answered %d, %v", resp.StatusCode, err)
		}
		resp.Body.Close()
		size += page.Len()
		seen += bytes.Count(page.Bytes(), []byte(`"kind":"Cluster",`))
		growth = max(growth, memory()-before)
		tail := page.Bytes()[max(0, page.Len()-500):]
		found := continues.FindSubmatch(tail)
		if found == nil {
			return seen, size, growth
		}
		cont = string(found[1])
	}
}
