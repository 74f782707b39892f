package postgres

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/schedule"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// modelled is what the test knows of one resource: its schedule by the
// vocabulary's pure functions, never read from the database.
type modelled struct {
	id       string
	labels   map[string]string
	schedule fleet.Schedule
	required []string
	paused   bool
	deleting bool
	worked   bool // more than Pending was reported
	heard    map[string]bool
	reports  map[string]said // by adapter, of the current generation
}

// said is an adapter's latest report.
type said struct {
	phase         fleet.ReportPhase
	attempt, base int
}

// complete says whether all of the adapters are.
func (m *modelled) complete(adapters ...string) bool {
	for _, a := range adapters {
		if m.reports[a].phase != complete {
			return false
		}
	}
	return true
}

func (m *modelled) ready() bool { return !m.deleting && m.complete(m.required...) }

// over says whether the deletion is: extra takes part once it was heard.
func (m *modelled) over() bool {
	part := m.required
	if m.heard["extra"] {
		part = append(part[:len(part):len(part)], "extra")
	}
	return m.deleting && m.complete(part...)
}

// read is a token with what the pure functions said when it was read.
type read struct {
	id, token string
	wakes     int64
	woken     bool
}

// world is a random history of operations, told to the store and to the model.
type world struct {
	t         *testing.T
	s         *Store
	r         *rand.Rand
	kind      fleet.TypeInfo
	owners    map[string]string // ids of clusters by region, for what has owners
	resources []*modelled
	tokens    []read
}

var regions = []string{"us-east", "eu-west", "ap-south"}

// TestScheduleIsWhatThePureFunctionsSay runs random operations; after each the
// row is what fleet.Schedule says, and due lists are what its Due says. Times
// are moved in whole hours, so that the seconds that the test takes decide nothing.
func TestScheduleIsWhatThePureFunctionsSay(t *testing.T) {
	t.Parallel()
	for _, kind := range fleet.Types() {
		t.Run(string(kind.Type), func(t *testing.T) {
			t.Parallel()
			liveThrough(t, kind)
		})
	}
}

func liveThrough(t *testing.T, kind fleet.TypeInfo) {
	for range rounds(t) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		w := &world{t: t, s: open(t), r: rand.New(rand.NewPCG(seed, 0)), kind: kind, owners: map[string]string{}}
		register(t, w.s, "extra", fleet.NewAdapterInstance{ResourceTypes: []fleet.ResourceType{fleet.Clusters, fleet.NodePools}, HasDeletion: true})
		for range 8 {
			w.create()
		}
		operations := []func(){w.create, w.report, w.report, w.report, w.patchSpec, w.patchLabels, w.age, w.age, w.age, w.due, w.due, w.publish, w.publish,
			w.delete, w.pause, w.pause, w.reconcile, w.createPaused}
		for range 250 {
			pickOne(w.r, operations)()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
		w.due()
	}
}

