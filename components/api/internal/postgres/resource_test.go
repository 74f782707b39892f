package postgres

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestCreatedResourceIsPendingAndDueAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	before := now(t, s)
	made := create(t, s, "prod-7", map[string]string{"region": "us-east"})
	if id, err := uuid.Parse(made.ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q is not a UUID of version 7", made.ID)
	}
	if diff := cmp.Diff(made, get(t, s, made.ID)); diff != "" {
		t.Errorf("what was created is not what is read (-created +read):\n%s", diff)
	}
	at := made.CreatedAt
	if at.Before(before) || at.After(now(t, s)) {
		t.Errorf("created at %v, which is not the database's now", at)
	}
	want := fleet.Resource{
		ID: made.ID, Kind: "Cluster", Href: "/v1/clusters/" + made.ID, Tenant: "default", Name: "prod-7",
		Labels: map[string]string{"region": "us-east"}, Spec: json.RawMessage(`{"version": "4.20.1"}`),
		Generation: 1, ResourceVersion: "m1.s0", CreatedAt: at, UpdatedAt: at,
		Status: fleet.Status{
			Phase: fleet.Pending, LastTransitionTime: at, Adapters: []fleet.AdapterStatus{},
			Conditions: []fleet.Condition{{
				Type: "Ready", Status: "False", Reason: "WaitingForAdapters", Message: "validation: not reported, dns: not reported",
				ObservedGeneration: 1, LastTransitionTime: at,
			}},
		},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("resource (-want +got):\n%s", diff)
	}
	wantSchedule := fleet.Schedule{WakeAt: at.Time, WakeReason: fleet.GenerationChanged, Wakes: 1, Base: at.Time}
	if diff := cmp.Diff(wantSchedule, scheduleOf(t, s, made.ID)); diff != "" {
		t.Errorf("schedule (-want +got):\n%s", diff)
	}
}

func TestNamesAreUniquePerTenantAmongTheNotDeleted(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := create(t, s, "a", nil)
	_, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "a"}, once.Request{})
	wantCode(t, err, fleet.NameTaken)
	if _, err := s.Create(t.Context(), clusters, "other", fleet.NewResource{Name: "a"}, once.Request{}); err != nil {
		t.Errorf("another tenant's name: %v", err)
	}
	if err := remove(t, s, all, first.ID, false); err != nil {
		t.Fatal(err)
	}
	create(t, s, "a", nil)
}

func TestScopeHidesOtherTenants(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", nil)
	entry := report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportPending})
	ctx := t.Context()
	for _, sc := range []tenant.Scope{{}, tenant.Only(), tenant.Only("other", "third")} {
		_, err := s.Get(ctx, clusters, sc, r.ID, true)
		wantCode(t, err, fleet.NotFound)
		_, err = s.Patch(ctx, clusters, sc, r.ID, withSpec(`{}`))
		wantCode(t, err, fleet.NotFound)
		wantCode(t, remove(t, s, sc, r.ID, false), fleet.NotFound)
		_, err = s.Report(ctx, clusters, sc, r.ID, fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportRunning})
		wantCode(t, err, fleet.NotFound)
		_, err = history(ctx, s, clusters, sc, r.ID, ReportQuery{})
		wantCode(t, err, fleet.NotFound)
		_, err = s.GetReport(ctx, clusters, sc, r.ID, entry.ID, false)
		wantCode(t, err, fleet.NotFound)
		wantCode(t, s.DeleteReport(ctx, clusters, sc, r.ID, entry.ID), fleet.NotFound)
		if list, err := s.list(ctx, clusters, sc, resource.Query{}); err != nil || len(list.Items) != 0 {
			t.Errorf("list in scope %v: %d items, %v", sc, len(list.Items), err)
		}
	}
	if _, err := s.Get(ctx, clusters, tenant.Only("other", "default"), r.ID, false); err != nil {
		t.Errorf("in scope: %v", err)
	}
}

