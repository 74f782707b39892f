package rest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
)

var idempotencyKey = regexp.MustCompile(`^[!-~]{1,128}$`)

// once names the request if it has an Idempotency-Key. A path and its alias
// are one route.
func once(req *http.Request, body []byte) (postgres.Once, error) {
	given := req.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return postgres.Once{}, nil
	}
	if len(given) > 1 || !idempotencyKey.MatchString(given[0]) {
		return postgres.Once{}, badHeader("Idempotency-Key", "must be given once, as 1 to 128 visible ASCII characters without spaces")
	}
	return postgres.Once{
		Principal: auth.FromContext(req.Context()).Name, Route: strings.ToLower(strings.TrimPrefix(req.URL.Path, prefixes[0])),
		Key: given[0], Body: body,
	}, nil
}
