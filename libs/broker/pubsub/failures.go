package pubsub

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// mostFailures bounds how many messages' failures are remembered.
const mostFailures = 10_000

// failures counts the failed deliveries of messages, by their ids. A message
// that another process settles is forgotten when the memory is full.
type failures struct {
	mu   sync.Mutex
	byID map[string]failure
}

type failure struct {
	n           int
	first, last time.Time
	notBefore   time.Time // zero without a retry that waits
}

func newFailures() *failures { return &failures{byID: map[string]failure{}} }

// of returns what is known of a message. One that was stored anew brings its
// failures along.
func (f *failures) of(m *pubsub.Message) failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one, known := f.byID[m.ID]; known {
		return one
	}
	one := recall(m.Attributes)
	if one.n > 0 {
		f.put(m.ID, one)
	}
	return one
}

// put remembers a message's failures. It is called with the lock held.
func (f *failures) put(id string, one failure) {
	if _, known := f.byID[id]; !known && len(f.byID) >= mostFailures {
		for other := range f.byID { // any: its deliveries are counted anew
			delete(f.byID, other)
			break
		}
	}
	f.byID[id] = one
}

// record counts one more, after which the message must wait, and returns how
// many there are.
func (f *failures) record(id string, wait time.Duration) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.byID[id]
	one.n++
	one.last = time.Now()
	one.notBefore = one.last.Add(wait)
	if one.n == 1 {
		one.first = one.last
	}
	f.put(id, one)
	return one.n
}

func (f *failures) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byID, id)
}

// letter returns what is known of a message that is given up now.
func (f *failures) letter(id string) broker.DeadLetter {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.byID[id]
	return broker.DeadLetter{Deliveries: one.n, First: one.first, Last: one.last}
}
