package resource

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Columns are those of a [Row].
const Columns = `id, owner_id, tenant, name, spec, status, labels, paused, deletion_protection, worked, generation, desired_version,
	reports_version, created_at, updated_at, deletion_at, deleted_at, touched_at`

// Row is a resource as its table holds it.
type Row struct {
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

// places is where the columns of GetSQL go.
func (r *Row) places() []any {
	return []any{
		&r.ID, &r.OwnerID, &r.Tenant, &r.Name, (*[]byte)(&r.Spec), (*[]byte)(&r.Status), (*[]byte)(&r.Labels), &r.Paused, &r.Protected,
		&r.Worked, &r.Generation, &r.DesiredVersion, &r.ReportsVersion, &r.CreatedAt, &r.UpdatedAt, &r.DeletionAt, &r.DeletedAt,
		&r.TouchedAt, &r.Full,
	}
}

// version is m<n>.s<n>: of the desired state, and of what was reported.
func (r Row) version() string {
	return "m" + strconv.FormatInt(r.DesiredVersion, 10) + ".s" + strconv.FormatInt(r.ReportsVersion, 10)
}

// Resource gives the row the form of the API.
func (r Row) Resource(t fleet.TypeInfo) (fleet.Resource, error) {
	out := r.head(t)
	if r.Labels != nil { // asked for
		if err := json.Unmarshal(r.Labels, &out.Labels); err != nil {
			return out, fmt.Errorf("read the labels of %s: %w", r.ID, err)
		}
	}
	if err := json.Unmarshal(r.Status, &out.Status); err != nil {
		return out, fmt.Errorf("read the status of %s: %w", r.ID, err)
	}
	return out, r.fill(&out.Status)
}

// head is the resource without labels and status.
func (r Row) head(t fleet.TypeInfo) fleet.Resource {
	return fleet.Resource{
		ID: r.ID, Kind: t.Kind, Href: href(t, r.ID), Tenant: r.Tenant, Name: r.Name, Owner: r.owner(t),
		Spec: r.Spec, Paused: r.Paused, Protected: r.Protected, Generation: r.Generation,
		ResourceVersion: r.version(),
		CreatedAt:       fleet.At(r.CreatedAt), UpdatedAt: fleet.At(r.UpdatedAt),
		DeletionAt: database.Optional(r.DeletionAt), DeletedAt: database.Optional(r.DeletedAt),
	}
}

func href(t fleet.TypeInfo, id string) string { return "/v1/" + string(t.Type) + "/" + id }

// owner is the reference to what the row belongs to, nil if there is nothing.
func (r Row) owner(t fleet.TypeInfo) *fleet.Owner {
	of, ok := t.Owner.Info()
	if !ok || r.OwnerID == nil {
		return nil
	}
	return &fleet.Owner{ID: *r.OwnerID, Kind: of.Kind, Href: href(of, *r.OwnerID)}
}

// Cluster is the id of the cluster that reports on the row name: its own, or
// that of what it belongs to.
func (r Row) Cluster() string {
	if r.OwnerID != nil {
		return *r.OwnerID
	}
	return r.ID
}

// fill puts full messages and data in the place of the short ones.
func (r Row) fill(s *fleet.Status) error {
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

// LabelsJSON writes labels; none are an empty object.
func LabelsJSON(labels map[string]string) string {
	if labels == nil {
		return "{}"
	}
	return database.JSON(labels)
}

// StatusJSON is a status as its column holds it.
func StatusJSON(s fleet.Status) string { return database.JSON(s) }
