package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// DeadLetters are the events that one subscription gave up. A driver keeps
// them for [DeadLetterRetention].
type DeadLetters interface {
	// Review shows the dead letters to judge one after the other, oldest first
	// where the broker has an order, and does what it says. A letter that is
	// replayed goes back to its own subscription alone, as if it had never been
	// delivered, and leaves the dead letters only once the broker has confirmed
	// it. What judge keeps, and what it was not shown, stays. Letters that
	// arrive meanwhile need not be shown, nor those that another Review holds.
	Review(ctx context.Context, judge func(DeadLetter) Verdict) (Reviewed, error)
	// Stats counts without judging.
	Stats(ctx context.Context) (DeadLetterStats, error)
}

// DeadLetterRetention is how long a dead letter is kept.
const DeadLetterRetention = 7 * 24 * time.Hour

// DeadLetter is an event that was given up, with why.
type DeadLetter struct {
	Event      event.Event
	Malformed  []byte // the message as it came, where it is no CloudEvent
	Reason     string
	Deliveries int
	First      time.Time // first failure
	Last       time.Time // last failure
}

// ID names the letter to people: the event's id, or a digest of what is none.
func (d DeadLetter) ID() string {
	if id := d.Event.ID(); id != "" {
		return id
	}
	digest := sha256.Sum256(d.Malformed)
	return "malformed-" + hex.EncodeToString(digest[:8])
}

// Verdict is what becomes of a dead letter.
type Verdict int

// Verdicts.
const (
	Keep   Verdict = iota
	Replay         // back to its subscription
	Purge          // gone for ever
	Stop           // keep it, and show no more
)

// Reviewed counts the verdicts that were carried out. A letter with which a
// review stopped was kept; those that were not shown are not counted.
type Reviewed struct {
	Kept, Replayed, Purged int
}

// DeadLetterStats is what metrics and alerts need.
type DeadLetterStats struct {
	Count  int
	More   bool      // Count is as far as the driver counts: there may be more
	Oldest time.Time // last failure of the oldest that was counted; zero without dead letters
}
