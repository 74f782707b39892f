package postgres

import (
	"strings"
	"sync"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestNoRegistrationClosesACircle(t *testing.T) {
	t.Parallel()
	s := open(t)
	say := func(name, instance string, types []fleet.ResourceType, dependencies ...string) error {
		_, err := s.RegisterAdapter(t.Context(), name, fleet.NewAdapterInstance{Instance: instance, ResourceTypes: types, Dependencies: dependencies})
		return err
	}
	ofPools := []fleet.ResourceType{fleet.NodePools}
	for _, err := range []error{
		say("a", "one", ofClusters, "b"),
		say("b", "one", ofClusters, "c", "nobody"),
		say("c", "one", ofClusters),
		say("d", "one", ofClusters, "a", "b"), // two ways to b are no circle
		say("b", "one", ofClusters, "c"),
		say("pools", "one", ofPools, "a"),
		say("a", "two", ofClusters, "pools"), // which on clusters waits for nothing
	} {
		if err != nil {
			t.Error(err)
		}
	}
	err := say("c", "two", ofClusters, "a") // by another instance
	wantCode(t, err, fleet.Conflict)
	if err == nil || !strings.Contains(err.Error(), "c, a, b, c") {
		t.Errorf("it says %v", err)
	}
	if c, err := s.Adapter(t.Context(), "c"); err != nil || len(c.Instances) != 1 || len(c.Dependencies) != 0 {
		t.Errorf("what was refused is %+v, %v", c, err)
	}
	for _, err := range []error{
		say("b", "one", ofClusters), // waits for nobody any more
		say("c", "two", ofClusters, "a"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// TestOfTwoRegistrationsOneClosesTheCircle, and is refused, even at once.
func TestOfTwoRegistrationsOneClosesTheCircle(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range 5 * rounds(t) {
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
			both.Go(func() {
				_, errs[i] = s.RegisterAdapter(t.Context(), pair[0], fleet.NewAdapterInstance{Instance: "x", ResourceTypes: ofClusters, Dependencies: pair[1:]})
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("told %v and %v", errs[0], errs[1])
		}
		for i, name := range []string{"a", "b"} {
			if errs[i] != nil {
				wantCode(t, errs[i], fleet.Conflict)
			} else if err := s.UnregisterAdapter(t.Context(), name, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
}
