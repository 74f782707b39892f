package ownership

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// owner is who would lead the shard if all of these lived.
func owner(shard string, replicas []string) string {
	for _, r := range replicas {
		if rank(r, shard, replicas) == 0 {
			return r
		}
	}
	return ""
}

func names(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", prefix, i))
	}
	return out
}

var someReplicas = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9]{0,8}`), 1, 12, rapid.ID[string])

func TestEachReplicaHasItsOwnPlaceAndAllAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas, shard := someReplicas.Draw(t, "replicas"), rapid.String().Draw(t, "shard")
		places := make([]bool, len(replicas))
		for _, r := range replicas {
			n := rank(r, shard, replicas)
			if places[n] {
				t.Fatalf("two replicas are at place %d", n)
			}
			places[n] = true
			shuffled := slices.Clone(replicas)
			rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if again := rank(r, shard, shuffled); again != n {
				t.Fatalf("%s is at place %d, and at %d for one that lists the replicas otherwise", r, n, again)
			}
		}
	})
}

func TestWhoComesAndGoesMovesNothingBetweenOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		replicas, shard := someReplicas.Draw(t, "replicas"), rapid.String().Draw(t, "shard")
		gone := rapid.SampledFrom(replicas).Draw(t, "gone")
		left := slices.DeleteFunc(slices.Clone(replicas), func(r string) bool { return r == gone })
		before, after := owner(shard, replicas), owner(shard, left)
		if before != gone && before != after {
			t.Fatalf("the shard moved from %s to %s though %s went", before, after, gone)
		}
	})
}

func TestShardsSpreadEvenly(t *testing.T) {
	const shards = 3000
	for _, n := range []int{2, 3, 5, 10} {
		replicas, counts := names("hyperfleet-sentinel-5d4f8b7c9-x", n), map[string]int{}
		for _, s := range names("cluster-sentinel", shards) {
			counts[owner(s, replicas)]++
		}
		for _, r := range replicas {
			// Four deviations of a fair draw: it is no draw, so this never changes.
			if want := shards / n; counts[r] < want*4/5 || counts[r] > want*6/5 {
				t.Errorf("of %d replicas one has %d shards of %d, want about %d", n, counts[r], shards, want)
			}
		}
	}
}

// Replicas of different releases must agree.
func TestScoresAreForEver(t *testing.T) {
	if got := score("hyperfleet-sentinel-0", "cluster-sentinel-us-east"); got != wantScore {
		t.Errorf("score is %#x, want %#x", got, uint64(wantScore))
	}
}

const wantScore = 0xbd33b9878602730d
