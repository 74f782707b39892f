package ownership

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestShardsSpreadOverReplicasAndComeBack(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 10)
	c.orderly = true
	c.join("a")
	c.until("a alone leads all", c.all("a"))
	c.join("b")
	third := c.join("c")
	c.until("each shard is with the best", c.spread("a", "b", "c"))

	third.stop()
	took := c.until("the two that stay share all", c.spread("a", "b"))
	if took >= c.timing.LeaseDuration {
		t.Errorf("shards of a replica that stopped were taken over after %s: by expiry, not by release", took)
	}
	third.leave()
	for i, err := range third.holds {
		if err != nil {
			t.Errorf("Hold of %s: %v", c.shards[i], err)
		}
	}
}

func TestAReplicaThatIsCutOffStopsBeforeOthersLead(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 10)
	a := c.join("a")
	c.until("a alone leads all", c.all("a"))
	c.join("b")
	c.join("c")
	c.until("each shard is with the best", c.spread("a", "b", "c"))

	a.cut.sever()
	took := c.until("the others lead all", c.spread("b", "c"))
	t.Logf("taken over after %s at a lease of %s", took, c.timing.LeaseDuration)
	if most := c.timing.LeaseDuration * 2; took > most {
		t.Errorf("it took %s, want at most %s", took, most)
	}
	a.cut.mend()
	c.until("it has its shards again", c.spread("a", "b", "c"))
}

func TestALeaseIsKeptUntilTheWorkHasEnded(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1)
	c.orderly = true
	var ended atomic.Int64
	c.drain = func(context.Context) {
		<-time.After(3 * c.timing.LeaseDuration) // the work's own time to end
		ended.CompareAndSwap(0, time.Now().UnixNano())
	}
	a := c.join("a")
	c.until("a leads", c.all("a"))
	c.join("b")
	a.stop()
	c.until("b leads", c.all("b"))
	if late := time.Since(time.Unix(0, ended.Load())); late > c.timing.LeaseDuration {
		t.Errorf("b led %s after a had ended: by expiry, not by release", late)
	}
}

func TestNobodyStepsDownForWhoDoesNotClaimTheShard(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 4)
	var better []string // than a for every shard, as a name
	for _, name := range names("z", 200) {
		if owner(c.shards[0], []string{"a", name}) == name {
			better = append(better, name)
		}
	}
	c.join("a")
	c.until("a leads all", c.all("a"))
	c.join(better[0], c.shards[1])
	c.join(better[1], c.shards[0])
	c.until("what is claimed by a better one moves", func(l map[string]string) bool { return l[c.shards[0]] == better[1] })
	c.mu.Lock()
	defer c.mu.Unlock()
	want := owner(c.shards[1], []string{"a", better[0]})
	if diff := cmp.Diff(map[string]string{c.shards[2]: "a", c.shards[3]: "a"},
		map[string]string{c.shards[2]: c.leaders()[c.shards[2]], c.shards[3]: c.leaders()[c.shards[3]]}); diff != "" {
		t.Errorf("leaders, with %s for the second (-want +got):\n%s", want, diff)
	}
}

func TestWorkThatEndsByItselfGivesTheShardUp(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1)
	a := c.join("a", "another")
	err := a.Hold(t.Context(), c.shards[0], func(context.Context, func() bool) error { return errOfWork })
	if !errors.Is(err, errOfWork) {
		t.Errorf("Hold gave %v", err)
	}
	if err := a.Hold(t.Context(), "another", nil); err == nil {
		t.Error("the same shard could be held twice")
	}
	c.join("b")
	if took := c.until("b leads", c.all("b")); took >= c.timing.LeaseDuration {
		t.Errorf("b led after %s: the Lease was not given back", took)
	}
}

func TestTheLeaseOfADeadReplicaIsRemoved(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1)
	c.timing = Timing{LeaseDuration: time.Second, RenewDeadline: 700 * time.Millisecond, RetryPeriod: 100 * time.Millisecond}
	a := c.join("a")
	c.until("a leads", c.all("a"))
	a.cut.sever()
	b := c.join("b")
	deadline := time.After(ceiling)
	for {
		leases, err := b.leases.List(t.Context(), metav1.ListOptions{LabelSelector: leaseLabel})
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, l := range leases.Items {
			left = append(left, l.Name)
		}
		slices.Sort(left)
		if slices.Equal(left, []string{replicaPrefix + "b", shardPrefix + c.shards[0]}) {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("these Leases are left: %v", left)
		case <-time.After(c.timing.RetryPeriod):
		}
	}
	a.cut.mend()
	c.join("c")
	c.until("all three share", c.spread("a", "b", "c"))
}
