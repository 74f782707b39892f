package rest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
)

var idempotencyKey = regexp.MustCompile(`^[!-~]{1,128}$`)

// identify names the request if it has an Idempotency-Key. A path and its alias
// are one route.
func identify(req *http.Request, body []byte) (once.Request, error) {
	given := req.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return once.Request{}, nil
	}
	if len(given) > 1 || !idempotencyKey.MatchString(given[0]) {
		return once.Request{}, badHeader("Idempotency-Key", "must be given once, as 1 to 128 visible ASCII characters without spaces")
	}
	return once.Request{
		Principal: auth.FromContext(req.Context()).Name, Route: strings.ToLower(strings.TrimPrefix(req.URL.Path, prefixes[0])),
		Key: given[0], Body: body,
	}, nil
}
