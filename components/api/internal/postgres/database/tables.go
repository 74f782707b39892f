package database

import (
	"fmt"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Tables are the names that differ between resource types. Statements are
// written with {resources} and so on in their place.
type Tables struct {
	Resources, Statuses, reports, Schedule string
	subject                                string // column with the id of the resource that a report is about
	names                                  *strings.Replacer
}

var byType = map[fleet.ResourceType]Tables{
	fleet.Clusters: named(Tables{
		Resources: "clusters", Statuses: "statuses", reports: "adapter_reports", Schedule: "schedule", subject: "cluster_id",
	}),
	fleet.NodePools: named(Tables{
		Resources: "nodepools", Statuses: "nodepool_statuses", reports: "nodepool_reports", Schedule: "nodepool_schedule", subject: "nodepool_id",
	}),
}

// TablesFor returns the tables of a resource type that the registry knows.
func TablesFor(t fleet.TypeInfo) (Tables, error) {
	names, ok := byType[t.Type]
	if !ok {
		return Tables{}, fmt.Errorf("resource type %q has no tables", t.Type)
	}
	return names, nil
}

// SQL puts the names into a statement.
func (t Tables) SQL(text string) string { return t.names.Replace(text) }

// SQLs is a statement for every resource type that has tables: what requests ask
// for most is not put together for each of them.
func SQLs(text string) map[fleet.ResourceType]string {
	all := map[fleet.ResourceType]string{}
	for t, names := range byType {
		all[t] = names.SQL(text)
	}
	return all
}

// named makes the replacement once: every request asks for it.
func named(t Tables) Tables {
	t.names = strings.NewReplacer("{resources}", t.Resources, "{statuses}", t.Statuses,
		"{reports}", t.reports, "{schedule}", t.Schedule, "{subject}", t.subject)
	return t
}
