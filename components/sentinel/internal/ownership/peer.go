package ownership

import (
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// shardsAnnotation names, on a replica's Lease, the shards that it claims.
const shardsAnnotation = "hyperfleet.redhat.com/claims"

// peer is a replica as this one has seen it. Times are this process's own: what
// the other's clock says counts only in that it moves.
type peer struct {
	shards  []string
	renewed time.Time // as it wrote it
	seen    time.Time // when that last changed
	since   time.Time // it has been live from then on
}

// life is what a peer is at a moment.
type life int

// Lives, by age.
const (
	live   life = iota // renewed within the last lease
	silent             // not renewed: it counts for nothing
	dead               // silent for so long that its Lease may be removed
)

// state judges p at now, for leases of this duration.
func (p peer) state(now time.Time, lease time.Duration) life {
	switch quiet := now.Sub(p.seen); {
	case quiet < lease:
		return live
	case quiet < 10*lease:
		return silent
	default:
		return dead
	}
}

// observe returns what is known of a peer once its Lease was seen at now. A
// peer that was silent begins anew.
func observe(before peer, known bool, l *coordinationv1.Lease, now time.Time, lease time.Duration) peer {
	var renewed time.Time
	if l.Spec.RenewTime != nil {
		renewed = l.Spec.RenewTime.Time
	}
	p := peer{renewed: renewed, seen: now, since: now}
	if names := l.Annotations[shardsAnnotation]; names != "" {
		p.shards = strings.Split(names, ",")
	}
	if !known {
		return p
	}
	if before.state(now, lease) == live {
		p.since = before.since
	}
	if renewed.Equal(before.renewed) {
		p.seen, p.since = before.seen, before.since
	}
	return p
}

// peers are the replicas whose Lease is there, this one among them.
type peers struct {
	lease time.Duration

	mu sync.Mutex
	of map[string]peer
}

func (p *peers) saw(identity string, l *coordinationv1.Lease, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.of[identity]
	p.of[identity] = observe(before, known, l, now, p.lease)
}

func (p *peers) gone(identity string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, identity)
}

// claimants are the replicas that live, claim the shard, and have done so for
// this long.
func (p *peers) claimants(shard string, now time.Time, settled time.Duration) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for identity, o := range p.of {
		if o.state(now, p.lease) == live && now.Sub(o.since) >= settled && slices.Contains(o.shards, shard) {
			out = append(out, identity)
		}
	}
	return out
}

// deceased are the replicas whose Lease nobody will renew again.
func (p *peers) deceased(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for identity, o := range p.of {
		if o.state(now, p.lease) == dead {
			out = append(out, identity)
		}
	}
	return out
}
