package replicas

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const exchange = "hyperfleet.clusters"

// change is what one event should be published for, once.
type change struct {
	id         string
	generation int64
}

// ledger counts every event that reaches the broker.
type ledger struct {
	mu      sync.Mutex
	events  map[change]int
	last    time.Time
	changed chan struct{} // closed when an event comes
}

func openLedger(t *testing.T, url string) *ledger {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("ledger", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind(q.Name, "#", exchange, false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume(q.Name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{events: map[change]int{}, changed: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for d := range deliveries {
			l.note(t, d.Body)
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close() // the node is closed next
		<-ended
	})
	return l
}

func (l *ledger) note(t *testing.T, body []byte) {
	var ce struct {
		Data fleet.ReconcileEvent `json:"data"`
	}
	if err := json.Unmarshal(body, &ce); err != nil || ce.Data.ResourceID == "" {
		t.Errorf("no event: %v: %s", err, body)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events[change{ce.Data.ResourceID, ce.Data.Generation}]++
	l.last = time.Now()
	close(l.changed)
	l.changed = make(chan struct{})
}

// missing counts the clusters without an event of the generation.
func (l *ledger) missing(clusters []string, generation int64) (n int, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range clusters {
		if l.events[change{id, generation}] == 0 {
			n++
		}
	}
	return n, l.changed
}

func (l *ledger) count(id string, generation int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[change{id, generation}]
}

func (l *ledger) lastEvent() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
