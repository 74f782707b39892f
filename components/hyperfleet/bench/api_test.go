package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker/rabbitmq/rabbitdev"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// copyOf makes the fleet name_run like the fleet name, to be written to.
func (x *stack) copyOf(name string) {
	x.Helper()
	x.exec("postgres", `DROP DATABASE IF EXISTS `+name+`_run WITH (FORCE)`, `CREATE DATABASE `+name+`_run TEMPLATE `+name)
}

// profile keeps ten seconds of the sentinel's profile if somebody wants it.
func (x *stack) profile(p *process) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return
	}
	resp, err := x.http.Get(p.admin + "/debug/pprof/profile?seconds=10")
	if err != nil {
		x.Fatal(err)
	}
	defer resp.Body.Close()
	f, err := os.Create(filepath.Join(dir, filepath.Base(x.Name())+".pprof"))
	if err != nil {
		x.Fatal(err)
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		x.Fatal(err)
	}
	_ = f.Close()
}

func (x *stack) client(api *process, role string) *client.Client {
	x.Helper()
	c, err := client.New(api.url, client.Bearer(nil, client.TokenFile(x.write("token-"+role, x.token(role)))), time.Minute)
	if err != nil {
		x.Fatal(err)
	}
	return c
}

// pages counts what statements of a kind have read, of each statement's average.
func (x *stack) pages(fleet, like string) (pages float64, calls int64) {
	x.Helper()
	if err := x.open(fleet).QueryRowContext(x.Context(), `SELECT coalesce(sum((shared_blks_hit + shared_blks_read)::float8 / calls), 0), coalesce(sum(calls), 0)
		FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query LIKE $1`, like).Scan(&pages, &calls); err != nil {
		x.Fatal(err)
	}
	return pages, calls
}

// nothingDue asks both halves of a poll, one after the other.
func nothingDue(x *stack, out *table) {
	const n = 300
	api := x.api("quiet")
	c := x.client(api, "sentinel")
	var took []float64
	for i := range n + 20 {
		if i == 20 { // plans and caches are warm
			x.exec("quiet", `SELECT pg_stat_statements_reset()`)
		}
		begun := time.Now()
		for _, which := range []string{"woken", "expired"} {
			list, err := c.Due(x.Context(), fleet.Clusters, client.DueOptions{Selector: "region=region-1", Which: which, Limit: 1000,
				Backoff: fleet.Backoff{NotReady: 10 * time.Second, Ready: 30 * time.Minute}})
			if err != nil || len(list.Items) > 0 {
				x.Fatalf("%d due, %v", len(list.Items), err)
			}
		}
		if i >= 20 {
			took = append(took, time.Since(begun).Seconds()*1000)
		}
	}
	pages, _ := x.pages("quiet", "%WITH RECURSIVE clock%")
	slices.Sort(took)
	out.add("a poll with nothing due of a million", fmt.Sprintf("%.1f pages", pages), "", "", "16 at most")
	out.add("the same through HTTP, median and p99", fmt.Sprintf("%.2f ms, %.2f ms", took[n/2], took[n*99/100]), "", "", "5 ms at most")
	if pages > 16 || pages == 0 {
		x.Errorf("%v pages", pages)
	}
}

// recording records what a poll of 10,000 publishes, alone and beside reports.
func recording(x *stack, out *table) {
	x.copyOf("large")
	api := x.api("large_run")
	c, b := x.client(api, "sentinel"), fleet.Backoff{NotReady: time.Second, Ready: time.Second}
	var tokens []string
	for next := ""; len(tokens) < dueRows; {
		list, err := c.Due(x.Context(), fleet.Clusters, client.DueOptions{Selector: "region=region-1", Backoff: b, Limit: 1000, Continue: next})
		if err != nil {
			x.Fatal(err)
		}
		for _, item := range list.Items {
			tokens = append(tokens, item.Token)
		}
		next = list.Continue
	}
	record := func() float64 {
		begun := time.Now()
		if err := c.Published(x.Context(), fleet.Clusters, fleet.Published{Tokens: tokens, BackoffNotReady: "1s", BackoffReady: "1s"}); err != nil {
			x.Fatal(err)
		}
		return dueRows / time.Since(begun).Seconds()
	}
	record()
	x.exec("large_run", `VACUUM schedule`, `SELECT pg_stat_statements_reset()`)
	var rates []float64
	for range 5 {
		rates = append(rates, record())
		x.exec("large_run", `VACUUM schedule`)
	}
	_, calls := x.pages("large_run", "%UPDATE schedule%")
	out.add("recording 10,000 publications", fmt.Sprintf("%.0f rows/s", median(rates)), fmt.Sprintf("%d statements for %d recordings", calls, len(rates)), "", "30,000 at least, one statement")
	if calls != int64(len(rates)) {
		x.Errorf("%d statements for %d recordings", calls, len(rates))
	}

	ids := x.someClusters("large_run")
	admin := x.client(api, "admin")
	alone := x.reporters(admin, ids, 10*time.Second, nil)
	beside := x.reporters(admin, ids, 10*time.Second, func() { record() })
	out.add("status writers' p99 beside a recording each 5 s", fmt.Sprintf("%.1f ms", beside), fmt.Sprintf("alone: %.1f ms", alone), fmt.Sprintf("%.2f", beside/alone), "1.20 at most")
}

