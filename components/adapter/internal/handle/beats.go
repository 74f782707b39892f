package handle

import (
	"maps"
	"sync"
	"time"
)

// beatEvery is how often a Job that goes on is reported Running.
const beatEvery = time.Minute

// beats remembers when this process last reported each Job Running. Forgetting
// one costs a report that the API folds.
type beats struct {
	mu     sync.Mutex
	last   map[string]time.Time // name of the Job
	pruned time.Time
}

func (b *beats) due(job string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.last[job]
	return !ok || now.Sub(at) >= beatEvery
}

func (b *beats) sent(job string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.last = map[string]time.Time{}
	}
	if now.Sub(b.pruned) >= beatEvery {
		maps.DeleteFunc(b.last, func(_ string, at time.Time) bool { return now.Sub(at) >= beatEvery })
		b.pruned = now
	}
	b.last[job] = now
}

func (b *beats) forget(job string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.last, job)
}
