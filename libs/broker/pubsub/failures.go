package pubsub

import (
	"sync"
	"time"

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
}

func newFailures() *failures { return &failures{byID: map[string]failure{}} }

func (f *failures) count(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byID[id].n
}

// record counts one more and returns how many there are.
func (f *failures) record(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.byID[id]; !known && len(f.byID) >= mostFailures {
		for other := range f.byID { // any: its deliveries are counted anew
			delete(f.byID, other)
			break
		}
	}
	one := f.byID[id]
	one.n++
	one.last = time.Now()
	if one.n == 1 {
		one.first = one.last
	}
	f.byID[id] = one
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
	one, ok := f.byID[id]
	if !ok { // malformed: it never reached a handler
		now := time.Now()
		one = failure{n: 1, first: now, last: now}
	}
	return broker.DeadLetter{Deliveries: one.n, First: one.first, Last: one.last}
}
