package postgres

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// benchTurns is how often each of two rivals is measured, in turns; the median counts.
const benchTurns = 3

// BenchmarkAPI measures the API as a process, with authentication on and a
// durable PostgreSQL, against the least that could do the same, in one fleet
// that is loaded once. It prints a table. Times judge nothing, because a busy
// machine makes every one worse; pages that the due query reads do.
// BENCH_ROWS (1,000,000), BENCH_TURN (5s) and BENCH_LOAD (5m) say how much;
// BENCH_DATA is a directory that keeps the fleet for another run.
//
//	go test -run '^$' -bench '^BenchmarkAPI$' -benchtime 1x -timeout 2h ./internal/postgres
//	go test -run '^$' -bench '^BenchmarkAPI$/^get$' -benchtime 1x ./internal/postgres
func BenchmarkAPI(b *testing.B) {
	x := newBench(b)
	var report strings.Builder
	aligned := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	table := io.MultiWriter(aligned, os.Stderr) // each line at once, too: a long run may not reach its end
	fmt.Fprintln(table, "what\tAPI\tagainst\tratio\tgoal")
	for _, part := range []struct {
		name    string
		measure func(*bench, io.Writer)
	}{
		{"due", (*bench).benchPages},
		{"get", (*bench).benchGet},
		{"list", (*bench).benchList},
		{"labels", (*bench).benchLabels},
		{"coverage", (*bench).benchCoverage},
		{"reports", (*bench).benchReports},
		{"load", (*bench).benchDueUnderLoad},
	} {
		b.Run(part.name, func(b *testing.B) {
			outer := x.B
			x.B = b
			part.measure(x, table)
			x.B = outer
		})
	}
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
