package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// least is what part of the bare client's rate the driver must reach.
const least = 0.9

// benched returns a harness without a proxy: on the emulator where it is
// installed, else on the fake.
func benched(b *testing.B) *harness {
	b.Helper()
	h := &harness{proxy: &proxy{t: b}, t: b}
	if jar, _ := findEmulator(); jar != "" {
		h.addr = startEmulator(b)
		b.Log("on the emulator")
	} else {
		h.addr = newFake(b).target
		b.Log("on the fake")
	}
	d, err := open(broker.Settings{CreateTopology: true}, broker.Deps{Log: slog.New(slog.DiscardHandler)}, h.addr)
	if err != nil {
		b.Fatal(err)
	}
	h.driver = d
	return h
}

// published is how long n publishes take by as many callers as the window has
// room for.
func published(b *testing.B, n int, publish func(i int) error) time.Duration {
	b.Helper()
	var (
		left  atomic.Int64
		calls sync.WaitGroup
	)
	left.Store(int64(n))
	begun := time.Now()
	for range Window {
		calls.Go(func() {
			for {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				if err := publish(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	calls.Wait()
	return time.Since(begun)
}

// resources is of how many resources events are. The emulator starts a thread
// for each ordering key of each subscription, and with many thousands it does
// not answer any more.
const resources = 200

// one returns event number i.
func one(prefix string, i int) event.Event {
	e := sample(fmt.Sprint(prefix, i))
	e.SetSubject(fmt.Sprint("resource-", i%resources))
	return e
}

func driven(b *testing.B, p broker.Publisher, n int) time.Duration {
	return published(b, n, func(i int) error { return p.Publish(b.Context(), one("event-", i)) })
}

// bare publishes the same events as the client library alone does it best.
func bare(b *testing.B, h *harness, topic string, n int, keys bool) time.Duration {
	b.Helper()
	c, err := h.driver.dial(b.Context(), project)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	p := c.Publisher(topicName(project, topic))
	defer p.Stop()
	p.EnableMessageOrdering = keys
	p.PublishSettings.DelayThreshold = time.Millisecond
	return published(b, n, func(i int) error {
		m, err := encode(one("event-", i))
		if err != nil {
			return err
		}
		out := &pubsub.Message{Data: m.Data, Attributes: m.Attributes}
		if keys {
			out.OrderingKey = m.OrderingKey
		}
		_, err = p.Publish(b.Context(), out).Get(b.Context())
		return err
	})
}

// unary publishes the same events as requests of their own: what the driver
// does, without the driver.
func unary(b *testing.B, h *harness, topic string, n int) time.Duration {
	b.Helper()
	c, err := h.driver.dial(b.Context(), project)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	return published(b, n, func(i int) error {
		m, err := encode(one("event-", i))
		if err != nil {
			return err
		}
		return publish(b.Context(), c, topicName(project, topic), m)
	})
}

// BenchmarkPublish compares confirmed publishing with the bare client's, which
// sends requests of one event, and with the client library's own publisher: the
// same events, topology, ordering keys, callers and window, in turns whose order
// changes so that none always meets a warmer server. What the library does
// without keys, when it may put many events in one request, is for comparison.
func BenchmarkPublish(b *testing.B) {
	const n, turns = 1000, 6
	for _, subscriptions := range []int{1, 5} {
		b.Run(fmt.Sprintf("subscriptions=%d", subscriptions), func(b *testing.B) {
			h := benched(b)
			for b.Loop() {
				const alone, ours, library = 0, 1, 2
				var (
					rates           [3][]float64
					keyless         []float64
					toBare, toKeyed []float64
					rate            = func(d time.Duration) float64 { return n / d.Seconds() }
					warm            = h.topic("bench.warm", subscriptions)
					topic           string
					p               broker.Publisher
				)
				driven(b, h.Publisher(warm), n)
				h.forget(warm, subscriptions)
				for turn := range turns {
					topic = h.topic(fmt.Sprintf("bench.publish.%d.%d", b.N, turn), subscriptions)
					p = h.Publisher(topic)
					driven(b, p, 100) // connected
					measure := []func(){
						alone:   func() { rates[alone] = append(rates[alone], rate(unary(b, h, topic, n))) },
						ours:    func() { rates[ours] = append(rates[ours], rate(driven(b, p, n))) },
						library: func() { rates[library] = append(rates[library], rate(bare(b, h, topic, n, true))) },
					}
					for i := range measure {
						if turn%2 == 1 {
							i = len(measure) - 1 - i
						}
						measure[(turn/2+i)%len(measure)]()
					}
					keyless = append(keyless, rate(bare(b, h, topic, n, false)))
					toBare = append(toBare, rates[ours][turn]/rates[alone][turn])
					toKeyed = append(toKeyed, rates[ours][turn]/rates[library][turn])
					h.forget(topic, subscriptions)
				}
				b.ReportMetric(median(rates[alone]), "bare/s")
				b.ReportMetric(median(rates[ours]), "driver/s")
				b.ReportMetric(median(rates[library]), "keyed/s")
				b.ReportMetric(median(keyless), "keyless/s")
				// Of neighbours, because the machine is not equally quick at all times.
				for name, ratios := range map[string][]float64{"ratio": toBare, "ratio-keyed": toKeyed} {
					ratio := median(ratios)
					b.ReportMetric(ratio, name)
					if ratio < least {
						b.Errorf("%s: %.2f of the other's rate; at least %.2f is wanted", name, ratio, least)
					}
				}
			}
		})
	}
}

// topic makes a topic with subscriptions.
func (h *harness) topic(name string, subscriptions int) string {
	for i := range subscriptions {
		h.Subscriber(name, fmt.Sprintf("%s-%d", name, i), broker.Limits{})
	}
	return name
}

// forget removes what topic made, so that the emulator's threads for it end.
func (h *harness) forget(topic string, subscriptions int) {
	h.t.Helper()
	c, err := h.driver.dial(h.t.Context(), project)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	for i := range subscriptions {
		p := newPlan(subscriptionOf(topic, fmt.Sprintf("%s-%d", topic, i)))
		for _, name := range []string{p.subscription, p.deadSubscription} {
			if err := c.SubscriptionAdminClient.DeleteSubscription(h.t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: name}); err != nil {
				h.t.Fatal(err)
			}
		}
		if err := c.TopicAdminClient.DeleteTopic(h.t.Context(), &pubsubpb.DeleteTopicRequest{Topic: p.deadTopic}); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := c.TopicAdminClient.DeleteTopic(h.t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topicName(project, topic)}); err != nil {
		h.t.Fatal(err)
	}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// BenchmarkFanOut measures how many events arrive per second when each goes to
// five subscriptions, until all have all of them.
func BenchmarkFanOut(b *testing.B) {
	const n, subscriptions = 2000, 5
	h := benched(b)
	for b.Loop() {
		var (
			topic = h.topic(fmt.Sprint("bench.fanout.", b.N), subscriptions)
			all   sync.WaitGroup
			ended sync.WaitGroup
		)
		ctx, stop := context.WithCancel(b.Context())
		for i := range subscriptions {
			s := h.Subscriber(topic, fmt.Sprintf("%s-%d", topic, i), broker.Limits{})
			var seen sync.Map
			all.Add(n)
			ended.Go(func() {
				err := s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
					if _, again := seen.LoadOrStore(d.Event.ID(), true); !again {
						all.Done()
					}
					return broker.Ack()
				})
				if err != nil {
					b.Error(err)
				}
			})
		}
		p := h.Publisher(topic)
		begun := time.Now()
		driven(b, p, n)
		confirmed := time.Since(begun)
		all.Wait()
		b.ReportMetric(n/confirmed.Seconds(), "published/s")
		b.ReportMetric(n*subscriptions/time.Since(begun).Seconds(), "handled/s")
		stop()
		ended.Wait()
	}
}

// BenchmarkLatency measures from before Publish to the handler's begin, at a
// rate that keeps no queue.
func BenchmarkLatency(b *testing.B) {
	const n, every = 2000, 5 * time.Millisecond
	h := benched(b)
	var (
		begun  [n]atomic.Int64
		delays = make(chan time.Duration, 2*n)
	)
	s := h.Subscriber("bench.latency", "bench.latency-sub", broker.Limits{})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			var i int
			if _, err := fmt.Sscanf(d.Event.ID(), "timed-%d", &i); err == nil {
				delays <- time.Duration(time.Now().UnixNano() - begun[i].Load())
			}
			return broker.Ack()
		})
	}()
	p := h.Publisher("bench.latency")
	driven(b, p, 500)
	for b.Loop() {
		tick := time.NewTicker(every)
		var calls sync.WaitGroup
		for i := range n {
			<-tick.C
			calls.Go(func() {
				begun[i].Store(time.Now().UnixNano())
				if err := p.Publish(b.Context(), one("timed-", i)); err != nil {
					b.Error(err)
				}
			})
		}
		calls.Wait()
		tick.Stop()
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = <-delays
		}
		slices.Sort(all)
		b.ReportMetric(float64(all[n/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(all[n*99/100].Microseconds())/1000, "p99-ms")
	}
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}
