package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lib/pq"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const columns = `id, owner_id, tenant, name, spec, status, labels, paused, deletion_protection, worked, generation, desired_version,
	reports_version, created_at, updated_at, deletion_at, deleted_at, touched_at`

// row is a resource as its table holds it.
type row struct {
	ID             string          `db:"id"`
	OwnerID        *string         `db:"owner_id"`
	Tenant         string          `db:"tenant"`
	Name           string          `db:"name"`
	Spec           json.RawMessage `db:"spec"`
	Status         json.RawMessage `db:"status"`
	Labels         json.RawMessage `db:"labels"`
	Paused         bool            `db:"paused"`
	Protected      bool            `db:"deletion_protection"`
	Worked         bool            `db:"worked"` // an adapter ever reported more than Pending
	Generation     int64           `db:"generation"`
	DesiredVersion int64           `db:"desired_version"`
	ReportsVersion int64           `db:"reports_version"`
	CreatedAt      time.Time       `db:"created_at"`
	UpdatedAt      time.Time       `db:"updated_at"`
	DeletionAt     *time.Time      `db:"deletion_at"`
	DeletedAt      *time.Time      `db:"deleted_at"`
	TouchedAt      time.Time       `db:"touched_at"`
	Now            time.Time       `db:"now"`  // the database's clock, where it was asked for
	Full           []byte          `db:"full"` // JSON: messages and data by adapter, where they were asked for
}

// version is m<n>.s<n>: of the desired state, and of what was reported.
func (r row) version() string {
	return "m" + strconv.FormatInt(r.DesiredVersion, 10) + ".s" + strconv.FormatInt(r.ReportsVersion, 10)
}

// resource gives the row the form of the API.
func (r row) resource(t fleet.TypeInfo) (fleet.Resource, error) {
	out := r.head(t)
	if err := json.Unmarshal(r.Labels, &out.Labels); err != nil {
		return out, fmt.Errorf("read the labels of %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(r.Status, &out.Status); err != nil {
		return out, fmt.Errorf("read the status of %s: %w", r.ID, err)
	}
	return out, r.fill(&out.Status)
}

// head is the resource without labels and status.
func (r row) head(t fleet.TypeInfo) fleet.Resource {
	return fleet.Resource{
		ID: r.ID, Kind: t.Kind, Href: href(t, r.ID), Tenant: r.Tenant, Name: r.Name, Owner: r.owner(t),
		Spec: r.Spec, Paused: r.Paused, Protected: r.Protected, Generation: r.Generation,
		ResourceVersion: r.version(),
		CreatedAt:       fleet.At(r.CreatedAt), UpdatedAt: fleet.At(r.UpdatedAt),
		DeletionAt: optional(r.DeletionAt), DeletedAt: optional(r.DeletedAt),
	}
}

func href(t fleet.TypeInfo, id string) string { return "/v1/" + string(t.Type) + "/" + id }

// owner is the reference to what the row belongs to, nil if there is nothing.
func (r row) owner(t fleet.TypeInfo) *fleet.Owner {
	of, ok := t.Owner.Info()
	if !ok || r.OwnerID == nil {
		return nil
	}
	return &fleet.Owner{ID: *r.OwnerID, Kind: of.Kind, Href: href(of, *r.OwnerID)}
}

// cluster is the id of the cluster that reports on the row name: its own, or
// that of what it belongs to.
func (r row) cluster() string {
	if r.OwnerID != nil {
		return *r.OwnerID
	}
	return r.ID
}

// fill puts full messages and data in the place of the short ones.
func (r row) fill(s *fleet.Status) error {
	if r.Full == nil {
		return nil
	}
	var full map[string]struct {
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(r.Full, &full); err != nil {
		return fmt.Errorf("read the reports on %s: %w", r.ID, err)
	}
	for i, a := range s.Adapters {
		report, ok := full[a.AdapterName]
		if !ok {
			continue
		}
		s.Adapters[i].Message, s.Adapters[i].Data = report.Message, report.Data
	}
	return nil
}

const reportColumns = `id, {subject} AS subject, adapter_name, phase, message, data, observed_generation, attempt,
	attempt_base, retry_at, checked_at, last_transition_time, reports, created_at, last_reported_at`

// reportRow is an entry of the history as its table holds it.
type reportRow struct {
	ID                 string     `db:"id"`
	Subject            string     `db:"subject"`
	AdapterName        string     `db:"adapter_name"`
	Phase              string     `db:"phase"`
	Message            string     `db:"message"`
	Data               []byte     `db:"data"` // JSON, or NULL
	ObservedGeneration int64      `db:"observed_generation"`
	Attempt            int        `db:"attempt"`
	AttemptBase        int        `db:"attempt_base"`
	RetryAt            *time.Time `db:"retry_at"`
	CheckedAt          *time.Time `db:"checked_at"`
	LastTransitionTime time.Time  `db:"last_transition_time"`
	Reports            int64      `db:"reports"`
	CreatedAt          time.Time  `db:"created_at"`
	LastReportedAt     time.Time  `db:"last_reported_at"`
}

// report gives the entry the form of the API; see [row.cluster].
func (r reportRow) report(cluster string) fleet.Report {
	return fleet.Report{
		ID: r.ID, ClusterID: cluster, ResourceID: r.Subject, AdapterName: r.AdapterName, Phase: fleet.ReportPhase(r.Phase), Message: r.Message,
		LastTransitionTime: fleet.At(r.LastTransitionTime), ObservedGeneration: r.ObservedGeneration,
		Attempt: r.Attempt, AttemptBase: r.AttemptBase, RetryAt: optional(r.RetryAt), CheckedAt: optional(r.CheckedAt),
		Data: r.Data, Reports: r.Reports, CreatedAt: fleet.At(r.CreatedAt), LastReportedAt: fleet.At(r.LastReportedAt),
	}
}

// optional turns a nullable column into a nullable field.
func optional(t *time.Time) *fleet.Time {
	if t == nil {
		return nil
	}
	at := fleet.At(*t)
	return &at
}

// nullable turns a nullable field into an argument.
func nullable(t *fleet.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &t.Time
}

// document turns a JSON object into an argument; none, and null, is the empty one.
func document(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return "{}"
	}
	return string(raw)
}

// sees says whether a tenant's resources are in the scope.
func (s Scope) sees(tenant string) bool { return s.all || slices.Contains(s.tenants, tenant) }

// args returns the two arguments of the predicate ($n OR tenant = ANY($n+1)).
func (s Scope) args() (bool, any) { return s.all, pq.StringArray(append([]string{}, s.tenants...)) }
