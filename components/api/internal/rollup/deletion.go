package rollup

import (
	"slices"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Deletion is what the end of a resource depends on besides its reports.
type Deletion struct {
	Participants []fleet.Adapter // see [fleet.Participants]
	Owned        []string        // kind and name of what belongs to it and is not deleted yet
}

// Over says whether nothing is left to do: nothing belongs to the resource, and
// every participant is Complete for the generation of the deletion.
func Over(in Input) bool {
	if in.Deletion == nil || len(in.Deletion.Owned) > 0 {
		return false
	}
	for _, a := range in.Deletion.Participants {
		reports := in.current([]string{a.Name})
		if len(reports) == 0 || reports[0].Phase != fleet.ReportComplete {
			return false
		}
	}
	return true
}

// progress says what the deletion waits for.
func (d Deletion) progress(in Input) (reason, message string) {
	if len(d.Owned) > 0 {
		return "WaitingForOwned", strings.Join(d.Owned, ", ")
	}
	var failed, working, silent []string
	for _, a := range d.Participants {
		said := a.Name
		if !a.Registered() { // what it depends on is unknown, and that waits for it
			said += " (not registered)"
		}
		reports := in.current([]string{a.Name})
		switch {
		case len(reports) == 0:
			silent = append(silent, said+": not reported")
		case reports[0].Phase == fleet.ReportFailed:
			failed = append(failed, strings.TrimSuffix(said+": "+reports[0].Message, ": "))
		case reports[0].Phase != fleet.ReportComplete:
			working = append(working, said+": "+string(reports[0].Phase))
		}
	}
	if len(failed) > 0 {
		return "AdapterFailed", strings.Join(failed, "; ")
	}
	return "WaitingForAdapters", strings.Join(slices.Concat(working, silent), ", ")
}
