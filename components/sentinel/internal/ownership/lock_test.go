package ownership

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ledgerLock writes down what is written to it.
type ledgerLock struct {
	resourcelock.Interface
	written []string
	holder  string // as others left it
}

func (l *ledgerLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, nil
}

func (*ledgerLock) Identity() string { return "a" }

func (l *ledgerLock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	l.written = append(l.written, r.HolderIdentity)
	return nil
}

func (*ledgerLock) Describe() string { return "a lease" }

func TestALeaseIsNotGivenBackUnderWork(t *testing.T) {
	below := &ledgerLock{}
	l := &lock{Interface: below, timing: DefaultTiming(), log: slog.New(slog.DiscardHandler), rank: func() int { return 0 }}
	if l.leads() {
		t.Error("it leads before it has claimed")
	}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil || !l.leads() {
		t.Fatalf("claim: %v; leads: %v", err, l.leads())
	}
	l.working.Store(true)
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); !errors.Is(err, errWorking) || len(below.written) != 1 {
		t.Errorf("given back under work: %v, written %q", err, below.written)
	}
	l.working.Store(false)
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); err != nil || len(below.written) != 2 {
		t.Errorf("not given back after work: %v, written %q", err, below.written)
	}
}

func TestAClaimWaitsForItsTurnAndARenewalDoesNot(t *testing.T) {
	below := &ledgerLock{}
	rank := 1
	l := &lock{Interface: below, timing: brisk(), log: slog.New(slog.DiscardHandler), rank: func() int { return rank }}
	began := time.Now()
	for range 2 {
		if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
			t.Fatal(err)
		}
		if took, turn := time.Since(began), l.timing.delay(1); took < turn || len(below.written) == 2 && took > 2*turn {
			t.Errorf("write %d after %s, want the first after %s and the second at once", len(below.written), took, turn)
		}
	}
}

// client-go's elector reads a Lease and then gives it back because it held it
// before: a halted replica would free the one that took over.
func TestALeaseThatAnotherHoldsIsNotGivenBack(t *testing.T) {
	below := &ledgerLock{holder: "b"}
	l := &lock{Interface: below, timing: brisk(), log: slog.New(slog.DiscardHandler), rank: func() int { return 0 }}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Update(t.Context(), resourcelock.LeaderElectionRecord{}); !errors.Is(err, errTaken) || len(below.written) != 1 {
		t.Errorf("given back: %v, written %q", err, below.written)
	}
}
