package replicas

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// TestShardsMoveInTimeAtTheDefaultTimings: within two seconds from a replica
// that is told to stop, within a lease and a poll from one that is killed.
func TestShardsMoveInTimeAtTheDefaultTimings(t *testing.T) {
	s := newStand(t, "")
	replicas := []*replica{s.join(), s.join(), s.join()}
	s.led(replicas...)
	s.heard()

	told, others := s.busiest(replicas)
	told.signal(t, syscall.SIGTERM)
	took := s.led(others...)
	t.Logf("SIGTERM: every shard was led by the others after %s", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("the shards of a replica that was told to stop moved in %s, want 2s", took)
	}
	if err := told.gone(t); err != nil {
		t.Errorf("it ended with %v", err)
	}

	killed, others := s.busiest(others)
	killed.signal(t, syscall.SIGKILL)
	at := time.Now()
	s.change()
	s.heard()
	took = s.ledger.lastEvent().Sub(at)
	t.Logf("SIGKILL: every cluster had its event after %s", took.Round(time.Millisecond))
	if took > 20*time.Second {
		t.Errorf("the shards of a killed replica were published again after %s, want 20s", took)
	}
	s.led(others...)
}

const lease = 2 * time.Second

// TestNothingIsLostAndLittleIsDoubled ends and halts replicas at random moments
// while they publish. Each change has its event; who is told to stop doubles
// none, who is killed or halted at most one per cluster, of its own shards.
func TestNothingIsLostAndLittleIsDoubled(t *testing.T) {
	s := newStand(t, "  pollInterval: 500ms\n  maxEventsPerSecond: 20",
		"--lease-duration", lease.String(), "--lease-renew-deadline", "1.4s", "--lease-retry-period", "200ms")
	replicas := []*replica{s.join(), s.join(), s.join()}
	s.led(replicas...)
	s.heard()
	doubled := map[syscall.Signal]int{}
	rounds := fleettest.Rounds(t)
	for round := range rounds {
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP}[round%3]
		s.led(replicas...)
		victim, others := s.busiest(replicas)
		had := s.shardsOf(victim)
		changing := make(chan struct{})
		generation := s.generation + 1
		go func() {
			defer close(changing)
			s.change()
		}()
		<-time.After(time.Duration(rand.Int64N(int64(2 * time.Second)))) // the violence itself
		victim.signal(t, sig)
		at := time.Now()
		had = append(had, s.shardsOf(victim)...)
		<-changing
		s.heard()
		took := s.ledger.lastEvent().Sub(at)
		if sig == syscall.SIGSTOP {
			<-time.After(3*lease - time.Since(at)) // the halt itself
			victim.signal(t, syscall.SIGCONT)
			s.led(replicas...)
			s.change() // what the halted one had begun is out before it has its share of this
			s.heard()
			s.judge(fmt.Sprintf("round %d, after it", round), s.generation, 1, nil)
		} else {
			if err := victim.gone(t); sig == syscall.SIGTERM && err != nil {
				t.Errorf("round %d: told to stop, it ended with %v", round, err)
			}
			s.led(others...)
			replicas = append(others, s.join())
		}
		most := 2
		if sig == syscall.SIGTERM {
			most = 1
		}
		n := s.judge(fmt.Sprintf("round %d, %s", round, sig), generation, most, had)
		doubled[sig] += n
		t.Logf("round %d: %s; the last event after %s, %d doubled", round, sig, took.Round(time.Millisecond), n)
		if t.Failed() {
			t.FailNow()
		}
	}
	for g := int64(1); g <= s.generation; g++ { // once more, for what came late
		s.judge("in the end", g, 2, everyShard())
	}
	t.Logf("%d rounds of %d clusters; doubled: %d by SIGKILL, %d by SIGTERM, %d by SIGSTOP", rounds, len(s.clusters),
		doubled[syscall.SIGKILL], doubled[syscall.SIGTERM], doubled[syscall.SIGSTOP])
}

// judge counts the events of a generation beyond the first of each cluster. Those
// of some shards may have so many, the others one.
func (s *stand) judge(when string, generation int64, allowed int, some []int) (doubled int) {
	s.t.Helper()
	for _, id := range s.clusters {
		n, most := s.ledger.count(id, generation), 1
		if slices.Contains(some, s.shardOf[id]) {
			most = allowed
		}
		if n < 1 || n > most {
			s.t.Errorf("%s: %d events of generation %d of cluster %s in shard %d, want 1 to %d", when, n, generation, id, s.shardOf[id], most)
		}
		doubled += max(0, n-1)
	}
	return doubled
}

func everyShard() (all []int) {
	for i := range shards {
		all = append(all, i)
	}
	return all
}

// shardsOf are those whose Lease the replica has.
func (s *stand) shardsOf(r *replica) (has []int) {
	s.t.Helper()
	leaders, err := s.leaders(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for shard, holder := range leaders {
		if r.is(holder) {
			has = append(has, shard)
		}
	}
	return has
}

// busiest is the replica that leads most shards; the others are the rest.
func (s *stand) busiest(replicas []*replica) (most *replica, others []*replica) {
	s.t.Helper()
	best := -1
	for _, r := range replicas {
		if n := len(s.shardsOf(r)); n > best {
			most, best = r, n
		}
	}
	for _, r := range replicas {
		if r != most {
			others = append(others, r)
		}
	}
	return most, others
}
