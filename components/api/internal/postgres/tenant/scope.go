package tenant

import (
	"fmt"
	"slices"

	"github.com/lib/pq"
)

// Scope is the mandatory tenant predicate of a request. The zero Scope sees
// nothing.
type Scope struct {
	all     bool
	tenants []string
}

// All is the scope of a principal that is bound to no tenant.
func All() Scope { return Scope{all: true} }

// Only is the scope of a principal that is bound to the given tenants.
func Only(names ...string) Scope { return Scope{tenants: names} }

// Sees says whether a tenant's resources are in the scope.
func (s Scope) Sees(tenant string) bool { return s.all || slices.Contains(s.tenants, tenant) }

// Predicate returns the two arguments of the predicate ($n OR tenant = ANY($n+1)).
func (s Scope) Predicate() (bool, any) {
	return s.all, pq.StringArray(append([]string{}, s.tenants...))
}

// Name tells scopes apart.
func (s Scope) Name() string { return fmt.Sprintf("%t %q", s.all, s.tenants) }
