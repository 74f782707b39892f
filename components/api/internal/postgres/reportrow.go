package postgres

import (
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

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
		Attempt: r.Attempt, AttemptBase: r.AttemptBase, RetryAt: database.Optional(r.RetryAt), CheckedAt: database.Optional(r.CheckedAt),
		Data: r.Data, Reports: r.Reports, CreatedAt: fleet.At(r.CreatedAt), LastReportedAt: fleet.At(r.LastReportedAt),
	}
}
