package shard

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	coverTimeout = 15 * time.Second // of one call: a large fleet takes a while to divide
	coverEvery   = time.Minute      // as often as the API computes it, give or take a tenth
	coverSoon    = 5 * time.Second  // while the API's answer is from before the shard was registered
)

// cover asks how the live shards divide the fleet until ctx ends, for people
// to see what nobody publishes, or several do. It is only told: an answer that
// fails to come changes nothing.
func (s *Shard) cover(ctx context.Context) {
	for {
		wait := coverEvery
		if !s.divided(ctx) {
			wait = coverSoon
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(float64(wait) * (0.9 + 0.2*rand.Float64()))):
		}
	}
}

// divided asks once and says whether the answer counts this shard.
func (s *Shard) divided(ctx context.Context) bool {
	call, cancel := context.WithTimeout(ctx, coverTimeout)
	defer cancel()
	c, err := s.Registrar.Coverage(call, s.Type)
	if err != nil {
		s.Log.Debug("coverage not known", "err", err)
		return fleet.ErrorCode(err) == fleet.Forbidden // and stays so for a while
	}
	s.Metrics.uncovered.Set(float64(c.Uncovered.Count))
	s.Metrics.overlapping.Set(float64(c.Overlapping.Count))
	i := slices.IndexFunc(c.Shards, func(o fleet.ShardCoverage) bool { return o.Name == s.Name && o.Selector == s.Selector })
	if i < 0 {
		return false
	}
	s.state.note(func(st *state) {
		if c.AsOf.After(st.status.DividedAt) {
			st.status.Division, st.status.DividedAt, st.sinceDivided = c.Shards[i], c.AsOf.Time, 0
		}
	})
	return true
}