func TestWhatIsNoIDIsNotFound(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, id := range []string{"", "x", "' OR true --", "{0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10}", "\x00", "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"} {
		_, err := s.Get(t.Context(), clusters, all, id, true)
		wantCode(t, err, fleet.NotFound)
		_, err = s.Patch(t.Context(), clusters, all, id, withSpec(`{}`))
		wantCode(t, err, fleet.NotFound)
	}
}

func TestSpecChangeRaisesTheGenerationAndWakes(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east"})
	for _, adapter := range required {
		report(t, s, r.ID, fleet.NewReport{AdapterName: adapter, Phase: fleet.ReportComplete, Message: "done", Data: json.RawMessage(`{"a":1}`)})
	}
	if got := get(t, s, r.ID).Status.Phase; got != fleet.Ready {
		t.Fatalf("phase %s, want Ready", got)
	}
	changed := patch(t, s, r.ID, withSpec(`{"version":"4.20.2"}`))
	if changed.Generation != 2 || changed.ResourceVersion != "m2.s2" || changed.Status.Phase != fleet.Pending || !changed.UpdatedAt.After(r.UpdatedAt.Time) {
		t.Errorf("after a spec change: generation %d, version %s, phase %s, updated %v", changed.Generation, changed.ResourceVersion, changed.Status.Phase, changed.UpdatedAt)
	}
	if diff := cmp.Diff(changed, get(t, s, r.ID)); diff != "" {
		t.Errorf("what was answered is not what is read:\n%s", diff)
	}
	got := scheduleOf(t, s, r.ID)
	if got.WakeAt.IsZero() || got.Ready || got.WakeReason != fleet.GenerationChanged {
		t.Errorf("schedule %+v", got)
	}
}

func TestPatchThatChangesNothingChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east"})
	r = patch(t, s, r.ID, withSpec(`{"b":[1,2.50],"a":{"x":1,"y":null}}`))
	schedule := scheduleOf(t, s, r.ID)
	same := patch(t, s, r.ID, func(r fleet.Resource) (desired.State, error) {
		return desired.State{Labels: map[string]string{"region": "us-east"}, Spec: json.RawMessage(` {"a":{"y":null,"x":1.0},  "b":[1,2.5]}`)}, nil
	})
	if diff := cmp.Diff(r, same); diff != "" {
		t.Errorf("resource changed:\n%s", diff)
	}
	if diff := cmp.Diff(schedule, scheduleOf(t, s, r.ID)); diff != "" {
		t.Errorf("schedule changed:\n%s", diff)
	}
	refused := errors.New("refused")
	_, err := s.Patch(t.Context(), clusters, all, r.ID, func(fleet.Resource) (desired.State, error) { return desired.State{}, refused })
	if !errors.Is(err, refused) {
		t.Errorf("error of the change: %v", err)
	}
}

func TestLabelChangeMovesTheScheduleRowInTheSameTransaction(t *testing.T) {
	t.Parallel()
	s := open(t)
	r := create(t, s, "a", map[string]string{"region": "us-east"})
	publishAll(t, s)
	moved := patch(t, s, r.ID, withLabels(map[string]string{"region": "eu-west", "env": "prod"}))
	if moved.Generation != 1 || moved.ResourceVersion != "m2.s0" {
		t.Errorf("generation %d, version %s", moved.Generation, moved.ResourceVersion)
	}
	var shardKey, labels string
	if err := s.db.DB.QueryRowContext(t.Context(), `SELECT shard_key, labels::text FROM schedule WHERE id = $1`, r.ID).Scan(&shardKey, &labels); err != nil {
		t.Fatal(err)
	}
	if shardKey != "eu-west" || labels != `{"env": "prod", "region": "eu-west"}` {
		t.Errorf("schedule row has shard key %q, labels %s", shardKey, labels)
	}
	if got := scheduleOf(t, s, r.ID); got.WakeReason != fleet.Requested || got.Wakes != 2 {
		t.Errorf("schedule %+v", got)
	}
}

