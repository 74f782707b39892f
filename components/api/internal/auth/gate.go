package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Deps are what a [Gate] works with.
type Deps struct {
	Registry prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time // nil = time.Now
}

// Gate admits requests.
type Gate struct {
	verifier *verifier // nil = auth.mode is disabled
	limiter  *limiter
	metrics  *metrics
	log      *slog.Logger
}

// New makes the Gate of a valid configuration. It fetches no keys yet.
func New(c Config, deps Deps) (*Gate, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	metrics, err := newMetrics(deps.Registry)
	if err != nil {
		return nil, err
	}
	g := &Gate{metrics: metrics, log: deps.Log}
	if c.Mode == ModeDisabled {
		return g, nil
	}
	g.verifier = &verifier{issuers: map[string]trusted{}, bindings: c.Bindings, now: deps.Now}
	var problems []error
	for _, i := range c.Issuers {
		fetch, err := fetcher(i)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		g.verifier.issuers[i.Issuer] = trusted{i.Audiences, newKeys(i.Issuer, fetch, deps.Now, deps.Log)}
	}
	if g.verifier.verified, err = lru.New[[sha256.Size]byte, verified](maxCached); err != nil {
		problems = append(problems, fmt.Errorf("remember tokens: %w", err))
	}
	if g.limiter, err = newLimiter(c.Limits, deps.Now); err != nil {
		problems = append(problems, fmt.Errorf("remember rates: %w", err))
	}
	return g, errors.Join(problems...)
}

// anonymous is everybody while nobody is asked who they are, workloads too.
const anonymous = "anonymous"

// Warn says, at every start, that nobody is asked who they are; nothing if
// everybody is.
func (g *Gate) Warn(ctx context.Context) {
	if g.verifier == nil {
		g.log.WarnContext(ctx, "authentication is off (auth.mode: disabled): whoever reaches the API is an admin of all tenants")
	}
}

// Admit says who asks, if the rule lets them. Its error is a [*fleet.Error];
// headers that go with the answer are set on h. Neither the error nor the log
// ever has a token or a part of it.
func (g *Gate) Admit(h http.Header, r *http.Request, rule Role) (Principal, error) {
	if rule&Public != 0 {
		return Principal{}, nil
	}
	if g.verifier == nil {
		return Principal{Name: anonymous, Role: Admin, AllTenants: true}, nil
	}
	p, err := g.authenticate(r)
	if err != nil {
		return p, g.refuse(h, r, err)
	}
	if err := g.limiter.take(h, p); err != nil {
		class := map[bool]string{true: Workloads, false: People}[p.Workload]
		g.metrics.limited.WithLabelValues(class).Inc()
		return Principal{}, err
	}
	if err := check(p, rule); err != nil {
		return Principal{}, g.refuse(h, r, err)
	}
	return p, nil
}

func (g *Gate) authenticate(r *http.Request) (Principal, error) {
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return Principal{}, missing
	}
	scheme, token, ok := strings.Cut(given[0], " ")
	if len(given) != 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, malformed
	}
	return g.verifier.principal(r.Context(), token)
}

// check says whether the rule lets p pass. Its error is a reason.
func check(p Principal, rule Role) error {
	switch {
	case p.Role&rule == 0:
		return notAllowed
	case rule&Fleet != 0 && !p.AllTenants:
		return otherTenant
	}
	return nil
}

// refuse counts a reason and turns it into what the caller may know: that a
// token holds is known to who has it, why another one does not is not.
func (g *Gate) refuse(h http.Header, r *http.Request, err error) error {
	var why reason
	if !errors.As(err, &why) {
		return err
	}
	g.metrics.failures.WithLabelValues(string(why)).Inc()
	g.log.DebugContext(r.Context(), "not admitted", "reason", string(why), "method", r.Method)
	switch why {
	case keysAway:
		return &fleet.Error{Code: fleet.Unavailable, Detail: "tokens of this issuer cannot be verified now; try again", RetryAfter: fetchEvery}
	case unbound:
		return fleet.Errorf(fleet.Forbidden, "your token holds, but no role is bound to it")
	case notAllowed:
		return fleet.Errorf(fleet.Forbidden, "your role does not allow this")
	case otherTenant:
		return fleet.Errorf(fleet.Forbidden, "this concerns the whole fleet; you are bound to tenants")
	case missing:
		h.Set("WWW-Authenticate", `Bearer realm="hyperfleet"`)
		return fleet.Errorf(fleet.Unauthenticated, "send a bearer token: Authorization: Bearer …")
	case expired:
		h.Set("WWW-Authenticate", `Bearer realm="hyperfleet", error="invalid_token", error_description="the token has expired"`)
		return fleet.Errorf(fleet.Unauthenticated, "the token has expired; get a new one")
	default:
		h.Set("WWW-Authenticate", `Bearer realm="hyperfleet", error="invalid_token"`)
		return fleet.Errorf(fleet.Unauthenticated, "the token is not valid here")
	}
}
