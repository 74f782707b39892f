package stub

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type harness struct{ *Broker }

func (h harness) Bound(events int) { h.capacity = events }

func TestConformance(t *testing.T) {
	brokertest.Exercise(t, func(testing.TB) brokertest.Harness { return harness{New()} }, brokertest.InBubble())
}

// Real time finds what a bubble hides: it lets goroutines run at once.
func TestConformanceInRealTime(t *testing.T) {
	brokertest.Exercise(t, func(testing.TB) brokertest.Harness { return harness{New()} })
}
