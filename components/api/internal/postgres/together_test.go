package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/desired"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/once"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// twin is a fleet with one resource of each kind that matters to a report.
func twin(t *testing.T, s *Store) map[string]string {
	t.Helper()
	ids := map[string]string{"unknown": "01890000-0000-7000-8000-000000000000"}
	for _, name := range []string{"plain", "second", "respecified", "paused", "deleting", "gone"} {
		ids[name] = create(t, s, name, map[string]string{"region": "us-east"}).ID
	}
	foreign, err := s.Create(t.Context(), clusters, "foreign", fleet.NewResource{Name: "foreign"}, once.Request{})
	if err != nil {
		t.Fatal(err)
	}
	ids["foreign"] = foreign.ID
	patch(t, s, ids["respecified"], withSpec(`{"version":"4.21.0"}`))
	patch(t, s, ids["paused"], func(r fleet.Resource) (desired.State, error) {
		return desired.State{Labels: r.Labels, Spec: r.Spec, Paused: true}, nil
	})
	report(t, s, ids["deleting"], fleet.NewReport{AdapterName: "dns", Phase: running})
	for name, how := range map[string]desired.Removal{"deleting": {}, "gone": {Force: true}} {
		if _, err := s.Delete(t.Context(), clusters, all, ids[name], how); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// spoken is a report of the test, on a resource by its name.
type spoken struct {
	name  string
	scope tenant.Scope
	fleet.NewReport
}

// conversation draws reports of which no adapter makes two on one resource.
func conversation(r *rand.Rand) []spoken {
	pick := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	seen := map[string]bool{}
	var out []spoken
	for range 1 + r.IntN(16) {
		n := spoken{name: pick("plain", "plain", "second", "respecified", "respecified", "paused", "deleting", "gone", "foreign", "unknown"), scope: all}
		if r.IntN(6) == 0 {
			n.scope = tenant.Only("default")
		}
		n.AdapterName = pick("validation", "dns", "placement")
		if seen[n.name+n.AdapterName] {
			continue
		}
		seen[n.name+n.AdapterName] = true
		n.Phase = fleet.ReportPhase(pick("Pending", "Running", "Complete", "Complete", "Failed"))
		n.Message, n.Attempt = pick("a", "a", "b"), r.IntN(3)
		n.ObservedGeneration = []int64{0, 0, 0, 0, 1, 2, 3}[r.IntN(7)]
		n.RetryAfter = pick("", "", "", "1m", "2m", "tomorrow")
		n.Data = json.RawMessage(pick(`{}`, `{"k": 1, "l": [2]}`, `{"l":[2],"k":1.0}`))
		if r.IntN(60) == 0 {
			n.Message = "a\x00"
		}
		out = append(out, n)
	}
	return out
}

func submissions(ids map[string]string, said []spoken) []*submission {
	out := make([]*submission, len(said))
	for i, n := range said {
		out[i] = &submission{scope: n.scope, id: ids[n.name], report: n.NewReport}
	}
	return out
}

// TestAGroupDoesWhatReportsAloneDo: two fleets hear the same, one in groups,
// one report by report. Answers and everything stored are the same but for
// ids and moments.
func TestAGroupDoesWhatReportsAloneDo(t *testing.T) {
	t.Parallel()
	a, b := open(t), open(t)
	idsA, idsB := twin(t, a), twin(t, b)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	grouped := 0
	for round := range 40 * rounds(t) {
		said := conversation(r)
		groupA, groupB := submissions(idsA, said), submissions(idsB, said)
		everybody := a.together(t.Context(), clusters, groupA)
		for _, m := range groupA {
			if everybody != nil {
				m.err = everybody
			}
			if errors.Is(m.err, errAlone) {
				m.err = a.alone(t.Context(), clusters, m)
			} else {
				grouped++
			}
			m.err = database.Outward(t.Context(), "report", m.err)
		}
		for i, m := range groupB {
			m.err = database.Outward(t.Context(), "report", b.alone(t.Context(), clusters, m))
			if diff := cmp.Diff(answerOf(m), answerOf(groupA[i])); diff != "" {
				t.Errorf("seed %d, round %d, %+v: alone (-), in a group (+)\n%s", seed, round, said[i], diff)
			}
		}
		if diff := cmp.Diff(everything(t, b), everything(t, a)); diff != "" {
			t.Fatalf("seed %d, round %d, after %+v: alone (-), in groups (+)\n%s", seed, round, said, diff)
		}
		if t.Failed() {
			return
		}
	}
	if grouped < 100 {
		t.Errorf("only %d reports went in groups", grouped)
	}
}

// answerOf is what the caller of a report is told, without ids and moments.
func answerOf(m *submission) string {
	if m.err != nil {
		return string(fleet.ErrorCode(m.err))
	}
	moved := "" // what goes alone goes after its group, which may have moved the phase
	if m.before != m.after {
		moved = fmt.Sprint(m.before, m.after)
	}
	return fmt.Sprint(m.folded, moved, m.out.AdapterName, m.out.Phase, m.out.Message, string(m.out.Data), m.out.ObservedGeneration,
		m.out.Attempt, m.out.AttemptBase, m.out.Reports, m.out.RetryAt != nil)
}

// everything is what the database holds, without ids and moments. Moments of
// one row are compared with each other.
func everything(t *testing.T, s *Store) []string {
	t.Helper()
	var out []string
	for _, text := range []string{
		`SELECT concat_ws(' ', name, generation, desired_version, reports_version, worked, paused, touched_at >= updated_at,
			status->>'phase', status->>'observedGeneration', status->'conditions'->0->>'reason', status->'conditions'->0->>'message',
			(SELECT string_agg(concat_ws('/', a->>'adapter_name', a->>'phase', a->>'attempt', a->>'attempt_base', a->>'message',
				a->>'observed_generation', a->>'retry_at' IS NULL), ',' ORDER BY a->>'adapter_name') FROM jsonb_array_elements(status->'adapters') a))
		 FROM clusters ORDER BY name`,
		`SELECT concat_ws(' ', c.name, s.ready, s.phase, s.generation, s.wakes, s.repeat, s.wake_reason, s.wake_at IS NULL,
			cardinality(s.later), s.base = 'infinity', s.transitioned_at = (c.status->>'lastTransitionTime')::timestamptz, s.wake_at <= s.base)
		 FROM schedule s JOIN clusters c USING (id) ORDER BY c.name`,
		`SELECT concat_ws(' ', c.name, h.adapter_name, h.phase, h.message, h.data, h.observed_generation, h.attempt, h.attempt_base, h.reports,
			h.retry_at IS NULL, h.created_at <= h.last_reported_at)
		 FROM statuses h JOIN clusters c ON c.id = h.cluster_id ORDER BY c.name, h.adapter_name, h.id`,
		`SELECT concat_ws(' ', cluster_id = ANY (array_agg(cluster_id)), count(*) - count(DISTINCT created_at)) FROM statuses GROUP BY cluster_id ORDER BY 1`,
		`SELECT concat_ws(' ', c.name, r.adapter_name, r.message, r.data, h.reports, h.phase)
		 FROM adapter_reports r JOIN clusters c ON c.id = r.cluster_id JOIN statuses h ON h.id = r.status_id ORDER BY c.name, r.adapter_name`,
	} {
		var rows []string
		if err := s.db.DB.SelectContext(t.Context(), &rows, text); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(rows, "\n"))
	}
	return out
}
