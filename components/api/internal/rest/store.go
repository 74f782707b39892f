package rest

import (
	"context"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Store is everything that the handlers need of the database.
type Store interface {
	Reader
	Creator
	Writer
	Schedule
	History
	Corrections
	Holders
	Shards
	Coverage
	Audit
	Registrar
	Adapters
}

// Reader reads resources.
type Reader interface {
	Get(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (resource.Item, error)
	ResourceVersion(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, deleted bool) (string, error)
	List(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, q resource.Query, each func(resource.Item) error) (fleet.List, error)
}

// Creator stores new resources, in a tenant or in what owns them.
type Creator interface {
	Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource, again once.Request) (fleet.Resource, error)
	CreateIn(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, owner string, n fleet.NewResource, again once.Request) (fleet.Resource, error)
}

// Writer changes what is asked of a resource.
type Writer interface {
	Patch(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, change desired.Change) (fleet.Resource, error)
	Delete(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, how desired.Removal) (fleet.Resource, error)
	Reconcile(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, adapters []string) (fleet.Resource, error)
}

// Schedule says what is due and records what was published.
type Schedule interface {
	Due(ctx context.Context, t fleet.TypeInfo, q schedule.Query) (fleet.DueList, error)
	Published(ctx context.Context, t fleet.TypeInfo, tokens []string, b fleet.Backoff) error
}

// History keeps what adapters report.
type History interface {
	Report(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, n fleet.NewReport) (fleet.Report, error)
	Reports(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id string, q postgres.ReportQuery, each func(fleet.Report) error) (fleet.ReportList, error)
	GetReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string, deleted bool) (fleet.Report, error)
}

// Corrections change an adapter's latest report.
type Corrections interface {
	PatchReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string, p fleet.ReportPatch) (fleet.Report, error)
	DeleteReport(ctx context.Context, t fleet.TypeInfo, sc tenant.Scope, id, reportID string) error
}

// Holders registers who publishes which part of the fleet.
type Holders interface {
	HoldShard(ctx context.Context, name string, n registry.NewShard) (fleet.Shard, error)
	ReleaseShard(ctx context.Context, name, holder string) error
}

// Shards tells who is registered.
type Shards interface {
	Shards(ctx context.Context, q registry.ShardQuery) (fleet.ShardList, error)
	Shard(ctx context.Context, name string) (fleet.Shard, error)
}

// Coverage says how the shards divide the fleet.
type Coverage interface {
	Coverage(ctx context.Context, t fleet.TypeInfo) (fleet.Coverage, error)
	LastCoverage(ctx context.Context, t fleet.TypeInfo) (fleet.Coverage, bool, error)
}

// Registrar takes the adapters' registrations.
type Registrar interface {
	RegisterAdapter(ctx context.Context, name string, n fleet.NewAdapterInstance) (fleet.Adapter, error)
	UnregisterAdapter(ctx context.Context, name, instance string) error
}

// Adapters tells which are registered.
type Adapters interface {
	Adapter(ctx context.Context, name string) (fleet.Adapter, error)
	Adapters(ctx context.Context) (fleet.AdapterList, error)
}

// Audit tells who did what.
type Audit interface {
	Audit(ctx context.Context, sc tenant.Scope, q audit.Query, each func(fleet.AuditEntry) error) (fleet.AuditList, error)
}
