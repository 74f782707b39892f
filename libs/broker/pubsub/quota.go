package pubsub

import (
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// quotaFresh is for how long a refusal for want of quota is believed: longer
// than a publisher that is refused waits before it asks again.
const quotaFresh = mostWait + 2*time.Second

// quota is whether Pub/Sub takes all that is published. One that is used up
// still lets some events through: so what says that it is not used up any more
// is that none was refused for a while, not that one was taken.
type quota struct {
	health *health.Health

	mu    sync.Mutex
	lapse *time.Timer // nil before the first refusal
}

// saw records how a publish ended, and says whether it was refused for want of
// quota: the broker is there, and takes nothing.
func (q *quota) saw(err error) (refused bool) {
	if status.Code(err) != codes.ResourceExhausted {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.health.Up()
	q.health.Block("the project's quota is used up: " + err.Error())
	if q.lapse == nil {
		q.lapse = time.AfterFunc(quotaFresh, q.health.Unblock)
	} else {
		q.lapse.Reset(quotaFresh)
	}
	return true
}

// stop forgets the last refusal.
func (q *quota) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lapse != nil {
		q.lapse.Stop()
	}
}
