package shard

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	recordEvery   = 500 * time.Millisecond
	recordBatch   = 1000
	recordTimeout = 4 * time.Second  // of one call
	recordRest    = 3 * time.Second  // for what is left when Run ends
	maxRecordWait = 30 * time.Second // between calls while the API does not record
)

// record tells the API what was published, until ctx ends.
func (s *Shard) record(ctx context.Context) {
	wait := recordEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		// The call itself does not end with ctx: its outcome would be unknown.
		err := s.flush(context.WithoutCancel(ctx))
		s.unrecordable.Store(err != nil)
		switch {
		case err == nil && wait > recordEvery:
			s.Log.Info("the API records publications again")
			wait = recordEvery
		case err == nil:
		case wait == recordEvery:
			s.Log.Warn("publications are not recorded; this process paces repeats alone", "err", err)
			wait = s.longer(wait)
		default:
			wait = s.longer(wait)
		}
	}
}

func (s *Shard) longer(wait time.Duration) time.Duration {
	return min(wait+rand.N(wait)+1, maxRecordWait)
}

// recordRest is the last chance of what was confirmed.
func (s *Shard) recordRest() {
	ctx, cancel := context.WithTimeout(context.Background(), recordRest)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		s.Log.Warn("publications were not recorded; they will be published once more", "err", err)
	}
}

// flush records batch after batch until nothing is left or one fails.
func (s *Shard) flush(ctx context.Context) error {
	defer func() { s.Metrics.unrecorded.Set(float64(s.memory.unrecorded())) }()
	for {
		batch := s.memory.batch(recordBatch)
		if len(batch) == 0 {
			return nil
		}
		if err := s.tellAPI(ctx, batch); err != nil {
			return err
		}
	}
}

// tellAPI records one batch. If the API refuses it, the halves go alone, so
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
	switch {
	case err == nil:
		s.memory.settle(batch, false)
		return nil
	case !refused(err):
		s.memory.putBack(batch)
		return err
	case len(batch) == 1:
		s.Log.Error("the API refuses to record a publication; this process paces its repeats alone", "cluster", batch[0].id, "err", err)
		s.memory.settle(batch, true)
		return nil
	}
	half := len(batch) / 2
	return errors.Join(s.tellAPI(ctx, batch[:half]), s.tellAPI(ctx, batch[half:]))
}

// refused tells "not this" from "not now".
func refused(err error) bool {
	switch fleet.ErrorCode(err) {
	case fleet.BadRequest, fleet.Invalid, fleet.TooLarge:
		return true
	}
	return false
}
