package ownership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

// ceiling is how long a test waits for what must happen.
const ceiling = time.Minute

// brisk is the default timing, five times as fast.
func brisk() Timing {
	return Timing{LeaseDuration: 2 * time.Second, RenewDeadline: 1400 * time.Millisecond, RetryPeriod: 200 * time.Millisecond}
}

func TestMain(m *testing.M) {
	os.Exit(kubedev.Run(func() int {
		code := m.Run()
		// Connections to the API server outlive who used them.
		if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
			goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"), goleak.IgnoreAnyFunction("net/http.(*http2clientConnReadLoop).run"),
			goleak.IgnoreAnyFunction("net/http/internal/http2.(*clientConnReadLoop).run"), goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait")); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}))
}

// crew is a namespace in which replicas share shards.
type crew struct {
	t       *testing.T
	cluster *kubedev.Cluster
	timing  Timing
	shards  []string

	mu      sync.Mutex
	at      map[string]map[*member]func() bool // by shard: who works on it, and whether it is sure to lead
	acts    atomic.Int64
	changed chan struct{} // closed when at changes
	drain   func(ctx context.Context)
	orderly bool // nobody is cut off: work never overlaps, sure or not
}

// member is one replica of a crew.
type member struct {
	*Replica
	crew  *crew
	stop  context.CancelFunc
	ended chan struct{}
	cut   cable
	holds []error // what each Hold returned
}

func newCrew(t *testing.T, shards int) *crew {
	t.Helper()
	return &crew{t: t, cluster: kubedev.Start(t, kubedev.Options{}), timing: brisk(), shards: names("shard", shards),
		at: map[string]map[*member]func() bool{}, changed: make(chan struct{}), drain: func(context.Context) {}}
}

// cable is the way to the API server; a cut one lets nothing through, and keeps
// who asks waiting.
type cable struct {
	next http.RoundTripper
	mu   sync.Mutex
	cut  chan struct{} // closed: whole
}

func (c *cable) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	select {
	case <-cut:
		return c.next.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = make(chan struct{})
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.cut:
	default:
		close(c.cut)
	}
}

// join starts a replica that claims these shards, or all.
func (c *crew) join(identity string, shards ...string) *member {
	c.t.Helper()
	if len(shards) == 0 {
		shards = c.shards
	}
	m := &member{crew: c, ended: make(chan struct{}), holds: make([]error, len(shards))}
	m.cut.cut = make(chan struct{})
	m.cut.mend()
	config := c.cluster.Config()
	config.QPS = -1
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { m.cut.next = rt; return &m.cut })
	leases, err := coordinationclient.NewForConfig(rest.CopyConfig(config))
	if err != nil {
		c.t.Fatal(err)
	}
	if m.Replica, err = New(Config{Namespace: c.cluster.Namespace, Identity: identity, Timing: c.timing},
		Deps{Leases: leases, Log: slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})).With("replica", identity), Registry: prometheus.NewRegistry()}); err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(c.t.Context())
	m.stop = stop
	var group sync.WaitGroup
	group.Go(func() {
		if err := m.Run(ctx); err != nil {
			c.t.Error(err)
		}
	})
	for i, shard := range shards {
		group.Go(func() { m.holds[i] = m.Hold(ctx, shard, m.work(shard)) })
	}
	go func() {
		group.Wait()
		close(m.ended)
	}()
	c.t.Cleanup(func() { m.cut.mend(); m.leave() })
	return m
}

// leave stops a replica and waits for it to have ended.
func (m *member) leave() {
	m.stop()
	select {
	case <-m.ended:
	case <-time.After(ceiling):
		m.crew.t.Errorf("%s goes on %s after it was stopped", m.Identity, ceiling)
	}
}

// work acts again and again while it is sure to lead, and watches that nobody
// else is as sure.
func (m *member) work(shard string) func(context.Context, func() bool) error {
	return func(ctx context.Context, leads func() bool) error {
		m.crew.enter(shard, m, leads)
		defer m.crew.exit(shard, m)
		for ctx.Err() == nil {
			m.crew.act(shard)
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		m.crew.drain(ctx)
		return nil
	}
}

func (c *crew) enter(shard string, m *member, leads func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[shard] == nil {
		c.at[shard] = map[*member]func() bool{}
	}
	c.at[shard][m] = leads
	if c.orderly && len(c.at[shard]) > 1 {
		c.t.Errorf("%s works on %s while another still does", m.Identity, shard)
	}
	c.tell()
}

func (c *crew) exit(shard string, m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.at[shard], m)
	c.tell()
}

func (c *crew) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *crew) act(shard string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sure []string
	for m, leads := range c.at[shard] {
		if leads() {
			sure = append(sure, m.Identity)
		}
	}
	c.acts.Add(1)
	if len(sure) > 1 {
		c.t.Errorf("%v are all sure to lead %s", sure, shard)
	}
}

// leaders are who leads each shard; "" where nobody or several work.
func (c *crew) leaders() map[string]string {
	out := map[string]string{}
	for _, shard := range c.shards {
		if len(c.at[shard]) == 1 {
			for m, leads := range c.at[shard] {
				if leads() {
					out[shard] = m.Identity
				}
			}
		}
	}
	return out
}

// until waits for the leaders to be such, and returns how long that took.
func (c *crew) until(what string, such func(leaders map[string]string) bool) time.Duration {
	c.t.Helper()
	began, deadline := time.Now(), time.After(ceiling)
	for {
		c.mu.Lock()
		leaders, changed := c.leaders(), c.changed
		c.mu.Unlock()
		if such(leaders) {
			return time.Since(began)
		}
		select {
		case <-changed:
		case <-time.After(c.timing.RetryPeriod): // leads changes silently
		case <-deadline:
			c.t.Fatalf("not in %s: %s; the leaders are %v", ceiling, what, leaders)
		}
	}
}

// all says that every shard is led, and by replicas of these alone.
func (c *crew) all(of ...string) func(map[string]string) bool {
	return func(leaders map[string]string) bool {
		for _, shard := range c.shards {
			led := false
			for _, identity := range of {
				led = led || leaders[shard] == identity
			}
			if !led {
				return false
			}
		}
		return true
	}
}

// spread says that each shard is with the best of these.
func (c *crew) spread(of ...string) func(map[string]string) bool {
	return func(leaders map[string]string) bool {
		for _, shard := range c.shards {
			if leaders[shard] != owner(shard, of) {
				return false
			}
		}
		return true
	}
}

var errOfWork = errors.New("the work is over")
