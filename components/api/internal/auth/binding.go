package auth

import (
	"slices"
	"strings"
)

// maxTenants bounds what a claim may name: each is a term of every query.
const maxTenants = 64

// bind makes a principal of a token's claims by the first binding that fits;
// false if none does.
func bind(bindings []Binding, issuer, subject string, claims map[string]any) (Principal, bool) {
	for _, b := range bindings {
		if b.Issuer == issuer && b.fits(claims) {
			return b.principal(issuer+"#"+subject, claims)
		}
	}
	return Principal{}, false
}

func (b Binding) fits(claims map[string]any) bool {
	for name, want := range b.Claims {
		if !slices.Contains(texts(lookup(claims, name)), want) {
			return false
		}
	}
	return len(b.Claims) > 0
}

// principal is who the binding makes of a token; false if its claim names no
// tenant, or something that is none: which one was meant is never guessed.
func (b Binding) principal(name string, claims map[string]any) (Principal, bool) {
	role, _ := roleNamed(b.Role) // Validate has looked
	p := Principal{
		Name: name, Role: role, Adapter: b.AdapterName, Shards: b.Shards,
		AllTenants: slices.Equal(b.Tenants, []string{"*"}),
		Workload:   b.Rate == Workloads || b.Rate == "" && role&(Sentinel|Adapter|Job) != 0,
	}
	switch {
	case p.AllTenants:
		return p, true
	case b.TenantClaim == "":
		p.Tenants = b.Tenants
	default:
		p.Tenants = texts(lookup(claims, b.TenantClaim))
	}
	if len(p.Tenants) == 0 || len(p.Tenants) > maxTenants || !allNames(p.Tenants) {
		return Principal{}, false
	}
	return p, true
}

func allNames(all []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !name.MatchString(s) })
}

// lookup finds a claim by its name, or by a JSON pointer (RFC 6901).
func lookup(claims map[string]any, name string) any {
	pointer, ok := strings.CutPrefix(name, "/")
	if !ok {
		return claims[name]
	}
	var v any = claims
	for _, key := range strings.Split(pointer, "/") {
		node, _ := v.(map[string]any)
		v = node[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
	}
	return v
}

// texts are the values of a claim: itself, or the elements of a list.
func texts(claim any) []string {
	list, ok := claim.([]any)
	if !ok {
		list = []any{claim}
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case bool:
			out = append(out, map[bool]string{true: "true", false: "false"}[v])
		}
	}
	return out
}
