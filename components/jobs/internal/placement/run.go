package placement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Data is what the job returns.
type Data struct {
	ManagementCluster string `json:"managementCluster"`
	Region            string `json:"region"`
	Zone              string `json:"zone"`
	ProviderRegion    string `json:"providerRegion"`
}

// assignments is the file that remembers who is where.
type assignments struct {
	Assignments map[string]Place `json:"assignments"` // by cluster id
}

// want reads from a spec what placement depends on.
func want(c fleet.Resource) (Wanted, error) {
	var spec struct {
		Region       string `json:"region"`
		Provider     string `json:"provider"`
		Architecture string `json:"architecture"`
		NodePools    []struct {
			Zones []string `json:"zones"`
		} `json:"nodePools"`
		Placement struct {
			RequiredLabels    map[string]string `json:"requiredLabels"`
			ManagementCluster string            `json:"managementCluster"`
		} `json:"placement"`
	}
	if err := json.Unmarshal(c.Spec, &spec); err != nil {
		return Wanted{}, fmt.Errorf("read spec: %w", err)
	}
	w := Wanted{Cluster: c.ID, Tenant: c.Tenant, Region: spec.Region, Provider: spec.Provider, Architecture: spec.Architecture,
		RequiredLabels: spec.Placement.RequiredLabels, Pinned: spec.Placement.ManagementCluster}
	for _, p := range spec.NodePools {
		w.Zones = append(w.Zones, p.Zones...)
	}
	return w, nil
}

// Options say where places and explanations are kept.
type Options struct {
	Path        string // who is where
	Explanation string // every candidate with its verdict
	Files       disk.Files
}

// Run chooses c's place, records it and explains it. That no place is free may
// pass; that none would ever do is final.
func Run(ctx context.Context, in Inventory, c fleet.Resource, o Options) (string, Data, error) {
	w, err := want(c)
	if err != nil {
		return "", Data{}, err
	}
	var choice Choice
	var before string
	err = o.change(ctx, func(l *Ledger) error {
		before = l.Of(c.ID).On
		if choice, err = Choose(in, l, w); err == nil {
			l.Put(c.ID, Place{choice.Chosen.Name, c.Tenant})
		}
		return err
	})
	if err != nil {
		return "", Data{}, mayPass(err)
	}
	if err := o.explain(choice); err != nil {
		return "", Data{}, err
	}
	m := choice.Chosen
	message := fmt.Sprintf("placed on %s in %s", m.Name, m.Zone)
	if before != "" && before != m.Name {
		message += ", moved from " + before
	}
	return message, Data{m.Name, m.Region, m.Zone, m.ProviderRegion}, nil
}

// explain writes why the cluster is where it is. One that stays is there for the
// reasons of the time when it came.
func (o Options) explain(c Choice) error {
	old, err := disk.Read(o.Explanation)
	if err != nil || c.Kept && old != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the explanation: %w", err)
	}
	_, err = o.Files.Write(o.Explanation, append(text, '\n'), disk.Readable)
	return err
}

// Release frees the place that Run recorded.
func Release(ctx context.Context, cluster string, o Options) (string, error) {
	var on string
	err := o.change(ctx, func(l *Ledger) error {
		on = l.Of(cluster).On
		l.Remove(cluster)
		return nil
	})
	if err == nil {
		_, err = o.Files.Remove(o.Explanation)
	}
	if err != nil {
		return "", err
	}
	if on == "" {
		return "there was no place", nil
	}
	return "freed the place on " + on, nil
}

// mayPass marks the lack of a place that others may give free.
func mayPass(err error) error {
	none, ok := errors.AsType[NoPlaceError](err)
	if ok && slices.ContainsFunc(none.Candidates, Candidate.mayBecomeFree) {
		return exit.Later(err)
	}
	return err
}

// change edits the places under their lock.
func (o Options) change(ctx context.Context, edit func(*Ledger) error) error {
	unlock, err := o.Files.Lock(ctx, o.Path)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := disk.Read(o.Path)
	if err != nil {
		return err
	}
	var a assignments
	if text != nil {
		if err := json.Unmarshal(text, &a); err != nil {
			return fmt.Errorf("read the assignments in %s: %w", o.Path, err)
		}
	}
	l := NewLedger(a.Assignments)
	if err := edit(l); err != nil {
		return err
	}
	if a.Assignments = l.Places(); len(a.Assignments) == 0 && text == nil {
		return nil
	}
	if text, err = json.MarshalIndent(a, "", "  "); err != nil {
		return fmt.Errorf("encode the assignments: %w", err)
	}
	_, err = o.Files.Write(o.Path, append(text, '\n'), disk.Readable)
	return err
}
