package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// least is what part of the bare client's rate the driver must reach.
const least = 0.9

// benched returns a driver that talks to the node without a proxy.
func benched(b *testing.B) *harness {
	b.Helper()
	h := &harness{t: b, node: rabbit(b)}
	d, err := open(broker.Settings{URL: "amqp://" + h.node.Addr() + "/"}, broker.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	h.driver = d
	b.Cleanup(h.remove)
	return h
}

// emptied takes everything out of queues, so that each measurement begins alike.
func emptied(b *testing.B, h *harness, names ...string) {
	b.Helper()
	c, err := amqp.Dial(h.node.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for _, name := range names {
		if err := attempt(c, func(ch *amqp.Channel) error { _, err := ch.QueuePurge(name, false); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

// bare publishes n events as the library alone does it best: one writer, one who
// counts confirms, and a window between them. It writes each event as JSON, which
// whoever publishes events must.
func bare(b *testing.B, h *harness, topic string, n int, e event.Event) time.Duration {
	b.Helper()
	c, err := amqp.Dial(h.node.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		b.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, Window))
	window, done := make(chan struct{}, Window), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(done)
		for range n {
			if c := <-confirms; !c.Ack {
				b.Error("refused")
			}
			<-window
		}
	}()
	for range n {
		window <- struct{}{}
		message, err := wire(e)
		if err != nil {
			b.Fatal(err)
		}
		if err := ch.Publish(topic, "clusters.changed", true, false, message); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	return time.Since(begun)
}

// driven publishes n events by as many callers as the window has room for.
func driven(b *testing.B, p broker.Publisher, n int) time.Duration {
	b.Helper()
	var (
		left  atomic.Int64
		calls sync.WaitGroup
		e     = sample("0190b6a0-1234-7000-8000-0000000000aa")
	)
	left.Store(int64(n))
	begun := time.Now()
	for range Window {
		calls.Go(func() {
			for left.Add(-1) >= 0 {
				if err := p.Publish(b.Context(), e); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	calls.Wait()
	return time.Since(begun)
}

// BenchmarkPublish compares confirmed publishing with the bare client's: the
// same events, topology and window, turn and turn about.
func BenchmarkPublish(b *testing.B) {
	const n, turns = 8_000, 15
	for _, queues := range []int{1, 5} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			h, topic := benched(b), fmt.Sprintf("bench.publish.%d", queues)
			for i := range queues {
				h.Subscriber(topic, fmt.Sprintf("%s-%d", topic, i), broker.Limits{})
			}
			e := sample("0190b6a0-1234-7000-8000-0000000000aa")
			p := h.Publisher(topic)
			send := n
			if queues > 1 {
				send = n / 3
			}
			driven(b, p, 1000) // connected, and the node is warm
			for b.Loop() {
				var alone, ours, ratios []float64
				for i := range turns {
					measure := []func(){
						func() { alone = append(alone, float64(send)/bare(b, h, topic, send, e).Seconds()) },
						func() { ours = append(ours, float64(send)/driven(b, p, send).Seconds()) },
					}
					if i%2 == 1 { // so that neither always comes second
						slices.Reverse(measure)
					}
					for _, one := range measure {
						emptied(b, h, h.names...)
						one()
					}
					ratios = append(ratios, ours[i]/alone[i])
				}
				// Of neighbours, because the machine is not equally quick at all times.
				ratio := median(ratios)
				b.ReportMetric(median(alone), "bare/s")
				b.ReportMetric(median(ours), "driver/s")
				b.ReportMetric(ratio, "ratio")
				if ratio < least {
					b.Errorf("%.2f of the bare client's rate; at least %.2f is wanted", ratio, least)
				}
			}
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkLatency measures from before Publish to the handler's begin, at a
// rate that keeps no queue.
func BenchmarkLatency(b *testing.B) {
	const n, every = 5000, time.Millisecond
	h := benched(b)
	var (
		mu     sync.Mutex
		begun  = map[string]time.Time{}
		delays = make(chan time.Duration, n)
	)
	s := h.Subscriber("bench.latency", "bench.latency-sub", broker.Limits{})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Receive(ctx, func(_ context.Context, d broker.Delivery) broker.Outcome {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := begun[d.Event.ID()]; ok {
				delays <- time.Since(at)
				delete(begun, d.Event.ID())
			}
			return broker.Ack()
		})
	}()
	p := h.Publisher("bench.latency")
	driven(b, p, 100)
	for b.Loop() {
		tick := time.NewTicker(every)
		var calls sync.WaitGroup
		for i := range n {
			<-tick.C
			calls.Go(func() {
				e := sample(fmt.Sprint("e-", i))
				mu.Lock()
				begun[e.ID()] = time.Now()
				mu.Unlock()
				if err := p.Publish(b.Context(), e); err != nil {
					b.Error(err)
				}
			})
		}
		calls.Wait()
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = <-delays
		}
		tick.Stop()
		slices.Sort(all)
		b.ReportMetric(float64(all[n/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(all[n*99/100].Microseconds())/1000, "p99-ms")
	}
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// BenchmarkMemory holds a million events back by an alarm of the broker, each
// with a caller that waits, and measures what the driver holds for them beyond
// what a caller costs that waits for nothing.
func BenchmarkMemory(b *testing.B) {
	const n, most = 1_000_000, 256 // bytes
	h := benched(b)
	h.Subscriber("bench.memory", "bench.memory-sub", broker.Limits{})
	p := h.Publisher("bench.memory")
	driven(b, p, 100)
	h.Alarm(true)
	defer h.Alarm(false)
	e := sample("0190b6a0-1234-7000-8000-0000000000aa")
	for b.Loop() {
		idle := waiting(n, func(ctx context.Context) { <-ctx.Done() })
		held := waiting(n, func(ctx context.Context) { _ = p.Publish(ctx, e) }) // it ends with the context
		b.ReportMetric(float64(idle)/(1<<20), "callers-MiB")
		b.ReportMetric(float64(held-idle)/n, "driver-B/event")
		if held-idle > n*most {
			b.Errorf("the driver holds %d bytes for each event that waits, want at most %d", (held-idle)/n, most)
		}
	}
}

// waiting returns the memory in use while n goroutines wait in wait.
func waiting(n int, wait func(context.Context)) int64 {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	before := inUse()
	for range n {
		all.Go(func() { wait(ctx) })
	}
	settle := before
	for last := int64(-1); settle-last > 1<<20; {
		last = settle
		time.Sleep(500 * time.Millisecond)
		settle = inUse()
	}
	stop()
	all.Wait()
	return settle - before
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
