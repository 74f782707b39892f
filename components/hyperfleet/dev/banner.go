package dev

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// banner tells the user where everything is and what to type next.
type banner struct {
	apiURL, metricsURL, psql, dataDir, logFile, token string
	temporary                                         bool
}

func (b banner) print(w io.Writer) {
	kept := "kept"
	if b.temporary {
		kept = "removed at the end; keep one with --data-dir"
	}
	fmt.Fprintln(w, "\nHyperFleet is running. Ctrl-C ends it.")
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range [][2]string{
		{"API", b.apiURL},
		{"its manual", b.apiURL + "/docs"},
		{"metrics", b.metricsURL},
		{"psql", b.psql},
		{"data directory", fmt.Sprintf("%s (%s)", b.dataDir, kept)},
		{"log", b.logFile},
		{"admin's token", b.token + " (24 hours; dev.env has it)"},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", row[0], row[1])
	}
	_ = t.Flush() // w is the terminal: there is nowhere else to say that it is gone
	fmt.Fprintf(w, `
Type next:
  . %s/dev.env
  curl -H "Authorization: Bearer $HYPERFLEET_TOKEN" -H 'Content-Type: application/json' -d @docs/examples/cluster.json $HYPERFLEET_URL/clusters
  curl -H "Authorization: Bearer $HYPERFLEET_TOKEN" $HYPERFLEET_URL/clusters

`, quoteIfNeeded(b.dataDir))
}
