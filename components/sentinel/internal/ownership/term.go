package ownership

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// Hold claims a shard until ctx ends, and calls work whenever this replica
// leads. Work's context ends when it is to stop: ctx has ended, leadership is
// lost, or a better replica has come; the Lease is kept until it has. Leads says
// on the monotonic clock whether leadership is still sure, to be asked before
// each act that two leaders should not both do.
//
// It returns nil once ctx has ended and the Lease is given back, or what work
// returned if that ended by itself.
func (r *Replica) Hold(ctx context.Context, shard string, work func(ctx context.Context, leads func() bool) error) error {
	c, err := r.enter(shard)
	if err != nil {
		return err
	}
	defer r.leave(shard)
	if await(ctx, r.synced) != nil {
		return nil
	}
	for ctx.Err() == nil {
		if itself, err := r.term(ctx, c, work); itself {
			return err
		}
	}
	return nil
}

// term claims the Lease once, leads under it, and gives it back. It also ends
// when the Lease was freed, for client-go's elector looks again only later. It
// says whether work ended by itself, and what it returned.
func (r *Replica) term(ctx context.Context, c *claim, work func(context.Context, func() bool) error) (itself bool, err error) {
	// The elector's own words are left out: the lock tells of its failures.
	holding, release := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	l := &lock{timing: r.Timing, log: r.log.With("shard", c.shard), rank: func() int { return r.rank(c.shard) },
		Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: r.Namespace, Name: shardPrefix + c.shard},
			Client:     r.getter,
			LockConfig: resourcelock.ResourceLockConfig{Identity: r.Identity},
			Labels:     map[string]string{leaseLabel: leaseOf},
		}}
	began := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: l, Name: c.shard, ReleaseOnCancel: true,
		LeaseDuration: r.Timing.LeaseDuration, RenewDeadline: r.Timing.RenewDeadline, RetryPeriod: r.Timing.RetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { began <- leading },
			OnStoppedLeading: func() {}, // leading's end says so
		},
	})
	if err != nil {
		release()
		return true, fmt.Errorf("claim shard %q: %w", c.shard, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(holding)
	}()
	defer func() {
		l.ending.Store(true)
		release()
		<-ended
	}()
	select {
	case <-ctx.Done():
		return false, nil
	case <-c.freed:
		return false, nil
	case leading := <-began:
		return r.lead(ctx, leading, l, c, work)
	}
}

// lead works until it is to stop, and waits for the work to have ended.
func (r *Replica) lead(ctx, leading context.Context, l *lock, c *claim, work func(context.Context, func() bool) error) (itself bool, err error) {
	l.working.Store(true)
	defer l.working.Store(false)
	working, stop := context.WithCancel(leading)
	defer stop()
	defer context.AfterFunc(ctx, stop)()

	l.log.Info("leads", "replica", r.Identity)
	r.leader.WithLabelValues(c.shard).Set(1)
	defer r.leader.WithLabelValues(c.shard).Set(0)
	done := make(chan error, 1)
	go func() { done <- work(working, l.leads) }()
	look := time.NewTicker(r.Timing.RetryPeriod)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			l.log.Info("leads no more", "replica", r.Identity, "sure", l.leads())
			return working.Err() == nil, err
		case <-look.C:
		}
		switch {
		case working.Err() != nil: // it is told already
		case !l.leads():
			l.log.Warn("the Lease was not renewed in time; the shard stops here", "replica", r.Identity)
			stop()
		case r.outranked(c):
			l.log.Info("steps down for a better replica", "replica", r.Identity)
			stop()
		}
	}
}