func (x *stack) someClusters(fleet string) (ids []string) {
	x.Helper()
	rows, err := x.open(fleet).QueryContext(x.Context(), `SELECT id FROM clusters LIMIT 20000`)
	if err != nil {
		x.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			x.Fatal(err)
		}
		ids = append(ids, id)
	}
	if rows.Err() != nil {
		x.Fatal(rows.Err())
	}
	return ids
}

// reporters stores 100 reports a second from eight writers and returns their
// 99th percentile in milliseconds; meanwhile happens twice.
func (x *stack) reporters(c *client.Client, ids []string, d time.Duration, meanwhile func()) float64 {
	x.Helper()
	var (
		mu   sync.Mutex
		took []float64
		all  sync.WaitGroup
	)
	const writers = 8
	end := time.Now().Add(d)
	for w := range writers {
		all.Go(func() {
			pace := time.NewTicker(writers * 10 * time.Millisecond)
			defer pace.Stop()
			for i := w; time.Now().Before(end); i += writers {
				<-pace.C
				begun := time.Now()
				_, err := c.Report(x.Context(), fleet.Clusters, ids[i%len(ids)], fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportRunning,
					Message: begun.Format(time.RFC3339Nano)})
				if err != nil {
					x.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(begun).Seconds()*1000)
				mu.Unlock()
			}
		})
	}
	if meanwhile != nil {
		for range 2 {
			time.Sleep(d / 4)
			meanwhile()
		}
	}
	all.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}

// burst publishes 100,000 at once to RabbitMQ, against the library alone.
func burst(x *stack, out *table) {
	const n, exchange, key = 100_000, "bench.clusters", "clusters.changed"
	node := rabbitdev.Start(x)
	bare := &bareRabbit{stack: x, node: node, exchange: exchange, key: key}
	bare.declare()
	before := bare.publish(n)
	x.copyOf("burst")
	api := x.api("burst_run")
	s := x.sentinel(api, shard{role: "sentinel", notReady: "1h", ready: "1h", poll: "5s",
		broker: "{type: rabbitmq, exchange: " + exchange + ", routingKey: " + key + "}"}, "--broker-url", "amqp://"+node.Addr()+"/")
	begun := x.until(s, eventsOut, 1, time.Minute)
	first := x.metric(s, eventsOut)
	took := x.until(s, eventsOut, n, 2*time.Minute).Sub(begun)
	memory := s.memory()
	s.stop()
	after := bare.publish(n)
	rate, alone := (n-first)/took.Seconds(), (before+after)/2
	out.add("100,000 due at once, confirmed by RabbitMQ", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("bare publisher: %.0f/s", alone), fmt.Sprintf("%.2f", rate/alone), "0.80 at least")
	out.add("memory of that sentinel", fmt.Sprintf("%.0f MiB", memory), "", "", "64 MiB at most")
}

// bareRabbit publishes as the library alone does it best: one writer, one who
// counts confirms, and a window between them.
type bareRabbit struct {
	*stack
	node          *rabbitdev.Node
	exchange, key string
}

func (r *bareRabbit) declare() {
	r.Helper()
	conn, ch := r.dial()
	defer conn.Close()
	if err := ch.ExchangeDeclare(r.exchange, "topic", true, false, false, false, nil); err != nil {
		r.Fatal(err)
	}
	if _, err := ch.QueueDeclare("bench", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		r.Fatal(err)
	}
	if err := ch.QueueBind("bench", r.key, r.exchange, false, nil); err != nil {
		r.Fatal(err)
	}
}

func (r *bareRabbit) dial() (*amqp.Connection, *amqp.Channel) {
	r.Helper()
	conn, err := amqp.Dial("amqp://" + r.node.Addr() + "/")
	if err != nil {
		r.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		r.Fatal(err)
	}
	return conn, ch
}

// publish empties the queue and returns the events in a second.
func (r *bareRabbit) publish(n int) float64 {
	r.Helper()
	conn, ch := r.dial()
	defer conn.Close()
	if _, err := ch.QueuePurge("bench", false); err != nil {
		r.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		r.Fatal(err)
	}
	const window = 256
	confirms, room, done := ch.NotifyPublish(make(chan amqp.Confirmation, window)), make(chan struct{}, window), make(chan struct{})
	// As large as an event of the sentinel.
	message := amqp.Publishing{ContentType: "application/cloudevents+json", DeliveryMode: amqp.Persistent, Body: make([]byte, 480)}
	begun := time.Now()
	go func() {
		defer close(done)
		for range n {
			if c := <-confirms; !c.Ack {
				r.Error("refused")
			}
			<-room
		}
	}()
	for range n {
		room <- struct{}{}
		if err := ch.PublishWithContext(r.Context(), r.exchange, r.key, true, false, message); err != nil {
			r.Fatal(err)
		}
	}
	<-done
	rate := float64(n) / time.Since(begun).Seconds()
	if _, err := ch.QueuePurge("bench", false); err != nil {
		r.Fatal(err)
	}
	return rate
}
