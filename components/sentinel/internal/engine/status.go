package engine

import (
	"context"
	"errors"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
)

// Status is how a shard is doing in this process.
type Status struct {
	Leading  bool   // this replica is the one that runs the shard
	Problem  error  // why the shard cannot begin as it is wanted; nil = it can
	Changing bool   // what runs is not what is wanted yet
	Running  bool   // a valid config runs; else what follows is empty
	Shard    string // the selector that runs; "" = everything
	// Broker is nil if the publisher says that the broker can be worked with;
	// shard.ErrUnknown if it cannot tell.
	Broker error
	Loop   shard.Status
}

func (u *unit) status(ctx context.Context) Status {
	u.mu.Lock()
	now := u.state
	s := Status{Leading: now.leading, Problem: now.problem, Changing: u.want != nil && u.want != now.runs && now.problem == nil}
	u.mu.Unlock()
	if now.shard == nil {
		return s
	}
	s.Running, s.Shard, s.Loop, s.Broker = true, now.runs.shard.Selector, now.shard.Status(), shard.ErrUnknown
	if now.checker != nil {
		s.Broker = check(ctx, now)
	}
	return s
}

func check(ctx context.Context, now state) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return now.checker.Check(ctx)
}

// ready is the readiness check of the shard: what another replica runs, or
// nobody can, does not keep this one from being ready.
func (u *unit) ready(ctx context.Context) error {
	u.mu.Lock()
	now := u.state
	u.mu.Unlock()
	switch {
	case !now.started:
		return errors.New("the shard has not started yet")
	case now.shard == nil:
		return now.problem
	}
	return now.shard.Ready(ctx)
}

// broker is the readiness check of the shard's broker.
func (u *unit) broker(ctx context.Context) error {
	u.mu.Lock()
	now := u.state
	u.mu.Unlock()
	if now.checker == nil {
		return nil
	}
	return now.checker.Check(ctx)
}
