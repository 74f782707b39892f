package ownership

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Errors that keep a Lease.
var (
	errWorking = errors.New("the work under this Lease has not ended")
	errTaken   = errors.New("the Lease is another replica's by now")
)

// lock is a shard's Lease for one term, as client-go's elector sees it: a claim
// waits for its turn, no call hangs, and each renewal says until when the leader
// may be sure. The elector gives back what it believes to hold, which for a
// process that was halted may be another's: the lock keeps it from doing so.
type lock struct {
	resourcelock.Interface
	timing Timing
	log    *slog.Logger
	rank   func() int // of this replica, as things are

	working atomic.Bool // the Lease must be kept
	ending  atomic.Bool // the term is over but for giving the Lease back

	mu     sync.Mutex
	until  time.Time // this replica leads until then; zero before it does
	holder string    // as the Lease was last read or written
	told   string    // the last problem that was logged
}

// leads says whether this replica may be sure that nobody else leads: the last
// renewal it knows of was asked for less than a renew deadline ago. It asks the
// monotonic clock, for a halted process learns from nothing else.
func (l *lock) leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

// holds says whether the Lease was this replica's when it was last seen.
func (l *lock) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder == l.Identity()
}

func (l *lock) claimed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.until.IsZero()
}

func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	ctx, cancel := l.call(ctx)
	defer cancel()
	record, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.mu.Lock()
		l.holder = record.HolderIdentity
		l.mu.Unlock()
	}
	if !apierrors.IsNotFound(err) {
		l.tell(err)
	}
	return record, raw, err
}

func (l *lock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, r, l.Interface.Create)
}

func (l *lock) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, r, l.Interface.Update)
}

func (l *lock) write(ctx context.Context, r resourcelock.LeaderElectionRecord, do func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	gives := r.HolderIdentity == ""
	if gives && l.working.Load() {
		return errWorking
	}
	if gives && !l.holds() {
		return errTaken
	}
	if !gives && !l.claimed() {
		if err := l.turn(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := l.call(ctx)
	defer cancel()
	asked := time.Now()
	err := do(ctx, r)
	if err == nil && !gives {
		l.mu.Lock()
		l.until, l.holder = asked.Add(l.timing.RenewDeadline), r.HolderIdentity
		l.mu.Unlock()
	}
	l.tell(err)
	return err
}

// turn waits while a better replica may claim first. Who took the Lease
// meanwhile has changed it, so that the claim fails.
func (l *lock) turn(ctx context.Context) error {
	for free := time.Now(); ; {
		left := l.timing.delay(l.rank()) - time.Since(free)
		if left <= 0 {
			return nil
		}
		select {
		case <-time.After(min(left, l.timing.RetryPeriod/10)): // a better one may have gone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call bounds one request, so that a renewal has a second try before its
// deadline and a stop does not wait for an API server that is away.
func (l *lock) call(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.ending.Load() {
		return context.WithTimeout(ctx, l.timing.RetryPeriod)
	}
	return context.WithTimeout(ctx, l.timing.RenewDeadline/2)
}

// tell logs when the Lease begins to fail, fails otherwise, or works again. That
// somebody else was first is no failure.
func (l *lock) tell(err error) {
	now := ""
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !errors.Is(err, context.Canceled) {
		now = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case now == l.told:
	case now != "":
		l.log.Warn("the shard's Lease is out of reach", "lease", l.Describe(), "err", err)
	default:
		l.log.Info("the shard's Lease is in reach again", "lease", l.Describe())
	}
	l.told = now
}
