package exit

import (
	"context"
	"errors"
)

// Exit codes. TryAgain is EX_TEMPFAIL of sysexits.h.
const (
	Done     = 0
	Failed   = 1
	TryAgain = 75
)

type later struct{ error }

func (l later) Unwrap() error { return l.error }

// Later marks err as something that may pass by itself. Later(nil) is nil.
func Later(err error) error {
	if err == nil {
		return nil
	}
	return later{err}
}

// Code is the exit code of a job that ended with err. Of several errors joined,
// one that cannot pass makes the whole one a failure for good. A job that was
// stopped or ran out of time is to be tried again.
func Code(err error) int {
	switch {
	case err == nil:
		return Done
	case passes(err):
		return TryAgain
	}
	return Failed
}

func passes(err error) bool {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case later:
		return true
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if !passes(part) {
				return false
			}
		}
		return true
	case interface{ Unwrap() error }:
		return passes(e.Unwrap())
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
