package stub

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type harness struct{ *Broker }

func (h harness) Bound(events int) { h.capacity = events }

func (h harness) DeadLetters(_, subscription string) broker.DeadLetters {
	return h.Broker.DeadLetters(subscription)
}

func exercise(t *testing.T, options ...brokertest.Option) {
	const inMemory = "it is part of the process: there is nothing between them to fail"
	for _, c := range []brokertest.Capability{brokertest.Cutting, brokertest.Freezing, brokertest.Restarting, brokertest.Alarming, brokertest.Unburying, brokertest.Denying} {
		options = append(options, brokertest.Without(c, inMemory))
	}
	options = append(options, brokertest.Without(brokertest.Ordering, "a retry or a pause puts an event behind later ones of its resource"))
	brokertest.Exercise(t, func(testing.TB) brokertest.Harness { return harness{New()} }, options...)
}

func TestConformance(t *testing.T) { exercise(t, brokertest.InBubble()) }

// Real time finds what a bubble hides: it lets goroutines run at once.
func TestConformanceInRealTime(t *testing.T) { exercise(t) }
