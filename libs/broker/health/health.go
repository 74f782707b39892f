package health

import (
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sayAgain is how often the log repeats a problem that lasts.
const sayAgain = time.Minute

// errUntried is the state before the first try.
var errUntried = errors.New("not connected to the broker yet")

// Health is how one publisher or subscriber stands with the broker. It is safe
// for concurrent use.
type Health struct {
	// Pending is how many events it was handed by callers who wait for their confirmation.
	Pending Pending

	meters   *Meters
	who      who
	log      *slog.Logger
	failures map[Reason]prometheus.Counter

	mu      sync.Mutex
	tried   bool
	problem error     // why the broker cannot be worked with; nil = it can
	reason  Reason    // of problem
	said    time.Time // when the log had it
	blocked string    // why it takes no events; "" = it takes them
	doubt   error     // what may be wrong though it works
}

// Pending counts events. It is safe for concurrent use.
type Pending struct{ n atomic.Int64 }

// Inc counts one more.
func (p *Pending) Inc() { p.n.Add(1) }

// Dec counts one less.
func (p *Pending) Dec() { p.n.Add(-1) }

// Up says that the broker can be worked with.
func (h *Health) Up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tried && h.problem == nil {
		return
	}
	h.tried, h.problem = true, nil
	h.log.Info("the broker can be worked with")
}

// Down says that it cannot, and why. Each such try counts.
func (h *Health) Down(reason Reason, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := h.problem == nil || h.reason != reason || gist(h.problem) != gist(why) || time.Since(h.said) > sayAgain
	h.tried, h.problem, h.reason, h.blocked = true, why, reason, ""
	h.failures[reason].Inc()
	if news {
		h.said = time.Now()
		h.log.Warn("cannot work with the broker; trying again", "reason", string(reason), "err", why)
	}
}

// Block says that the broker takes no events for now, and why.
func (h *Health) Block(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked == "" {
		h.log.Warn("the broker takes no events; publishers wait", "err", why)
	}
	h.blocked = why
}

// Unblock says that it takes events again.
func (h *Health) Unblock() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blocked == "" {
		return
	}
	h.log.Info("the broker takes events again")
	h.blocked = ""
}

// Doubt says what may be wrong although the broker can be worked with, or nil
// once it is not any more. Each time that it is told counts as a failure.
func (h *Health) Doubt(reason Reason, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if why != nil {
		h.failures[reason].Inc()
	}
	switch {
	case why != nil && h.doubt == nil:
		h.log.Warn("the broker can be worked with, but events may be lost", "reason", string(reason), "err", why)
	case why == nil && h.doubt != nil:
		h.log.Info("events are not in doubt any more")
	}
	h.doubt = why
}

// Start says that this one works with the broker, again after a Stop.
func (h *Health) Start() { h.meters.enter(h) }

// Stop says that this one works with the broker no more, and takes it out of
// the metrics, whatever it is told afterwards.
func (h *Health) Stop() { h.meters.leave(h) }

// stands says whether the broker can be worked with, and whether it takes no events.
func (h *Health) stands() (up, blocked bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tried && h.problem == nil, h.blocked != ""
}

// Check is what readiness wants to know: what is wrong, in words for an
// operator, or nil.
func (h *Health) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.problem != nil:
		return h.problem
	case !h.tried:
		return errUntried
	case h.blocked != "":
		return errors.New("the broker takes no events: " + h.blocked)
	}
	return h.doubt
}

// Problem is what was wrong at the last try, or nil.
func (h *Health) Problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problem
}

// ownEnd is this end of a connection as errors quote it, another each time.
var ownEnd = regexp.MustCompile(`\S+->`)

// gist is what an error says but for the port that this end happened to have.
func gist(err error) string { return ownEnd.ReplaceAllString(err.Error(), "") }
