package brokertest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Harness is a broker under test. What it makes ends with its test.
type Harness interface {
	// Publisher returns a publisher of topic.
	Publisher(topic string) broker.Publisher
	// Subscriber declares the subscription before it returns.
	Subscriber(topic, subscription string, l broker.Limits) broker.Subscriber
	// DeadLetters returns the dead letters of a subscription of topic.
	DeadLetters(topic, subscription string) broker.DeadLetters
}

// Capability is something that not every broker offers. A harness offers one by
// implementing its interface; those without an interface are offered unless
// [Without] says otherwise.
type Capability string

// Capabilities.
const (
	Bounding   Capability = "small subscriptions"                       // [Bounded]
	Cutting    Capability = "cut connections"                           // [Cutter]
	Freezing   Capability = "a broker that falls silent"                // [Freezer]
	Restarting Capability = "restarts of the broker"                    // [Restarter]
	Durability Capability = "events that outlive the broker's process"  // no interface
	Alarming   Capability = "alarms of the broker"                      // [Alarmer]
	Unburying  Capability = "no room for the dead"                      // [Unburier]
	Denying    Capability = "permissions"                               // [Denier]
	RetryDelay Capability = "retries not before a moment"               // no interface
	Ordering   Capability = "order per resource"                        // no interface
	Returning  Capability = "deliveries that end with their connection" // no interface
)

// Bounded is a Harness whose subscriptions can be made small, so that they are
// full soon.
type Bounded interface {
	// Bound makes subscriptions hold at most the given number of events. It
	// is called before anything is declared.
	Bound(events int)
}

// Cutter is a Harness that can cut every connection of its publishers and
// subscribers to the broker, in the middle of whatever is under way.
type Cutter interface {
	Cut()
}

// Freezer is a Harness that can let everything reach the broker and nothing
// come back.
type Freezer interface {
	// Freeze stops what the broker says until thaw or the test's end.
	Freeze() (thaw func())
	// Window is how many events a publisher has under way at most.
	Window() int
	// Stored counts the events that wait in a subscription, seen from a
	// connection that is not frozen.
	Stored(topic, subscription string) int
	// Unconfirmed is what the publishers' metric of topic says.
	Unconfirmed(topic string) int
}

// Restarter is a Harness whose broker can be stopped and started again.
type Restarter interface {
	// Stop ends the broker, in order or as a crash would.
	Stop(kill bool)
	// Start starts it, waits until it can be reached, and says when its port
	// first accepted a connection: from then on clients recover.
	Start() (back time.Time)
}

// Alarmer is a Harness whose broker can refuse publishers for want of memory
// or disk.
type Alarmer interface {
	Alarm(on bool)
}

// Unburier is a Harness whose broker can be left without a place for the dead
// letters of a subscription.
type Unburier interface {
	// Unbury takes the place away. What was in it is lost. Whether the driver
	// or dig makes it anew is the driver's affair.
	Unbury(topic, subscription string) (dig func())
}

// Denier is a Harness whose broker can refuse publishers for want of a permission.
type Denier interface {
	// Deny takes the permission to publish away from publishers that are made
	// afterwards, or gives it back.
	Deny(on bool)
}

// bench is a harness as a theme sees it: with names of the theme's own.
type bench struct {
	inner           Harness
	suffix          string
	leastDeliveries int
	lease           time.Duration
}

func (s suite) bench(t *testing.T, h Harness, needs []Capability) *bench {
	t.Helper()
	b := &bench{inner: h, suffix: "." + rand.Text()[:8], leastDeliveries: s.leastDeliveries, lease: s.lease}
	for _, c := range needs {
		if !b.offers(c) {
			t.Fatalf("the harness does not offer %s; implement it, or say Without(…, why)", c)
		}
	}
	return b
}

func (b *bench) offers(c Capability) (ok bool) {
	switch c {
	case Bounding:
		_, ok = b.inner.(Bounded)
	case Cutting:
		_, ok = b.inner.(Cutter)
	case Freezing:
		_, ok = b.inner.(Freezer)
	case Restarting:
		_, ok = b.inner.(Restarter)
	case Unburying:
		_, ok = b.inner.(Unburier)
	case Denying:
		_, ok = b.inner.(Denier)
	case Alarming:
		_, ok = b.inner.(Alarmer)
	default:
		ok = true
	}
	return ok
}

// Publisher returns a publisher of the theme's own topic.
func (b *bench) Publisher(topic string) broker.Publisher { return b.inner.Publisher(topic + b.suffix) }

// Subscriber returns a subscriber of the theme's own subscription.
func (b *bench) Subscriber(topic, subscription string, l broker.Limits) broker.Subscriber {
	return b.inner.Subscriber(topic+b.suffix, subscription+b.suffix, l)
}

// DeadLetters returns the dead letters of a subscription of [topic].
func (b *bench) DeadLetters(subscription string) broker.DeadLetters {
	return b.inner.DeadLetters(topic+b.suffix, subscription+b.suffix)
}

// deliveries returns the limit of deliveries nearest to n that the broker allows.
func (b *bench) deliveries(n int) int { return max(n, b.leastDeliveries) }

// The capabilities' doors, for themes that need them.
func (b *bench) bound(events int)  { b.inner.(Bounded).Bound(events) }
func (b *bench) cut()              { b.inner.(Cutter).Cut() }
func (b *bench) freezer() Freezer  { return b.inner.(Freezer) }
func (b *bench) broker() Restarter { return b.inner.(Restarter) }
func (b *bench) alarm(on bool)     { b.inner.(Alarmer).Alarm(on) }
func (b *bench) deny(on bool)      { b.inner.(Denier).Deny(on) }
func (b *bench) unbury() func() {
	return b.inner.(Unburier).Unbury(topic+b.suffix, subscription+b.suffix)
}
func (b *bench) stored(t, s string) int { return b.freezer().Stored(t+b.suffix, s+b.suffix) }

// unconfirmed checks the metric of publishers of [topic].
func (b *bench) unconfirmed(t *testing.T, want int) {
	t.Helper()
	if got := b.freezer().Unconfirmed(topic + b.suffix); got != want {
		t.Fatalf("the metric says that %d events are unconfirmed, want %d", got, want)
	}
}