func pickOne[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (w *world) any() *modelled { return pickOne(w.r, w.resources) }

func (w *world) labels() map[string]string {
	set := map[string]string{}
	if w.r.IntN(5) > 0 {
		set["region"] = pickOne(w.r, append(regions, ""))
	}
	if w.r.IntN(2) > 0 {
		set["env"] = pickOne(w.r, []string{"prod", "dev"})
	}
	return set
}

// check compares a row with its model.
func (w *world) check(doing string, m *modelled) {
	w.t.Helper()
	if diff := gocmp.Diff(m.schedule, w.on(m).schedule()); diff != "" {
		w.t.Errorf("after %s (-model +row):\n%s", doing, diff)
	}
}

func (w *world) on(m *modelled) on { return on{w.t, w.s, w.kind, m.id} }

// age lets hours pass for one row.
func (w *world) age() {
	m := w.any()
	d := time.Duration(w.r.IntN(4)) * time.Hour
	if _, err := w.s.db.DB.ExecContext(w.t.Context(), `UPDATE `+tablesOf(w.t, w.kind).Schedule+` SET base = base - $2 * interval '1 hour', wake_at = wake_at - $2 * interval '1 hour',
		later = (SELECT array_agg(m - $2 * interval '1 hour') FROM unnest(later) m) WHERE id = $1`, m.id, int(d/time.Hour)); err != nil {
		w.t.Fatal(err)
	}
	if !m.schedule.Parked {
		m.schedule.Base = m.schedule.Base.Add(-d)
	}
	if !m.schedule.WakeAt.IsZero() {
		m.schedule.WakeAt = m.schedule.WakeAt.Add(-d)
	}
	for i, at := range m.schedule.Later {
		m.schedule.Later[i] = at.Add(-d)
	}
	w.check("hours", m)
}

func (w *world) backoff() fleet.Backoff {
	hours := []time.Duration{0, time.Hour, 2 * time.Hour, 6 * time.Hour}
	return fleet.Backoff{NotReady: pickOne(w.r, hours), Ready: pickOne(w.r, hours)}
}

var selectors = []string{
	"", "region=us-east", "region in (eu-west,ap-south)", "region!=us-east", "!region", "region=", "region",
	"env=prod", "region=us-east,env!=prod", "region notin (us-east,eu-west),!env", "region=a,region=b", "region=nowhere",
}

// due compares a whole walk, whatever the size of its pages, with the model.
func (w *world) due() {
	selector, err := labels.Parse(pickOne(w.r, selectors))
	if err != nil {
		w.t.Fatal(err)
	}
	q := schedule.Query{Selector: selector, Backoff: w.backoff(), Limit: 1 + w.r.IntN(20)}
	q.Woken, q.Expired = w.r.IntN(3) > 0, w.r.IntN(3) > 0
	items := walkDueOf(w.t, w.s, w.kind, q)
	at := now(w.t, w.s)
	want := w.expected(q, at)
	got := []string{}
	for _, item := range items {
		got = append(got, item.ID+" "+string(item.Reason))
		if i := slices.IndexFunc(w.resources, func(m *modelled) bool { return m.id == item.ID }); i >= 0 { // others are told below
			w.tokens = append(w.tokens, read{item.ID, item.Token, w.resources[i].schedule.Wakes, item.Reason != fleet.BackoffExpired})
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.t.Errorf("due list of %q, %+v (-model +list):\n%s", selector, q, diff)
	}
}

func (w *world) expected(q schedule.Query, at time.Time) []string {
	type one struct {
		part  int
		dueAt time.Time
		text  string
	}
	var list []one
	for _, m := range w.resources {
		reason, due := m.schedule.Due(q.Backoff, at)
		expired := reason == fleet.BackoffExpired
		if !due || !q.Selector.Matches(labels.Set(m.labels)) || (q.Woken != q.Expired && expired != q.Expired) {
			continue
		}
		o := one{dueAt: m.schedule.WakeAt, text: m.id + " " + string(reason)}
		if expired {
			o.part, o.dueAt = 1, m.schedule.Base.Add(q.Backoff.For(m.schedule.Ready))
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b one) int {
		return cmp.Or(a.part-b.part, a.dueAt.Compare(b.dueAt), strings.Compare(a.text, b.text))
	})
	out := []string{}
	for _, o := range list {
		out = append(out, o.text)
	}
	return out
}

// publish records random tokens: fresh, stale, repeated, of rows that are gone.
func (w *world) publish() {
	if len(w.tokens) == 0 {
		return
	}
	b := w.backoff()
	newest := map[string]read{}
	var tokens []string
	for range 1 + w.r.IntN(5) {
		k := w.tokens[max(0, len(w.tokens)-1-w.r.IntN(30))]
		tokens = append(tokens, k.token)
		if had, ok := newest[k.id]; ok && (had.wakes > k.wakes || had.wakes == k.wakes && had.woken) {
			k = had
		}
		newest[k.id] = k
	}
	before := now(w.t, w.s)
	if err := w.s.Published(w.t.Context(), w.kind, tokens, b); err != nil {
		w.t.Fatal(err)
	}
	after := now(w.t, w.s)
	for _, m := range w.resources {
		k, ok := newest[m.id]
		if !ok || m.schedule.Parked {
			w.check("publishing others", m)
			continue
		}
		at := w.on(m).schedule().Base // its moment is not told, but follows from the new base
		if !m.schedule.Ready {
			at = at.Add(-b.NotReady * time.Duration(1<<m.schedule.Repeat-1))
		}
		if at.Before(before) || at.After(after) {
			w.t.Errorf("published between %v and %v, but the base says at %v", before, after, at)
		}
		m.schedule = m.schedule.Published(b, k.wakes, k.woken, at)
		w.check("publishing", m)
	}
}