func TestDeletedResourceIsATombstone(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := t.Context()
	r := create(t, s, "a", nil)
	entry := report(t, s, r.ID, fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportRunning})
	if err := remove(t, s, all, r.ID, true); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove(t, s, all, r.ID, false), fleet.NotFound)
	_, err := s.Get(ctx, clusters, all, r.ID, false)
	wantCode(t, err, fleet.NotFound)
	_, err = s.Report(ctx, clusters, all, r.ID, fleet.NewReport{AdapterName: "dns", Phase: fleet.ReportComplete})
	wantCode(t, err, fleet.NotFound)
	_, err = s.PatchReport(ctx, clusters, all, r.ID, entry.ID, fleet.ReportPatch{})
	wantCode(t, err, fleet.NotFound)
	stone := get(t, s, r.ID)
	if stone.Status.Phase != fleet.Deleted || stone.DeletedAt == nil || stone.ResourceVersion != "m2.s1" {
		t.Errorf("tombstone %+v", stone)
	}
	if due := dueIDs(t, s, schedule.Query{}); len(due) != 0 {
		t.Errorf("due: %v", due)
	}
	counts, err := s.CountByPhase(ctx, clusters, time.Hour)
	if diff := cmp.Diff(map[fleet.Phase]schedule.Count{fleet.Pending: {}, fleet.Provisioning: {}, fleet.Ready: {}, fleet.Failed: {}, fleet.Deleting: {}}, counts); diff != "" || err != nil {
		t.Errorf("counts (-want +got):\n%s%v", diff, err)
	}
	for deleted, want := range map[bool]int{false: 0, true: 1} {
		if list, err := s.list(ctx, clusters, all, resource.Query{Deleted: deleted}); err != nil || len(list.Items) != want {
			t.Errorf("list with deleted=%v: %d items, %v", deleted, len(list.Items), err)
		}
	}
}

func TestValuesThatPostgreSQLRefusesAreInvalid(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "a", Spec: json.RawMessage(`{"x":"\u0000"}`)}, once.Request{})
	wantCode(t, err, fleet.Invalid)
	_, err = s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "a\x00b"}, once.Request{})
	wantCode(t, err, fleet.Invalid)
}

func TestMomentsOfARowNeverRepeat(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	if got := database.After(at, at.Add(-time.Hour)); !got.Equal(at.Add(time.Microsecond)) {
		t.Errorf("after a step back of the clock: %v", got)
	}
	last := ""
	for i := range 5000 {
		id, err := database.NewID(at.Add(time.Duration(i) * time.Microsecond))
		if err != nil || id <= last {
			t.Fatalf("id %q of microsecond %d is not after %q (%v)", id, i, last, err)
		}
		last = id
	}
}

func TestAServerWithoutTLSIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	s := openWith(t, Config{URL: strings.Replace(pgdev.DatabaseRoles(t).Owner, "sslmode=disable", "sslmode=require", 1)})
	for doing, err := range map[string]error{"await": s.Await(t.Context()), "migrate": s.Migrate(t.Context()), "ping": s.Ping(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "add ?sslmode=disable to database-url") {
			t.Errorf("%s: %v", doing, err)
		}
	}
}

func TestStoreThatCannotReachItsDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	s := openWith(t, Config{URL: "postgres://someone:hidden@127.0.0.1:1/none?sslmode=disable"})
	for doing, err := range map[string]error{
		"ping":    s.Ping(t.Context()),
		"migrate": s.Migrate(t.Context()),
		"delete":  remove(t, s, all, "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10", false),
	} {
		wantCode(t, err, fleet.Unavailable)
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error shows the password: %v", doing, err)
		}
	}
	if _, err := Open(t.Context(), Config{URL: "postgres://u:hidden@[::bad/x"}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a bad URL: %v", err)
	}
}

func TestMigrationsMayRunAtOnceAndKeepTheShardKey(t *testing.T) {
	t.Parallel()
	url := pgdev.Database(t)
	results := make(chan error)
	for range 4 {
		s := openWith(t, Config{URL: url})
		go func() { results <- s.Migrate(t.Context()) }()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	other, err := Open(t.Context(), Config{URL: url, ShardKey: "zone"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), `"region"`) {
		t.Errorf("another shard key: %v", err)
	}
}
