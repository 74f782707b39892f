package reconcile

import (
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// BenchmarkEvent: a sentinel makes thousands a second.
func BenchmarkEvent(b *testing.B) {
	e := fleet.ReconcileEvent{ResourceType: fleet.Clusters, ResourceID: "0190b6a0-1234-7000-8000-0000000000aa", Reason: fleet.BackoffExpired, Generation: 3}
	at := fleet.At(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Event("sentinel-operator/cluster-sentinel-us-east", e, at); err != nil {
			b.Fatal(err)
		}
	}
}
