package shard

import (
	"errors"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// ErrUnknown stands in a [Status] for what has not been tried yet.
var ErrUnknown = errors.New("not known yet")

// Status is how a shard is doing, for people to see. Its errors are nil where
// the last try worked and ErrUnknown where there was none.
type Status struct {
	Pending  int64     // due and its event not out, as of the last poll; like the metric of that name
	LastPoll time.Time // end of the last poll that did not fail; zero = none

	API        error // of the last question what is due
	Broker     error // of the last poll that had something to publish
	Registered error // of the last registration, or else of the last recording

	// Division is this shard's part of the API's coverage as of DividedAt,
	// which is zero while it is not known.
	Division  fleet.ShardCoverage
	DividedAt time.Time
}

// state is what Status tells, written by the loops.
type state struct {
	mu             sync.Mutex
	status         Status // but for Registered
	sinceDivided   int64  // events that went out since Division was answered
	held, recorded error
}

func newState() *state {
	return &state{status: Status{API: ErrUnknown, Broker: ErrUnknown}, held: ErrUnknown}
}

// note changes the state.
func (s *state) note(change func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// Status returns how the shard is doing now. It may be called at any time.
func (s *Shard) Status() Status {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	out := s.state.status
	if out.Registered = s.state.held; out.Registered == nil {
		out.Registered = s.state.recorded
	}
	return out
}
