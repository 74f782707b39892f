package fleet

import (
	"slices"
	"testing"
)

func TestParticipants(t *testing.T) {
	t.Parallel()
	of := func(deletes bool, types ...ResourceType) AdapterInstance {
		return AdapterInstance{NewAdapterInstance: NewAdapterInstance{ResourceTypes: types, HasDeletion: deletes}}
	}
	known := []Adapter{
		{Name: "required", RequiredFor: []ResourceType{Clusters}},
		{Name: "required-of-pools", RequiredFor: []ResourceType{NodePools}},
		{Name: "undoes", Instances: []AdapterInstance{of(false, NodePools), of(true, Clusters)}},
		{Name: "undoes-pools", Instances: []AdapterInstance{of(true, NodePools), of(false, Clusters)}},
		{Name: "watches", Instances: []AdapterInstance{of(false, Clusters)}},
	}
	var all []AdapterStatus
	for _, a := range known {
		all = append(all, AdapterStatus{AdapterName: a.Name})
	}
	for _, test := range []struct {
		name     string
		t        ResourceType
		reported []AdapterStatus
		want     []string
	}{
		{"what is required takes part, reported or not", Clusters, nil, []string{"required"}},
		{"and what has something to undo, once it has reported", Clusters, all, []string{"required", "undoes"}},
		{"each type has its own", NodePools, all, []string{"required-of-pools", "undoes-pools"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range Participants(test.t, known, test.reported) {
				got = append(got, a.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("take part: %v, want %v", got, test.want)
			}
		})
	}
}

// TestOwnersHaveNoOwner: locks and cascades know one level.
func TestOwnersHaveNoOwner(t *testing.T) {
	t.Parallel()
	seen := map[ResourceType]bool{}
	for _, info := range Types() {
		if owner, ok := info.Owner.Info(); info.Owner != "" && (!ok || owner.Owner != "" || !seen[info.Owner]) {
			t.Errorf("%s belongs to %q, which is no type before it without an owner", info.Type, info.Owner)
		}
		seen[info.Type] = true
		for _, owned := range info.Type.Owned() {
			if owned.Owner != info.Type {
				t.Errorf("%s does not belong to %s", owned.Type, info.Type)
			}
		}
	}
}
