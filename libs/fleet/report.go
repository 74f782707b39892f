package fleet

import (
	"encoding/json"
	"time"
)

// Report is one entry of a resource's status history: what an adapter said of
// one generation. Identical reports in a row are folded into one entry.
type Report struct {
	ID                 string          `json:"id"`          // UUID version 7
	ClusterID          string          `json:"cluster_id"`  // the cluster that it is about, or whose pool
	ResourceID         string          `json:"resource_id"` // what it is about
	AdapterName        string          `json:"adapter_name"`
	Phase              ReportPhase     `json:"phase"`
	Message            string          `json:"message"`
	LastTransitionTime Time            `json:"last_transition_time"` // as the adapter says; schedules nothing
	ObservedGeneration int64           `json:"observed_generation"`
	Attempt            int             `json:"attempt"`
	AttemptBase        int             `json:"attempt_base"`
	RetryAt            *Time           `json:"retry_at"`   // database clock
	CheckedAt          *Time           `json:"checked_at"` // as the adapter says
	Data               json.RawMessage `json:"data"`       // object, at most 32 KiB
	Reports            int64           `json:"reports"`    // how many were folded into this entry
	CreatedAt          Time            `json:"created_at"`
	LastReportedAt     Time            `json:"last_reported_at"`
}

// MaxRetryAfter is the longest RetryAfter of a report.
const MaxRetryAfter = 30 * 24 * time.Hour

// NewReport is the body with which an adapter reports.
type NewReport struct {
	AdapterName        string          `json:"adapter_name"`
	Phase              ReportPhase     `json:"phase"`
	Message            string          `json:"message,omitempty"`              // at most 4 KiB
	LastTransitionTime *Time           `json:"last_transition_time,omitempty"` // default: when it was stored
	ObservedGeneration int64           `json:"observed_generation,omitempty"`  // default: current
	Attempt            int             `json:"attempt,omitempty"`              // default: the latest of that generation, else 1; the next where one was asked for
	AttemptBase        int             `json:"attempt_base,omitempty"`
	RetryAfter         string          `json:"retry_after,omitempty"` // Go duration from the moment of storing, at most MaxRetryAfter
	CheckedAt          *Time           `json:"checked_at,omitempty"`
	Data               json.RawMessage `json:"data,omitempty"`
}

// ReportPatch is the body that corrects an adapter's latest report.
type ReportPatch struct {
	Message *string         `json:"message,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// ReportList is one page of a resource's history, newest first.
type ReportList struct {
	Kind     string   `json:"kind"`
	Items    []Report `json:"items"`
	Continue string   `json:"continue,omitempty"`
	AsOf     Time     `json:"asOf"`
}
