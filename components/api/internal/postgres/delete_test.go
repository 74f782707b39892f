package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

// on is a test's view of one resource.
type on struct {
	testing.TB
	s  *Store
	t  fleet.TypeInfo
	id string
}

func cluster(t testing.TB, s *Store, name string) on {
	t.Helper()
	return on{t, s, clusters, create(t, s, name, map[string]string{"region": "us-east"}).ID}
}

func (o on) pool(name string) on {
	o.Helper()
	r, err := o.s.CreateIn(o.Context(), pools, all, o.id, fleet.NewResource{Name: name}, once.Request{})
	if err != nil {
		o.Fatal(err)
	}
	return on{o.TB, o.s, pools, r.ID}
}

func (o on) get() fleet.Resource {
	o.Helper()
	return shown(o, o.s, o.t, o.id)
}

func (o on) report(adapter string, phase fleet.ReportPhase) {
	o.Helper()
	if _, err := o.s.Report(o.Context(), o.t, all, o.id, fleet.NewReport{AdapterName: adapter, Phase: phase}); err != nil {
		o.Fatal(err)
	}
}

func (o on) delete(force bool) fleet.Resource {
	o.Helper()
	r, err := o.s.Delete(o.Context(), o.t, all, o.id, desired.Removal{Force: force})
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func (o on) patch(change func(*desired.State)) (fleet.Resource, error) {
	return o.s.Patch(o.Context(), o.t, all, o.id, func(r fleet.Resource) (desired.State, error) {
		d := desired.State{Labels: r.Labels, Spec: r.Spec, Paused: r.Paused, Protected: r.Protected}
		change(&d)
		return d, nil
	})
}

func (o on) mustPatch(change func(*desired.State)) fleet.Resource {
	o.Helper()
	r, err := o.patch(change)
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func (o on) schedule() fleet.Schedule {
	o.Helper()
	return scheduleIn(o, o.s, tablesOf(o, o.t).Schedule, o.id)
}

// is fails unless the resource is in the phase, and its tombstone stands or not.
func (o on) is(phase fleet.Phase, message string) {
	o.Helper()
	r := o.get()
	if r.Status.Phase != phase || (r.DeletedAt != nil) != (phase == fleet.Deleted) || !strings.Contains(r.Status.Conditions[0].Message, message) {
		o.Errorf("%s is %s, deleted at %v, %+v; want %s and %q", r.Name, r.Status.Phase, r.DeletedAt, r.Status.Conditions[0], phase, message)
	}
}

func register(t testing.TB, s *Store, name string, n fleet.NewAdapterInstance) {
	t.Helper()
	if n.Instance == "" {
		n.Instance = "test"
	}
	if _, err := s.RegisterAdapter(t.Context(), name, n); err != nil {
		t.Fatal(err)
	}
}

var ofClusters = []fleet.ResourceType{fleet.Clusters}

func TestDeletionWaitsForEveryParticipant(t *testing.T) {
	t.Parallel()
	s := open(t)
	register(t, s, "dns", fleet.NewAdapterInstance{ResourceTypes: ofClusters})
	register(t, s, "backup", fleet.NewAdapterInstance{ResourceTypes: ofClusters, HasDeletion: true})
	register(t, s, "billing", fleet.NewAdapterInstance{ResourceTypes: ofClusters, HasDeletion: true})
	register(t, s, "watcher", fleet.NewAdapterInstance{ResourceTypes: ofClusters})
	register(t, s, "pools-only", fleet.NewAdapterInstance{ResourceTypes: []fleet.ResourceType{fleet.NodePools}, HasDeletion: true})
	c := cluster(t, s, "a")
	for _, adapter := range []string{"validation", "dns", "backup", "watcher", "pools-only"} {
		c.report(adapter, complete)
	}
	c.is(fleet.Ready, "")
	publishAll(t, s)
	before := c.schedule()

	first := c.delete(false)
	if first.Generation != 2 || first.DeletionAt == nil || first.ResourceVersion != "m2.s5" || first.Status.Phase != fleet.Deleting {
		t.Errorf("deletion started: %+v", first)
	}
	c.is(fleet.Deleting, "backup: not reported, dns: not reported, validation (not registered): not reported")
	if diff := cmp.Diff(before.Wake(first.DeletionAt.Time, fleet.Deletion).Wakes, c.schedule().Wakes); diff != "" || c.schedule().WakeReason != fleet.Deletion || c.schedule().Ready {
		t.Errorf("schedule %+v\n%s", c.schedule(), diff)
	}
	if diff := cmp.Diff(first, c.delete(false)); diff != "" {
		t.Errorf("deleting again changed something:\n%s", diff)
	}
	if _, err := c.patch(func(d *desired.State) { d.Labels = nil }); fleet.ErrorCode(err) != fleet.Conflict {
		t.Errorf("patch while deleting: %v", err)
	}
	if counts, err := s.CountByPhase(t.Context(), clusters, time.Hour); err != nil || counts[fleet.Deleting].All != 1 {
		t.Errorf("counts %v, %v", counts, err)
	}

	_, err := s.Report(t.Context(), clusters, all, c.id, fleet.NewReport{AdapterName: "dns", Phase: complete, ObservedGeneration: 1})
	if err != nil {
		t.Error(err)
	}
	c.report("dns", failed)
	c.is(fleet.Deleting, "dns")
	c.report("dns", complete)
	c.report("validation", complete)
	c.is(fleet.Deleting, "backup: not reported")
	register(t, s, "watcher", fleet.NewAdapterInstance{Instance: "second", ResourceTypes: ofClusters, HasDeletion: true})
	c.report("backup", complete)
	c.is(fleet.Deleting, "watcher: not reported") // it has something to do since
	c.report("watcher", complete)
	c.is(fleet.Deleted, "")

	stone := c.get()
	if stone.Generation != 2 || stone.ResourceVersion != "m3.s10" || stone.UpdatedAt != *stone.DeletedAt {
		t.Errorf("tombstone %+v", stone)
	}
	_, err = s.Report(t.Context(), clusters, all, c.id, fleet.NewReport{AdapterName: "watcher", Phase: complete})
	wantCode(t, err, fleet.NotFound)
	wantCode(t, remove(t, s, all, c.id, false), fleet.NotFound)
	if due := dueIDs(t, s, schedule.Query{}); len(due) != 0 {
		t.Errorf("due: %v", due)
	}
	create(t, s, "a", nil) // its name is free
}

func TestWhatHasNoJobIsDeletedAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	silent, waiting, worked := cluster(t, s, "silent"), cluster(t, s, "waiting"), cluster(t, s, "worked")
	waiting.report("dns", pending)
	waiting.report("extra", pending)
	worked.report("dns", running)
	worked.mustPatch(func(d *desired.State) { d.Spec = json.RawMessage(`{"n":1}`) })
	worked.report("dns", pending) // its latest is Pending, but there was a Job
	for _, c := range []on{silent, waiting} {
		if r := c.delete(false); r.DeletedAt == nil || r.Status.Phase != fleet.Deleted || r.Generation != 2 || !strings.HasPrefix(r.ResourceVersion, "m2.") {
			t.Errorf("%+v", r)
		}
	}
	if r := worked.delete(false); r.Status.Phase != fleet.Deleting {
		t.Errorf("%+v", r)
	}
	if r := worked.delete(true); r.Status.Phase != fleet.Deleted || r.Generation != 3 {
		t.Errorf("forced: %+v", r)
	}
}

// TestWhatAnOlderVersionReportedIsNotOverlooked: the version before knew
// nothing of the column worked, and its reports leave it as it is.
func TestWhatAnOlderVersionReportedIsNotOverlooked(t *testing.T) {
	t.Parallel()
	s := open(t)
	atWork, wasAtWork := cluster(t, s, "at-work"), cluster(t, s, "was-at-work")
	for _, c := range []on{atWork, wasAtWork} {
		c.report("dns", running)
	}
	wasAtWork.mustPatch(func(d *desired.State) { d.Spec = json.RawMessage(`{"n":1}`) })
	wasAtWork.report("dns", pending)
	if _, err := s.db.DB.ExecContext(t.Context(), `UPDATE clusters SET worked = false`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []on{atWork, wasAtWork} {
		if r := c.delete(false); r.Status.Phase != fleet.Deleting {
			t.Errorf("%s has a Job and is %s", r.Name, r.Status.Phase)
		}
	}
}

func TestACascadeTakesThePoolsFirst(t *testing.T) {
	t.Parallel()
	roles := pgdev.DatabaseRoles(t)
	migrate(t, roles.Owner)
	log := &bytes.Buffer{}
	s := openWith(t, Config{URL: roles.Application, Log: slog.New(slog.NewTextHandler(log, nil))})
	c := cluster(t, s, "a")
	one, two, three := c.pool("one"), c.pool("two"), c.pool("three")
	for _, r := range []on{c, one, two} {
		r.report("validation", running)
	}
	two.mustPatch(func(d *desired.State) { d.Paused = true })
	c.mustPatch(func(d *desired.State) { d.Paused = true })

	if r := c.delete(false); r.Status.Phase != fleet.Deleting || r.Paused {
		t.Errorf("%+v", r)
	}
	for r, change := range map[on]string{
		c: "from=Provisioning to=Deleting", one: "from=Provisioning to=Deleting", two: "from=Provisioning to=Deleting", three: "from=Pending to=Deleted",
	} {
		if line := fmt.Sprintf("msg=\"phase changed\" cluster=%s %s\n", r.id, change); strings.Count(log.String(), line) != 1 {
			t.Errorf("the log has not %s once:\n%s", line, log)
		}
	}
	c.is(fleet.Deleting, "NodePool one, NodePool two")
	three.is(fleet.Deleted, "") // no adapter was at work on it
	for _, p := range []on{one, two} {
		if r := p.get(); r.Status.Phase != fleet.Deleting || r.Generation != 2 || r.Paused || p.schedule().WakeAt.IsZero() || p.schedule().Parked {
			t.Errorf("%+v, schedule %+v", r, p.schedule())
		}
	}
	if !c.schedule().Parked {
		t.Errorf("the cluster does not wait for its pools: %+v", c.schedule())
	}
	_, err := s.CreateIn(t.Context(), pools, all, c.id, fleet.NewResource{Name: "late"}, once.Request{})
	wantCode(t, err, fleet.Conflict)
	for _, adapter := range required {
		c.report(adapter, complete) // early: nothing of it ends before its pools
	}
	c.is(fleet.Deleting, "NodePool one, NodePool two")
	if _, err := s.Reconcile(t.Context(), clusters, all, c.id, []string{"dns"}); err != nil {
		t.Error(err)
	}
	if dns, _ := c.get().Status.Adapter("dns"); dns.Phase != pending || dns.AttemptBase != 1 || !c.schedule().Parked {
		t.Errorf("asked for again while it waits: %+v, %+v", dns, c.schedule())
	}
	two.report("validation", complete)
	two.is(fleet.Deleted, "")
	c.is(fleet.Deleting, "NodePool one")
	if !c.schedule().Parked {
		t.Error("the cluster does not wait for its last pool")
	}
	if _, err := s.Reconcile(t.Context(), pools, all, one.id, nil); err != nil {
		t.Error(err)
	}
	one.report("validation", complete)
	one.is(fleet.Deleted, "")
	if got := c.schedule(); got.Parked || got.WakeReason != fleet.Deletion {
		t.Errorf("schedule %+v", got)
	}
	c.report("dns", complete) // the attempt that was asked for
	c.is(fleet.Deleted, "")

	if list, err := s.list(t.Context(), pools, all, resource.Query{Owner: c.id, Deleted: true}); err != nil || len(list.Items) != 3 {
		t.Errorf("tombstones: %d, %v", len(list.Items), err)
	}
}

func TestTheLastPoolMakesItsClusterDue(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	p := c.pool("one")
	c.report("validation", complete)
	p.report("validation", complete)
	p.delete(false) // alone; the cluster lives on
	p.is(fleet.Deleting, "")
	if r := c.delete(false); r.Status.Phase != fleet.Deleting {
		t.Errorf("%+v", r)
	}
	if p.get().Generation != 2 {
		t.Error("the cascade began the deletion of the pool once more")
	}
	wakes := c.schedule().Wakes
	p.report("validation", complete)
	if got := c.schedule(); got.Parked || got.WakeReason != fleet.Deletion || got.Wakes != wakes+1 {
		t.Errorf("schedule %+v", got)
	}
	c.is(fleet.Deleting, "dns (not registered): not reported")
}

func TestForceTakesEverythingNow(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	one, two := c.pool("one"), c.pool("two")
	for _, r := range []on{c, one, two} {
		r.report("validation", running)
	}
	c.delete(false)
	one.delete(true)
	one.is(fleet.Deleted, "")
	c.is(fleet.Deleting, "NodePool two")
	c.delete(true)
	two.is(fleet.Deleted, "")
	c.is(fleet.Deleted, "")
	if two.get().Generation != 2 || c.get().Generation != 2 {
		t.Error("force raised the generation of what was being deleted")
	}
}

func TestProtectionIsRespected(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	p, q := c.pool("one"), c.pool("two")
	protect := func(o on, is bool) { o.mustPatch(func(d *desired.State) { d.Protected = is }) }
	protect(p, true)
	for _, force := range []bool{false, true} {
		for _, o := range []on{c, p} {
			_, err := s.Delete(t.Context(), o.t, all, o.id, desired.Removal{Force: force})
			if fleet.ErrorCode(err) != fleet.Conflict || !strings.Contains(err.Error(), "NodePool one") || strings.Contains(err.Error(), "two") {
				t.Errorf("force %v: %v", force, err)
			}
		}
	}
	protect(c, true)
	protect(p, false)
	if r := q.delete(false); r.DeletedAt == nil {
		t.Error("the protection of a cluster kept its pool")
	}
	wantCode(t, remove(t, s, all, c.id, true), fleet.Conflict)
	protect(c, false)
	if r := c.delete(false); r.DeletedAt == nil {
		t.Errorf("%+v", r)
	}
	p.is(fleet.Deleted, "")
}

func TestPoolsCarryTheShardKeyOfTheirCluster(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	p, paused, deleting := c.pool("one"), c.pool("two"), c.pool("three")
	paused.mustPatch(func(d *desired.State) { d.Paused = true })
	deleting.report("validation", running)
	deleting.delete(false)
	r := p.get()
	if r.Labels["region"] != "us-east" || r.Tenant != "default" || r.Owner == nil || r.Owner.ID != c.id || r.Owner.Kind != "Cluster" || r.Owner.Href != "/v1/clusters/"+c.id {
		t.Errorf("%+v", r)
	}
	_, err := s.CreateIn(t.Context(), pools, all, c.id, fleet.NewResource{Name: "x", Labels: map[string]string{"region": "eu-west"}}, once.Request{})
	wantCode(t, err, fleet.Invalid)
	_, err = p.patch(func(d *desired.State) { d.Labels = map[string]string{"region": "eu-west"} })
	wantCode(t, err, fleet.Invalid)
	if r = p.mustPatch(func(d *desired.State) { d.Labels = map[string]string{"tier": "gold"} }); !cmp.Equal(r.Labels, map[string]string{"tier": "gold", "region": "us-east"}) {
		t.Errorf("labels %v", r.Labels)
	}
	version := r.ResourceVersion
	if r = p.mustPatch(func(d *desired.State) { delete(d.Labels, "region") }); r.ResourceVersion != version {
		t.Errorf("taking away what is inherited changed something: %s", r.ResourceVersion)
	}

	c.mustPatch(func(d *desired.State) { d.Labels = map[string]string{"region": "eu-west", "env": "prod"} })
	for _, o := range []on{p, paused, deleting} {
		var shardKey string
		if err := s.db.DB.GetContext(t.Context(), &shardKey, `SELECT shard_key FROM nodepool_schedule WHERE id = $1`, o.id); err != nil {
			t.Fatal(err)
		}
		if got := o.get(); got.Labels["region"] != "eu-west" || got.Labels["env"] != "" || shardKey != "eu-west" {
			t.Errorf("%s: labels %v, shard key %q", got.Name, got.Labels, shardKey)
		}
	}
	if p.schedule().WakeReason == "" || !paused.schedule().Parked || p.get().ResourceVersion == version {
		t.Errorf("schedules %+v, %+v", p.schedule(), paused.schedule())
	}
	c.mustPatch(func(d *desired.State) { d.Labels = nil })
	if got := p.get().Labels; !cmp.Equal(got, map[string]string{"tier": "gold"}) {
		t.Errorf("labels %v", got)
	}
	_, err = p.patch(func(d *desired.State) { d.Labels = map[string]string{"region": "eu-west"} })
	wantCode(t, err, fleet.Invalid)
}

func TestPoolsAreTheirClustersTenants(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := cluster(t, s, "a")
	_, err := s.CreateIn(t.Context(), pools, tenant.Only("other"), c.id, fleet.NewResource{Name: "x"}, once.Request{})
	wantCode(t, err, fleet.NotFound)
	p := c.pool("x")
	_, err = s.Get(t.Context(), pools, tenant.Only("other"), p.id, false)
	wantCode(t, err, fleet.NotFound)
	other, err := s.Create(t.Context(), clusters, "default", fleet.NewResource{Name: "b"}, once.Request{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateIn(t.Context(), pools, all, other.ID, fleet.NewResource{Name: "x"}, once.Request{})
	wantCode(t, err, fleet.NameTaken)
	for owner, want := range map[string]int{c.id: 1, other.ID: 0} {
		if list, err := s.list(t.Context(), pools, all, resource.Query{Owner: owner}); err != nil || len(list.Items) != want {
			t.Errorf("%d pools, want %d, %v", len(list.Items), want, err)
		}
	}
	once := once.Request{Principal: "p", Route: "r", Key: "k", Body: []byte("b")}
	first, err := s.CreateIn(t.Context(), pools, all, c.id, fleet.NewResource{Name: "y"}, once)
	if err != nil {
		t.Fatal(err)
	}
	c.delete(true)
	again, err := s.CreateIn(t.Context(), pools, all, c.id, fleet.NewResource{Name: "y"}, once)
	if diff := cmp.Diff(first, again); diff != "" || err != nil {
		t.Errorf("the same request, after its cluster has gone: %v\n%s", err, diff)
	}
}

func TestAWalkOverTheRequiredEndsWhatOnlyWaited(t *testing.T) {
	t.Parallel()
	s := open(t)
	register(t, s, "backup", fleet.NewAdapterInstance{ResourceTypes: ofClusters, HasDeletion: true})
	gone, ready, stays := cluster(t, s, "gone"), cluster(t, s, "ready"), cluster(t, s, "stays")
	p := stays.pool("one")
	for _, c := range []on{gone, ready} {
		c.report("validation", complete)
		c.report("dns", complete)
	}
	gone.report("backup", running)
	gone.delete(false)
	gone.report("validation", complete)
	gone.report("dns", complete)
	gone.is(fleet.Deleting, "backup")
	if err := s.UnregisterAdapter(t.Context(), "backup", "no such"); fleet.ErrorCode(err) != fleet.NotFound {
		t.Error(err)
	}
	if err := s.UnregisterAdapter(t.Context(), "backup", ""); err != nil {
		t.Fatal(err)
	}
	version := stays.get().ResourceVersion
	walk := func(walked, changed []int) {
		t.Helper()
		for after, i := "", 0; ; i++ {
			seen, n, next, err := s.RollUp(t.Context(), clusters, after, 2)
			if err != nil || seen != walked[i] || n != changed[i] {
				t.Fatalf("page %d: saw %d, changed %d, %v; want %v, %v", i, seen, n, err, walked, changed)
			}
			if after = next; after == "" {
				return
			}
		}
	}
	walk([]int{2, 1}, []int{1, 0})
	gone.is(fleet.Deleted, "")
	walk([]int{2, 0}, []int{0, 0})
	s.Required[fleet.Clusters] = []string{"validation", "dns", "extra"}
	walk([]int{2, 0}, []int{2, 0})
	ready.is(fleet.Provisioning, "extra")
	if ready.schedule().Ready {
		t.Error("the schedule thinks it is Ready")
	}
	stays.is(fleet.Pending, "extra")
	if stays.get().ResourceVersion == version || p.get().ResourceVersion != "m1.s0" {
		t.Errorf("versions %s, %s", stays.get().ResourceVersion, p.get().ResourceVersion)
	}
}
