package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// The broker repeats what came through a connection that was lost.
func TestWhatEndsAfterItsConnectionWasLostIsNotStoredBesideTheOriginal(t *testing.T) {
	for name, outcome := range map[string]broker.Outcome{
		"retried": broker.Retry(0), "paused": broker.Pause("the API is away"), "rejected": broker.Reject("no use"),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t).(*harness)
			topic, queue := "lost."+name, "lost."+name+"-sub"
			begun, release := make(chan int, 100), make(chan struct{})
			first := true
			stop := receive(t, h.Subscriber(topic, queue, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
				begun <- d.Attempt
				if first { // one subject: never two at once
					first = false
					<-release
					return outcome
				}
				return broker.Ack()
			})
			send(t, h.Publisher(topic), "a")
			<-begun
			before := failures(t, h.registry, "subscriber", queue, health.Lost)
			h.Cut()
			until(t, "the subscriber to notice", func() bool { return failures(t, h.registry, "subscriber", queue, health.Lost) > before })
			close(release)
			if attempt := <-begun; attempt != 1 {
				t.Errorf("attempt %d, want the original", attempt)
			}
			send(t, h.Publisher(topic), "a") // comes after whatever was stored beside it
			<-begun
			stop()
			if more := len(begun); more > 0 || h.Stored(topic, queue) > 0 || h.Stored(topic, deadQueue(queue)) > 0 {
				t.Errorf("%d deliveries more than events; %d stored, %d dead", more, h.Stored(topic, queue), h.Stored(topic, deadQueue(queue)))
			}
		})
	}
}

// What must wait for its time waits in a queue, and under an alarm none takes it.
func TestASubscriberReceivesOnAfterALossDuringAnAlarm(t *testing.T) {
	h := newHarness(t).(*harness)
	const topic, queue = "lost.alarm", "lost.alarm-sub"
	s := h.Subscriber(topic, queue, broker.Limits{})
	send(t, h.Publisher(topic), "b")
	early, err := wire(sample("early"))
	if err != nil {
		t.Fatal(err)
	}
	early.Headers = amqp.Table{headerNotBefore: time.Now().Add(time.Hour).Format(time.RFC3339)}
	if err := h.node.Publish("", queue, early); err != nil {
		t.Fatal(err)
	}
	h.Alarm(true)
	defer h.Alarm(false)
	begun := make(chan string, 10)
	stop := receive(t, s, func(ctx context.Context, d broker.Delivery) broker.Outcome {
		begun <- d.Event.ID()
		return broker.Pause("the API is away")
	})
	defer stop()
	until(t, "the early event to wait for the alarm's end", func() bool { return s.(*subscriber).copies.health.Check() != nil && len(begun) > 0 })
	h.Cut()
	until(t, "the subscriber to notice", func() bool { return failures(t, h.registry, "subscriber", queue, health.Lost) > 0 })
	until(t, "the subscriber to receive again", func() bool {
		var consumers int
		admin(t, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			consumers = q.Consumers
			return err
		})
		return consumers == 1 && s.(*subscriber).link.health.Check() == nil
	})
}

