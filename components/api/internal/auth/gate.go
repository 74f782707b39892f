package auth

import (
	"net/http"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Gate admits requests.
type Gate struct{}

// Disabled returns the Gate of auth.mode "disabled": whoever asks is an admin
// of all tenants.
func Disabled() *Gate { return &Gate{} }

// Admit says who asks, if the rule lets them. Its error is a [*fleet.Error];
// headers that go with it, or with any answer, are set on h.
func (g *Gate) Admit(_ http.Header, _ *http.Request, rule Role) (Principal, error) {
	if rule&Public != 0 {
		return Principal{}, nil
	}
	p := Principal{Name: "anonymous", Role: Admin, AllTenants: true}
	return p, check(p, rule)
}

// check says whether the rule lets p pass.
func check(p Principal, rule Role) error {
	switch {
	case p.Role&rule == 0:
		return fleet.Errorf(fleet.Forbidden, "your role does not allow this")
	case rule&Fleet != 0 && !p.AllTenants:
		return fleet.Errorf(fleet.Forbidden, "this concerns the whole fleet; you are bound to tenants")
	}
	return nil
}
