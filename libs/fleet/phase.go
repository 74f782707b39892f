package fleet

// Phase is where a resource stands as a whole.
type Phase string

// Phases of a resource.
const (
	Pending      Phase = "Pending"
	Provisioning Phase = "Provisioning"
	Ready        Phase = "Ready"
	Failed       Phase = "Failed"
	Deleting     Phase = "Deleting"
	Deleted      Phase = "Deleted"
)

// Phases returns every phase of a resource, in the order of its life.
func Phases() []Phase { return []Phase{Pending, Provisioning, Ready, Failed, Deleting, Deleted} }

// ReportPhase is where one adapter stands with one generation of a resource.
type ReportPhase string

// Phases of a report.
const (
	ReportPending  ReportPhase = "Pending"
	ReportRunning  ReportPhase = "Running"
	ReportComplete ReportPhase = "Complete"
	ReportFailed   ReportPhase = "Failed"
)

// Final says whether the attempt that reported p has ended.
func (p ReportPhase) Final() bool { return p == ReportComplete || p == ReportFailed }
