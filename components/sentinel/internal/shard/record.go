package shard

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	recordEvery   = 500 * time.Millisecond
	recordBatch   = 1000
	recordTimeout = 4 * time.Second  // of one call
	maxRecordWait = 30 * time.Second // between calls while the API does not record
)

// record tells the API what was published until ctx ends, and does not begin
// another batch then. A call under way goes on until last ends: its outcome
// would be unknown.
func (s *Shard) record(ctx, last context.Context) {
	wait := recordEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := s.flush(ctx, last)
		if ctx.Err() != nil {
			return // what is left is the last flush's to tell of
		}
		s.Metrics.unrecordable.Store(err != nil)
		s.state.note(func(st *state) { st.recorded = err })
		switch {
		case err == nil && wait > recordEvery:
			s.Log.Info("the API records publications again")
			wait = recordEvery
		case err == nil:
		case wait == recordEvery:
			s.Log.Warn("publications are not recorded; this process paces repeats alone", "condition", "Registered=False", "err", err)
			wait = s.longer(wait)
		default:
			wait = s.longer(wait)
		}
	}
}

func (s *Shard) longer(wait time.Duration) time.Duration {
	return min(wait+rand.N(wait)+1, maxRecordWait)
}

// flush records batch after batch until nothing is left, one fails, or ctx has
// ended. The calls themselves end with last.
func (s *Shard) flush(ctx, last context.Context) error {
	defer func() { s.Metrics.unrecorded.Set(float64(s.memory.unrecorded())) }()
	for ctx.Err() == nil {
		batch := s.memory.batch(recordBatch)
		if len(batch) == 0 {
			return nil
		}
		if err := s.tellAPI(last, batch); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tellAPI records one batch. What the API cannot read of it is set aside, so
// that one token cannot keep all the others from being recorded.
func (s *Shard) tellAPI(ctx context.Context, batch []record) error {
	tokens := make([]string, len(batch))
	for i, r := range batch {
		tokens[i] = r.token
	}
	call, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	err := s.API.Published(call, s.Type, fleet.Published{Tokens: tokens,
		BackoffNotReady: s.Backoff.NotReady.String(), BackoffReady: s.Backoff.Ready.String()})
	if err == nil {
		s.memory.settle(batch, false)
		return nil
	}
	bad, rest := refused(err, batch)
	s.memory.putBack(rest)
	if len(bad) == 0 {
		return err
	}
	for _, r := range bad {
		s.Log.Error("the API refuses to record a publication; this process paces its repeats alone", "cluster", r.id, "err", err)
	}
	s.memory.settle(bad, true)
	return nil
}

// refused tells "not these" from "not now": the first is only what the API
// points at.
func refused(err error, batch []record) (bad, rest []record) {
	var problem *fleet.Error
	if !errors.As(err, &problem) || problem.Code.Passing() {
		return nil, batch
	}
	pointed := map[int]bool{}
	for _, p := range problem.Problems {
		index, ok := strings.CutPrefix(p.Pointer, "/tokens/")
		if i, err := strconv.Atoi(index); ok && err == nil {
			pointed[i] = true
		}
	}
	for i, r := range batch {
		if pointed[i] {
			bad = append(bad, r)
		} else {
			rest = append(rest, r)
		}
	}
	return bad, rest
}
