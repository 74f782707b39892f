package pubsub

import (
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestEventsKeepToTheContractAsMessages(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("wire", "wire-sub", broker.Limits{})
	p := f.Publisher("wire")
	subjects := map[string]string{}
	for _, e := range brokertest.Golden(t) {
		subjects[e.ID()] = e.Subject()
		if err := p.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	messages := f.server.Messages()
	if len(messages) != len(subjects) {
		t.Fatalf("%d messages of %d events", len(messages), len(subjects))
	}
	for _, m := range messages {
		brokertest.OnTheWire(t, m.Data)
		e, err := broker.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if m.OrderingKey != subjects[e.ID()] || m.Attributes[attrContentType] != "application/cloudevents+json" {
			t.Errorf("%s has the ordering key %q and the attributes %v", e.ID(), m.OrderingKey, m.Attributes)
		}
	}
}

func TestWhatIsNoEventGoesToTheDeadLettersAndNoHandlerGetsIt(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Subscriber("topic", "sub", broker.Limits{})
	f.server.Publish(topicName(project, "topic"), []byte("hello"), nil)
	p := newProcess(t, broker.Settings{}, f.addr)
	_, got, _ := p.receive("topic", "sub")
	letters := f.DeadLetters("topic", "sub")
	for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
		var dead []broker.DeadLetter
		if _, err := letters.Review(t.Context(), func(l broker.DeadLetter) broker.Verdict {
			dead = append(dead, l)
			return broker.Keep
		}); err != nil {
			t.Fatal(err)
		}
		if len(dead) == 1 {
			l := dead[0]
			if string(l.Malformed) != "hello" || l.Deliveries != 1 || l.First.IsZero() || !strings.Contains(l.Reason, "no CloudEvent") {
				t.Errorf("the dead letter is %+v", l)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d dead letters after %s, want one", len(dead), ceiling)
		}
	}
	if len(got) > 0 {
		t.Errorf("a handler got %q", <-got)
	}
}
