package jobspec

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Why a Job is not there. Any other error says that who runs Jobs is away.
var (
	// ErrForeign says that the name is taken by something that is not the Job. It
	// is never deleted or overwritten.
	ErrForeign = errors.New("the job's name is taken by something else")
	// ErrLeaving says that what has the name is being deleted, and must be gone first.
	ErrLeaving = errors.New("a job of the same name is being deleted")
	// ErrInvalid says that no Job can look like this.
	ErrInvalid = errors.New("the job is invalid")
	// ErrForbidden says that the adapter may not make it, or that a rule forbids it.
	ErrForbidden = errors.New("the job is forbidden")
	// ErrQuota says that there are as many Jobs as may be.
	ErrQuota = errors.New("the quota is used up")
	// ErrNamespace says that the namespace is not there, or is being deleted.
	ErrNamespace = errors.New("the namespace is gone")
	// ErrThrottled says that too much is asked of who runs Jobs, which passes.
	ErrThrottled = errors.New("too many requests")
)

// End is how an attempt ended.
type End struct {
	Name        string
	Identity    Identity
	AttemptBase int
	Lost        bool // it was deleted before it ended; nothing of the following is known
	Succeeded   bool
	Mute        bool // it succeeded, but what it had to say is lost: so it counts as failed, unless it was told before
	Message     string
	Data        json.RawMessage // object, or nil
	Started     time.Time
	Ended       time.Time
}

// Keeper is told by a runner how Jobs end, and says which are wanted.
type Keeper interface {
	// Ended takes the end of a Job. It is called again until it returns nil.
	Ended(ctx context.Context, end End) error
	// Wanted says whether the Job's resource still exists at its generation.
	Wanted(ctx context.Context, id Identity) (bool, error)
}

// Said reads what a Job wrote to its termination log: {"message":…,"data":{…}},
// or any other text, which is then the message.
func Said(text []byte) (message string, data json.RawMessage) {
	var said struct {
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return string(text), nil
	}
	return said.Message, said.Data
}
