package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// How long a leader may be silent before another takes over, how long it tries
// to renew, and how often.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 7 * time.Second
	retryPeriod   = time.Second
)

// Leader says whether this replica leads those that share a lease.
type Leader struct {
	lock *resourcelock.LeaseLock
	log  *slog.Logger

	mu      sync.Mutex
	term    context.Context // while it leads; nil before
	changed chan struct{}   // closed when a term begins
}

// NewLeader returns a candidate for the lease of the given name. identity is its
// own name among the candidates.
func NewLeader(client kubernetes.Interface, namespace, name, identity string, log *slog.Logger) *Leader {
	return &Leader{
		lock: &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Client: client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity}},
		log: log, changed: make(chan struct{}),
	}
}

// Run stands for the lease until ctx ends, and then gives it back.
func (l *Leader) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(l.log.Handler()))
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: l.lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: l.begin, OnStoppedLeading: func() {}},
		})
		if err != nil {
			return fmt.Errorf("stand for lease %s: %w", l.lock.LeaseMeta.Name, err)
		}
		elector.Run(ctx)
	}
	return nil
}

func (l *Leader) begin(term context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term
	close(l.changed)
	l.changed = make(chan struct{})
}

// Leads says whether this replica leads now.
func (l *Leader) Leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term != nil && l.term.Err() == nil
}

// While runs work whenever this replica leads, until ctx ends. It returns early
// if work fails for another reason than the end of its context.
func (l *Leader) While(ctx context.Context, work func(context.Context) error) error {
	for ctx.Err() == nil {
		l.mu.Lock()
		term, changed := l.term, l.changed
		l.mu.Unlock()
		if term == nil || term.Err() != nil {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		both, end := context.WithCancel(ctx)
		detach := context.AfterFunc(term, end)
		err := work(both)
		detach()
		over := both.Err() != nil
		end()
		if err != nil && !(over && errors.Is(err, context.Canceled)) {
			return err
		}
	}
	return nil
}
