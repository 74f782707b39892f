package ownership

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const lease = 10 * time.Second

// presence is a replica's Lease, renewed for the nth time on a clock that is
// years away from this process's.
func presence(n int, shards ...string) *coordinationv1.Lease {
	renewed := metav1.NewMicroTime(time.Date(1999, 12, 31, 23, 59, n, 0, time.UTC))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{shardsAnnotation: strings.Join(shards, ",")}},
		Spec:       coordinationv1.LeaseSpec{RenewTime: &renewed},
	}
}

func TestAReplicaLivesOnTheClockOfWhoLooks(t *testing.T) {
	start := time.Now()
	p := observe(peer{}, false, presence(0, "a"), start, lease)
	for after, want := range map[time.Duration]life{0: live, lease - 1: live, lease: silent, 10*lease - 1: silent, 10 * lease: dead} {
		if got := p.state(start.Add(after), lease); got != want {
			t.Errorf("%s after its renewal it is %d, want %d", after, got, want)
		}
	}
}

func TestAReplicaHasLivedSinceItsLastSilence(t *testing.T) {
	start := time.Now()
	type step struct {
		at      time.Duration
		renewal int
	}
	for name, c := range map[string]struct {
		steps       []step
		seen, since time.Duration
	}{
		"it renews":                           {[]step{{0, 0}, {2 * time.Second, 1}, {4 * time.Second, 2}}, 4 * time.Second, 0},
		"the same renewal is seen again":      {[]step{{0, 0}, {2 * time.Second, 0}, {12 * time.Second, 0}}, 0, 0},
		"it comes back within its lease":      {[]step{{0, 0}, {lease - 1, 1}}, lease - 1, 0},
		"it comes back after its lease":       {[]step{{0, 0}, {lease, 1}, {lease + 1, 2}}, lease + 1, lease},
		"its clock steps back, and it renews": {[]step{{0, 5}, {time.Second, 3}}, time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, known := peer{}, false
			for _, s := range c.steps {
				p, known = observe(p, known, presence(s.renewal), start.Add(s.at), lease), true
			}
			if p.seen.Sub(start) != c.seen || p.since.Sub(start) != c.since {
				t.Errorf("seen after %s and live since %s, want %s and %s", p.seen.Sub(start), p.since.Sub(start), c.seen, c.since)
			}
		})
	}
}

func TestOnlyWhoLivesAndClaimsTheShardCounts(t *testing.T) {
	start := time.Now()
	p := peers{lease: lease, of: map[string]peer{}}
	p.saw("old", presence(0, "a", "b"), start)
	p.saw("old", presence(1, "a", "b"), start.Add(9*time.Second))
	p.saw("new", presence(0, "a"), start.Add(9*time.Second))
	p.saw("silent", presence(0, "a"), start)
	p.saw("other", presence(0, "ab"), start.Add(9*time.Second))
	p.saw("idle", presence(0), start.Add(9*time.Second))
	p.saw("gone", presence(0, "a"), start.Add(9*time.Second))
	p.gone("gone")
	now := start.Add(11 * time.Second)
	for _, c := range []struct {
		shard   string
		settled time.Duration
		want    map[string]bool
	}{
		{"a", 0, map[string]bool{"old": true, "new": true}},
		{"a", lease, map[string]bool{"old": true}},
		{"b", 0, map[string]bool{"old": true}},
		{"c", 0, map[string]bool{}},
	} {
		got := map[string]bool{}
		for _, r := range p.claimants(c.shard, now, c.settled) {
			got[r] = true
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("shard %s, settled for %s (-want +got):\n%s", c.shard, c.settled, diff)
		}
	}
	if diff := cmp.Diff([]string(nil), p.deceased(now)); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"silent"}, p.deceased(start.Add(10*lease))); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
}
