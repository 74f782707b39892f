package dispatch

import (
	"math/rand/v2"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// pacer decides when the next message may go out: freely, or one at a time and
// ever more slowly while deliveries end paused.
type pacer struct {
	first, most time.Duration
	paused      bool
	delay       time.Duration // before jitter, of the current pause
	until       time.Time     // no message before
}

// gate says whether a message may go out while running are out. If only time
// is missing, it says how much.
func (p *pacer) gate(running, concurrency int, now time.Time) (wait time.Duration, open bool) {
	if !p.paused {
		return 0, running < concurrency
	}
	if running > 0 {
		return 0, false
	}
	if wait = p.until.Sub(now); wait > 0 {
		return wait, false
	}
	return 0, true
}

// observe learns from a call that ended. Of the calls that were out when the
// pause began, none makes it longer: they all met the same outage.
func (p *pacer) observe(e ended, now time.Time) {
	switch {
	case e.outcome.Kind != broker.Paused:
		p.paused = false
		return
	case !p.paused:
		p.paused, p.delay = true, p.first
	case e.probe:
		p.delay = min(2*p.delay, p.most)
	default:
		return
	}
	// Half of it is jitter, so that replicas which paused together do not
	// come back together.
	p.until = now.Add(p.delay/2 + rand.N(p.delay/2+1))
}
