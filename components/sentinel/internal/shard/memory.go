package shard

import (
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/decide"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxRemembered is how many publications a shard remembers. When that many are
// not recorded it stops publishing.
const maxRemembered = 100_000

// memory is what this process has published and the API may not know of.
type memory struct {
	backoff fleet.Backoff
	limit   int

	mu    sync.Mutex
	known map[string]*remembered // by resource id
	queue []string               // ids, each once: what to record, oldest first
	polls int64

	settled []settled // what was recorded, oldest first, until it is forgotten
}

// settled is when the API was known to have recorded a publication.
type settled struct {
	id string
	at time.Time
}

// remembered is the last publication of a resource.
type remembered struct {
	decide.Publication
	queued   bool      // it stands in the queue
	refused  bool      // the API will not record it
	recorded time.Time // when the API was known to have recorded it
	seen     int64     // the last poll in which the resource was due
}

// record is a publication that the API has still to be told of.
type record struct{ id, token string }

func newMemory(b fleet.Backoff, limit int) *memory {
	return &memory{backoff: b, limit: limit, known: map[string]*remembered{}}
}

// beginPoll forgets what was recorded before the poll.
func (m *memory) beginPoll(now time.Time) {
	m.mu.Lock()
	m.polls++
	m.mu.Unlock()
	m.forget(now)
}

// forget drops what was recorded before the given moment, at which the oldest
// page in hand was asked for: whatever a page says is due takes into account
// what was recorded before it.
func (m *memory) forget(asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for ; n < len(m.settled) && m.settled[n].at.Before(asked); n++ {
		if r := m.known[m.settled[n].id]; r != nil && r.Recorded && r.recorded.Equal(m.settled[n].at) && !r.InFlight && !r.queued {
			delete(m.known, m.settled[n].id)
		}
	}
	m.settled = m.settled[n:]
}

// endOfWalk forgets what the API refused to record and did not call due in a
// poll that saw everything, though it would be: the resource is gone, or was
// heard of.
func (m *memory) endOfWalk(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.known {
		if !r.refused || r.InFlight || r.queued || r.seen == m.polls {
			continue
		}
		if _, due := r.Pace.Due(m.backoff, now); due {
			delete(m.known, id)
		}
	}
}

// recall returns what is remembered of a resource that the API calls due.
func (m *memory) recall(id string) *decide.Publication {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[id]
	if r == nil {
		return nil
	}
	r.seen = m.polls
	p := r.Publication
	return &p
}

// begin marks item's event as in flight, if allowed says so of what is
// remembered. It fails when the memory is full.
func (m *memory) begin(item fleet.DueItem, allowed func(*decide.Publication) bool) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[item.ID]
	if r == nil {
		if len(m.known) >= m.limit {
			return false, errFull
		}
		m.known[item.ID] = &remembered{Publication: decide.Publication{InFlight: true}, seen: m.polls}
		return true, nil
	}
	if !allowed(&r.Publication) {
		return false, nil
	}
	r.InFlight = true
	return true, nil
}

// failed takes back what begin marked.
func (m *memory) failed(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[id]
	if r.InFlight = false; r.Token == "" {
		delete(m.known, id)
	}
}

// confirm remembers that the broker has item's event, and that the API is to
// be told.
func (m *memory) confirm(item fleet.DueItem, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.known[item.ID]
	pace := r.Pace
	if !item.LastTransitionTime.Equal(r.Heard.Time) {
		pace = fleet.Schedule{}
	}
	pace.Ready = item.Phase == fleet.Ready
	r.Publication = decide.Publication{Token: item.Token, Heard: item.LastTransitionTime,
		Pace: pace.Published(m.backoff, 0, false, now)}
	r.refused = false
	if !r.queued {
		r.queued = true
		m.queue = append(m.queue, item.ID)
	}
}

// batch takes up to n publications that the API has still to be told of from
// the queue, each as it is by now.
func (m *memory) batch(n int) []record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []record
	taken := 0
	for _, id := range m.queue {
		if len(out) == n {
			break
		}
		taken++
		r := m.known[id]
		if r.queued = false; !r.Recorded {
			out = append(out, record{id, r.Token})
		}
	}
	m.queue = m.queue[taken:]
	return out
}

// putBack returns a batch that could not be recorded to the head of the queue,
// but for what was published again meanwhile and waits at its end.
func (m *memory) putBack(batch []record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	head := make([]string, 0, len(batch)+len(m.queue))
	for _, b := range batch {
		if r := m.known[b.id]; r != nil && !r.queued {
			r.queued = true
			head = append(head, b.id)
		}
	}
	m.queue = append(head, m.queue...)
}

// settle ends a batch: the API has recorded it, or refused to.
func (m *memory) settle(batch []record, refused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, q := range batch {
		r := m.known[q.id]
		if r == nil || r.Token != q.token {
			continue
		}
		if r.Recorded, r.refused = !refused, refused; r.Recorded {
			r.recorded = now
			m.settled = append(m.settled, settled{q.id, now})
		}
	}
}

// unrecorded counts what the API does not know of.
func (m *memory) unrecorded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.known {
		if r.Token != "" && !r.Recorded {
			n++
		}
	}
	return n
}
