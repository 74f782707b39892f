package postgres

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// benchCoverage computes who covers the fleet, where shards leave a gap and
// overlap, and where they ask for labels besides the shard key.
func (x *bench) benchCoverage(table io.Writer) {
	for _, c := range []struct {
		name      string
		selectors []string
	}{
		{"one shard for each region", []string{"region=region-0", "region=region-1", "region=region-2", "region=region-3"}},
		{"a gap and an overlap", []string{"region=region-0", "region=region-1", "region in (region-1,region-2)"}},
		{"other labels too", []string{"region=region-0,env=prod", "region=region-0,env!=prod", "canary", "region notin (region-0),env in (prod,stage)"}},
		{"no shard at all", nil},
	} {
		longest := 0.0
		for range benchTurns {
			for _, text := range []string{`DELETE FROM shards`, `DELETE FROM coverage`} {
				if _, err := x.db.ExecContext(x.Context(), text); err != nil {
					x.Fatal(err)
				}
			}
			for i, selector := range c.selectors {
				x.hold(fmt.Sprintf("s-%d", i), selector)
			}
			begun := time.Now()
			x.drain(x.api.url + "/v1/shards/coverage?resourceType=clusters")
			longest = max(longest, time.Since(begun).Seconds())
		}
		fmt.Fprintf(table, "coverage, %s (the longest of %d)\t%.2f s\t\t\tits snapshot 10 s at most\n", c.name, benchTurns, longest)
	}
}

// hold registers a live shard.
func (x *bench) hold(name, selector string) {
	x.Helper()
	body := fmt.Sprintf(`{"holder":"bench","resourceType":"clusters","selector":%q,"backoffNotReady":"10s","backoffReady":"30m","pollInterval":"5s"}`, selector)
	resp, err := x.client.Do(x.request(http.MethodPut, x.api.url+"/v1/shards/"+name, body))
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close() // a benchmark's
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		x.Fatalf("hold %s: %s %s", name, resp.Status, text)
	}
}
