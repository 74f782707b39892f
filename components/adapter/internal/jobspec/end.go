package jobspec

import (
	"encoding/json"
	"errors"
	"time"
)

// ErrForeign says that the name of a Job is taken by something that is not
// that Job. It is never deleted or overwritten.
var ErrForeign = errors.New("the job's name is taken by something else")

// End is how an attempt ended.
type End struct {
	Name        string
	Identity    Identity
	AttemptBase int
	Succeeded   bool
	Message     string
	Data        json.RawMessage // object, or nil
	Started     time.Time
	Ended       time.Time
}
