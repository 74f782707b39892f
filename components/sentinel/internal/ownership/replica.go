package ownership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/validation"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// Config is one replica.
type Config struct {
	Namespace string // of its Leases
	// Identity is who this replica is: a DNS name that no other start of the
	// process has.
	Identity string
	Timing   Timing
}

// Deps are what a replica works with.
type Deps struct {
	// Leases need no rate limit: what is asked follows the clock.
	Leases   coordinationclient.LeasesGetter
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Replica is one process among those that share shards.
type Replica struct {
	Config
	leases coordinationclient.LeaseInterface
	getter coordinationclient.LeasesGetter
	log    *slog.Logger
	leader *prometheus.GaugeVec

	peers   peers
	pace    *rate.Limiter // of stepping down
	synced  chan struct{} // closed once every Lease was seen
	changed chan struct{} // the claims did

	mu     sync.Mutex
	claims map[string]*claim
}

// claim is a shard that this replica would have.
type claim struct {
	shard string
	freed chan struct{} // its Lease was given back or removed
	steps int           // how often this replica has stepped down
}

// New returns a replica that is not there until Run.
func New(c Config, d Deps) (*Replica, error) {
	errs := []error{c.Timing.Validate()}
	if problems := validation.IsDNS1123Subdomain(replicaPrefix + c.Identity); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("replica %q: %s; set POD_NAME", c.Identity, strings.Join(problems, "; ")))
	}
	if c.Namespace == "" {
		errs = append(errs, errors.New("no namespace for the Leases: set one"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	leader, err := newLeader(d.Registry)
	if err != nil {
		return nil, fmt.Errorf("register the leader's metric: %w", err)
	}
	return &Replica{
		Config: c, leases: d.Leases.Leases(c.Namespace), getter: d.Leases, log: d.Log, leader: leader,
		peers:  peers{lease: c.Timing.LeaseDuration, of: map[string]peer{}},
		pace:   rate.NewLimiter(rate.Every(c.Timing.RetryPeriod), 1),
		synced: make(chan struct{}), changed: make(chan struct{}, 1), claims: map[string]*claim{},
	}, nil
}

// enter begins to claim a shard.
func (r *Replica) enter(shard string) (*claim, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claims[shard] != nil {
		return nil, fmt.Errorf("claim shard %q: it is claimed already", shard)
	}
	c := &claim{shard: shard, freed: make(chan struct{}, 1)}
	r.claims[shard] = c
	r.leader.WithLabelValues(shard).Set(0)
	wake(r.changed)
	return c, nil
}

// leave ends what enter began.
func (r *Replica) leave(shard string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.claims, shard)
	r.leader.DeleteLabelValues(shard)
	wake(r.changed)
}

// free tells who claims a shard that its Lease has no holder.
func (r *Replica) free(shard string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.claims[shard]; c != nil {
		wake(c.freed)
	}
}

// rank is this replica's place for a shard, as things are.
func (r *Replica) rank(shard string) int {
	return rank(r.Identity, shard, r.peers.claimants(shard, time.Now(), 0))
}

// outranked says whether a better replica for the shard has come to stay, and
// that it is time to step down for it: replicas do that one shard at a time.
func (r *Replica) outranked(c *claim) bool {
	settled := r.Timing.settled(c.steps)
	if rank(r.Identity, c.shard, r.peers.claimants(c.shard, time.Now(), settled)) == 0 || !r.pace.Allow() {
		return false
	}
	c.steps++
	return true
}

// wake leaves word in c, if there is none.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await waits for c, or for ctx to end.
func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
