package postgres

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Config is how a [Store] reaches its database and judges what it stores.
type Config struct {
	URL      string                          // postgres://…
	MaxConns int                             // at most so many connections; 0 = 16
	ShardKey string                          // label that leads the schedule's index; "" = region
	Required map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Log      *slog.Logger
}

// Store is the API's database.
type Store struct{}

var errSoon = fleet.Errorf(fleet.Unavailable, "under construction")

func Open(ctx context.Context, c Config) (*Store, error) { return nil, errSoon }
func (s *Store) Migrate(ctx context.Context) error       { return errSoon }
func (s *Store) Close() error                            { return errSoon }
func (s *Store) Ping(ctx context.Context) error          { return errSoon }
func (s *Store) Create(ctx context.Context, t fleet.TypeInfo, tenant string, n fleet.NewResource) (fleet.Resource, error) {
	return fleet.Resource{}, errSoon
}
func (s *Store) Get(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, deleted bool) (fleet.Resource, error) {
	return fleet.Resource{}, errSoon
}

// Change gives the whole new labels and spec of a resource. It runs under the
// row's lock, so it is pure and quick; its error is returned as it is.
type Change = func(fleet.Resource) (labels map[string]string, spec json.RawMessage, err error)

func (s *Store) Patch(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, change Change) (fleet.Resource, error) {
	return fleet.Resource{}, errSoon
}
func (s *Store) Delete(ctx context.Context, t fleet.TypeInfo, sc Scope, id string) error {
	return errSoon
}
func (s *Store) List(ctx context.Context, t fleet.TypeInfo, sc Scope, q ListQuery) (fleet.List, error) {
	return fleet.List{}, errSoon
}
func (s *Store) Due(ctx context.Context, t fleet.TypeInfo, q DueQuery) (fleet.DueList, error) {
	return fleet.DueList{}, errSoon
}
func (s *Store) Published(ctx context.Context, t fleet.TypeInfo, tokens []string, b fleet.Backoff) error {
	return errSoon
}
func (s *Store) Report(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, n fleet.NewReport) (fleet.Report, error) {
	return fleet.Report{}, errSoon
}
func (s *Store) Reports(ctx context.Context, t fleet.TypeInfo, sc Scope, id string, q ReportQuery) (fleet.ReportList, error) {
	return fleet.ReportList{}, errSoon
}
func (s *Store) GetReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string) (fleet.Report, error) {
	return fleet.Report{}, errSoon
}
func (s *Store) PatchReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string, p fleet.ReportPatch) (fleet.Report, error) {
	return fleet.Report{}, errSoon
}
func (s *Store) DeleteReport(ctx context.Context, t fleet.TypeInfo, sc Scope, id, reportID string) error {
	return errSoon
}
func (s *Store) CountByPhase(ctx context.Context, t fleet.TypeInfo) (map[fleet.Phase]int64, error) {
	return nil, errSoon
}
