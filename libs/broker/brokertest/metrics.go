package brokertest

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric returns the value of the one gauge or counter of a name whose labels
// have the given values. That there is none fails the test.
func Metric(t testing.TB, from prometheus.Gatherer, name string, labels ...string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if !slices.ContainsFunc(labels, func(want string) bool { return !slices.Contains(values, want) }) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue() // it has one of them
			}
		}
	}
	t.Fatalf("there is no metric %s of %q", name, labels)
	return 0
}
