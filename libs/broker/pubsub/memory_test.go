package pubsub

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// BenchmarkMemory holds a million events back by a quota that is exceeded, each
// with a caller that waits, and measures what the driver holds for them beyond
// what a caller costs that waits for nothing, its stack included.
func BenchmarkMemory(b *testing.B) {
	const n, most = 1_000_000, 256
	f := newFake(b)
	f.Subscriber("bench.memory", "bench.memory-sub", broker.Limits{})
	p := f.Publisher("bench.memory")
	driven(b, p, 100)
	f.Alarm(true)
	defer f.Alarm(false)
	e := sample("held")
	for b.Loop() {
		idle := waiting(n, func(ctx context.Context) { <-ctx.Done() })
		held := waiting(n, func(ctx context.Context) { _ = p.Publish(ctx, e) }) // it ends with the context
		b.ReportMetric(idle.heap+idle.stacks, "callers-MiB")
		b.ReportMetric(held.heap-idle.heap, "heap-MiB")
		b.ReportMetric(held.stacks-idle.stacks, "deeper-stacks-MiB")
		if got := held.heap + held.stacks - idle.heap - idle.stacks; got > most {
			b.Errorf("the driver holds %.0f MiB for a million events, at most %d are allowed", got, most)
		}
	}
}

// memory in MiB.
type memory struct{ heap, stacks float64 }

// waiting returns the memory in use while n goroutines wait in wait.
func waiting(n int, wait func(context.Context)) memory {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	before := inUse()
	for range n {
		all.Go(func() { wait(ctx) })
	}
	now := before
	for last := (memory{}); now.heap+now.stacks-last.heap-last.stacks > 1; {
		last = now
		time.Sleep(500 * time.Millisecond)
		now = inUse()
	}
	stop()
	all.Wait()
	return memory{now.heap - before.heap, now.stacks - before.stacks}
}

func inUse() memory {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{float64(m.HeapInuse) / (1 << 20), float64(m.StackInuse) / (1 << 20)}
}
