package auth

import (
	"math"
	"net/http"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxLimited is how many principals' rates are remembered. One that is
// forgotten begins anew.
const maxLimited = 16 << 10

// limiter bounds the requests of each principal: a bucket that holds a minute's
// requests and fills steadily.
type limiter struct {
	limits  Limits
	now     func() time.Time
	buckets *lru.Cache[bucketKey, *rate.Limiter]
}

// bucketKey is who is limited: one principal may come in both rate classes.
type bucketKey struct {
	name     string
	workload bool
}

func newLimiter(limits Limits, now func() time.Time) (*limiter, error) {
	buckets, err := lru.New[bucketKey, *rate.Limiter](maxLimited)
	return &limiter{limits: limits, now: now, buckets: buckets}, err
}

// take counts a request of p and tells h how many are left. Its error says when
// to try again.
func (l *limiter) take(h http.Header, p Principal) error {
	perMinute := l.limits.PeoplePerMinute
	if p.Workload {
		perMinute = l.limits.WorkloadsPerMinute
	}
	key := bucketKey{p.Name, p.Workload}
	bucket, ok := l.buckets.Get(key)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(perMinute)/60, perMinute)
		if earlier, there, _ := l.buckets.PeekOrAdd(key, bucket); there {
			bucket = earlier
		}
	}
	now := l.now()
	allowed := bucket.AllowN(now, 1)
	left := max(0, bucket.TokensAt(now))
	perSecond := float64(perMinute) / 60
	h.Set("RateLimit-Limit", strconv.Itoa(perMinute))
	h.Set("RateLimit-Remaining", strconv.Itoa(int(left)))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil((float64(perMinute)-left)/perSecond))))
	if allowed {
		return nil
	}
	wait := time.Duration((1 - left) / perSecond * float64(time.Second))
	return &fleet.Error{Code: fleet.RateLimited, Detail: "you ask more often than " + strconv.Itoa(perMinute) + " times a minute; try again later", RetryAfter: wait}
}
