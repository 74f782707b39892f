package auth

import "strings"

// Role is what a principal is to the API. Roles joined by | are the rule of an
// operation: who may ask for it. The zero rule is open to nobody.
type Role uint16

// Roles, and three words that stand in rules beside them.
const (
	Viewer   Role = 1 << iota // reads
	Editor                    // and creates, updates, deletes, reconciles
	Admin                     // and everything else, in place of anybody
	Sentinel                  // reads, records what was published, holds its shards
	Adapter                   // reads, reports and registers as itself
	Job                       // reads

	// Public is the rule of an operation that needs no token.
	Public
	// Fleet in a rule leaves out principals that are bound to some tenants.
	Fleet
	// Shared is of what belongs to no tenant: nobody is narrowed to one there.
	Shared

	// Readers is the rule of what every role may read.
	Readers = Viewer | Editor | Admin | Sentinel | Adapter | Job
	// Editors is the rule of what changes a resource's desired state.
	Editors = Editor | Admin
	// Reporters is the rule of what changes a resource's status.
	Reporters = Adapter | Admin
)

// roleNames are the roles that a binding may name, in the order of the constants.
var roleNames = [...]string{"viewer", "editor", "admin", "sentinel", "adapter", "job"}

// Names lists the roles in r.
func (r Role) Names() []string {
	var out []string
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// String is for logs and errors.
func (r Role) String() string { return strings.Join(r.Names(), ", ") }

// roleNamed returns the role of that name.
func roleNamed(name string) (Role, bool) {
	for i, n := range roleNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}
