package fleet

// Action is what a user did to a resource.
type Action string

// Actions of an [AuditEntry].
const (
	ActionCreate        Action = "create"
	ActionUpdate        Action = "update" // spec, labels, paused or protection; also what follows its owner's labels, and an admin's PUT of a shard or an adapter
	ActionDelete        Action = "delete" // also what is deleted with its owner
	ActionForceDelete   Action = "force-delete"
	ActionReconcile     Action = "reconcile"
	ActionCorrectReport Action = "correct-report"
	ActionDeleteReport  Action = "delete-report"
	ActionReport        Action = "report" // by an admin, in an adapter's name
)

// Actions returns every action.
func Actions() []Action {
	return []Action{ActionCreate, ActionUpdate, ActionDelete, ActionForceDelete, ActionReconcile, ActionCorrectReport, ActionDeleteReport, ActionReport}
}

// AuditEntry says who did what, when. It was written with the change itself.
type AuditEntry struct {
	ID               string `json:"id"` // UUID version 7
	At               Time   `json:"at"`
	Principal        string `json:"principal"`
	RequestID        string `json:"requestId"`
	Action           Action `json:"action"`
	Tenant           string `json:"tenant"`           // "" for shards and adapters, which belong to none
	ResourceType     string `json:"resourceType"`     // clusters, nodepools, shards, adapters
	ResourceID       string `json:"resourceId"`       // of shards and adapters the name
	Name             string `json:"name"`             //
	GenerationBefore *int64 `json:"generationBefore"` // nil where there was none
	GenerationAfter  *int64 `json:"generationAfter"`  // nil where there is none
}

// AuditList is one page of the audit, newest first.
type AuditList struct {
	Kind     string       `json:"kind"`
	Items    []AuditEntry `json:"items"`
	Continue string       `json:"continue,omitempty"`
	AsOf     Time         `json:"asOf"`
}
