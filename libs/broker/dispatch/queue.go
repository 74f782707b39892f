package dispatch

import (
	"slices"
	"sync"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Message is one delivery with the means to settle it.
type Message struct {
	Delivery broker.Delivery
	// Malformed is why the message is no event, if it is none: no handler
	// gets it, and it is rejected.
	Malformed error
	// Settle carries out what the handler decided. It is called once, from
	// the handler's goroutine, also after the subscriber was told to stop.
	Settle func(broker.Outcome)
	// Origin is the driver's own mark, for Withdraw.
	Origin any
}

// Queue holds messages between a driver and its handlers, so that no two of
// one subject are out at once. Subjects take turns: many messages of one never
// block those of others. Messages without a subject never wait for each other.
// Several Runs may share a Queue; the promise holds across them.
type Queue struct {
	mu    sync.Mutex
	lanes map[string]*lane // subjects that have messages, waiting or out
	ready []*lane          // lanes with a message that may go out, in turn
	woken chan struct{}    // holds a token while ready may be not empty
}

// lane holds the messages of one subject.
type lane struct {
	subject string
	waiting []Message
	out     bool
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{lanes: map[string]*lane{}, woken: make(chan struct{}, 1)}
}

// Put adds m at the end of its subject's lane. It never blocks.
func (q *Queue) Put(m Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	subject := m.Delivery.Event.Subject()
	if subject == "" {
		q.ready = append(q.ready, &lane{waiting: []Message{m}})
		q.wake()
		return
	}
	l := q.lanes[subject]
	if l == nil {
		l = &lane{subject: subject}
		q.lanes[subject] = l
	}
	l.waiting = append(l.waiting, m)
	if !l.out && len(l.waiting) == 1 {
		q.ready = append(q.ready, l)
		q.wake()
	}
}

// Withdraw takes out the messages that match, of those that were not handed
// out: the broker delivers them again, or the driver gives them back.
func (q *Queue) Withdraw(match func(Message) bool) []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []Message
	withdraw := func(l *lane) {
		l.waiting = slices.DeleteFunc(l.waiting, func(m Message) bool {
			if !match(m) {
				return false
			}
			out = append(out, m)
			return true
		})
	}
	for _, l := range q.ready {
		withdraw(l)
		if len(l.waiting) == 0 && l.subject != "" {
			delete(q.lanes, l.subject)
		}
	}
	q.ready = slices.DeleteFunc(q.ready, func(l *lane) bool { return len(l.waiting) == 0 })
	for _, l := range q.lanes {
		if l.out {
			withdraw(l)
		}
	}
	return out
}

// take hands out the next message. Whoever took it calls done.
func (q *Queue) take() (m Message, done func(), ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready) == 0 {
		return Message{}, nil, false
	}
	l := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	m = l.waiting[0]
	l.waiting[0] = Message{}
	l.waiting = l.waiting[1:]
	l.out = true
	if len(q.ready) > 0 {
		q.wake() // another Run may have a handler free
	}
	return m, func() { q.done(l) }, true
}

// done lets the lane's next message go out.
func (q *Queue) done(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.out = false
	if len(l.waiting) > 0 {
		q.ready = append(q.ready, l)
		q.wake()
	} else if l.subject != "" {
		delete(q.lanes, l.subject)
	}
}

// wake leaves a token for one Run. It must be called with the lock held, or by
// a Run that gives back a token.
func (q *Queue) wake() {
	select {
	case q.woken <- struct{}{}:
	default:
	}
}