func TestASubscribersProblemIsSaidInLogReadinessAndMetricAndEndsByItself(t *testing.T) {
	n := rabbit(t)
	for _, c := range []struct {
		name, user, configure, write, read string
		says                               string
		reason                             health.Reason
		exists                             bool // the subscription, from before
		mend                               func(t *testing.T, user, topic, queue string)
	}{
		{
			name: "queues that are missing, without the permission to create them", user: "missing", configure: "^$", write: ".*", read: ".*",
			reason: health.Topology, says: "does not exist, and the user has no permission to create it",
			mend: func(t *testing.T, _, topic, queue string) {
				newHarness(t).(*harness).Subscriber(topic, queue, broker.Limits{})
			},
		},
		{
			name: "a queue that the user may not read", user: "blind", configure: ".*", write: ".*", read: "^$", exists: true,
			reason: health.Credentials, says: "has no permission to read queue",
			mend: func(t *testing.T, user, _, _ string) {
				if err := n.Permit(user, ".*", ".*", ".*"); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			topic, queue := "lost."+c.user, "lost."+c.user+"-sub"
			if c.exists {
				newHarness(t).(*harness).Subscriber(topic, queue, broker.Limits{})
			}
			if err := n.AddUser(c.user, password, c.configure, c.write, c.read); err != nil {
				t.Fatal(err)
			}
			var said record
			registry := prometheus.NewRegistry()
			d, err := open(broker.Settings{URLFile: write(t, "url", "amqp://"+c.user+":"+password+"@"+n.Addr()+"/")},
				broker.Deps{Log: slog.New(slog.NewTextHandler(&said, nil)), Registry: registry})
			if err != nil {
				t.Fatal(err)
			}
			s := newSubscriber(d, subscription(topic, queue), broker.Limits{}.Defaults())
			stop := receive(t, s, func(context.Context, broker.Delivery) broker.Outcome { return broker.Ack() })
			defer stop()
			defer func() {
				if t.Failed() {
					t.Log(s.link.health.Check(), said.String())
				}
			}()
			until(t, "readiness to say "+c.says, func() bool {
				err := s.link.health.Check()
				return err != nil && strings.Contains(err.Error(), c.says)
			})
			until(t, "the subscriber to go on trying", func() bool { return failures(t, registry, "subscriber", queue, c.reason) > 2 })
			if text := said.String(); strings.Count(text, "cannot work with the broker") != 1 {
				t.Errorf("the log says it other than once:\n%s", text)
			}
			c.mend(t, c.user, topic, queue)
			until(t, "the subscriber to receive", func() bool { return s.Check(t.Context()) == nil })
		})
	}
}

func TestWhetherDeadLettersAreSafeIsAskedWithASubscriptionsOwnName(t *testing.T) {
	n := rabbit(t)
	for user, c := range map[string]struct {
		configure string
		asked     bool
	}{"own": {`^own\..*`, true}, "given": {"^$", false}} {
		t.Run(user, func(t *testing.T) {
			if err := n.AddUser(user, password, c.configure, ".*", ".*"); err != nil {
				t.Fatal(err)
			}
			conn, err := amqp.Dial(fmt.Sprintf("amqp://%s:%s@%s/", user, password, n.Addr()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if asked, err := atLeastOnce(conn, "own.sub"); err != nil || asked != c.asked {
				t.Errorf("asked: %t, %v; want %t", asked, err, c.asked)
			}
		})
	}
}

func TestEventsKeepToTheContractInTheBrokersQueue(t *testing.T) {
	h := newHarness(t).(*harness)
	h.Subscriber("lost.wire", "lost.wire-sub", broker.Limits{})
	p := h.Publisher("lost.wire")
	for _, e := range brokertest.Golden(t) {
		if err := p.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		admin(t, func(ch *amqp.Channel) error {
			m, ok, err := ch.Get("lost.wire-sub", true)
			if err != nil || !ok {
				return fmt.Errorf("get the message: %t, %w", ok, err)
			}
			if m.ContentType != contentType || m.MessageId != e.ID() {
				t.Errorf("content type %q and id %q", m.ContentType, m.MessageId)
			}
			brokertest.OnTheWire(t, m.Body)
			return nil
		})
	}
}

func TestASessionThatWaitsForASilentBrokerEndsWithItsContext(t *testing.T) {
	h := newHarness(t).(*harness)
	l := newLink(h.driver, "tester", "lost.silent")
	ctx, stop := context.WithCancel(t.Context())
	asking, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ctx, func(_ context.Context, conn *amqp.Connection) error {
			h.Freeze()
			close(asking)
			_, err := conn.Channel()
			return err
		})
	}()
	<-asking
	stop()
	select {
	case <-ended:
	case <-time.After(heartbeat):
		t.Error("the session waits on")
		h.Cut()
		<-ended
	}
}
