package auth

import (
	"context"
	"path"
	"slices"
)

// Principal is who asks. The zero Principal may nothing.
type Principal struct {
	Name       string   // unique over all issuers; for the audit and for idempotency keys
	Role       Role     // exactly one
	AllTenants bool     // bound to none, so Tenants is empty
	Tenants    []string // bound to these
	Adapter    string   // the one adapter_name of role adapter
	Shards     []string // patterns (as in path.Match) of the shard names that role sentinel may hold
	Workload   bool     // rate class: a program, not a person
}

// User says whether p is known to act for nobody but itself where workloads
// write on their own: an admin that reports, registers an adapter or holds a shard.
func (p Principal) User() bool { return p.Role == Admin && p.Name != anonymous }

// MayReportAs says whether p may report under the adapter's name.
func (p Principal) MayReportAs(adapter string) bool { return p.Role == Admin || p.is(adapter) }

// MayRegisterAs says whether p may register under the adapter's name, which
// concerns the order in which everybody's resources are deleted.
func (p Principal) MayRegisterAs(adapter string) bool {
	return p.Role == Admin && p.AllTenants || p.is(adapter)
}

func (p Principal) is(adapter string) bool { return p.Role == Adapter && p.Adapter == adapter }

// MayHold says whether p may hold the shard of that name.
func (p Principal) MayHold(shard string) bool {
	return p.Role == Admin || p.Role == Sentinel && slices.ContainsFunc(p.Shards, func(pattern string) bool {
		ok, err := path.Match(pattern, shard)
		return ok && err == nil
	})
}

// In returns p bound to one tenant: that one, or none if p may not see it.
func (p Principal) In(tenant string) Principal {
	if p.AllTenants || slices.Contains(p.Tenants, tenant) {
		p.Tenants = []string{tenant}
	} else {
		p.Tenants = nil
	}
	p.AllTenants = false
	return p
}

type contextKey struct{}

// NewContext returns ctx with p as who asks.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns who asks; the zero Principal if nobody was admitted.
func FromContext(ctx context.Context) Principal {
	p, _ := ctx.Value(contextKey{}).(Principal)
	return p
}
