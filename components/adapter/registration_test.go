package adapter

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestAnAdapterRegistersAndRenewsThat(t *testing.T) {
	cfg := v1alpha1.AdapterConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "dns-adapter", Namespace: "hyperfleet-system"},
		Spec: v1alpha1.AdapterConfigSpec{AdapterType: "dns", ResourceTypes: []string{"clusters", "nodepools"},
			Criteria: v1alpha1.Criteria{Dependencies: []string{"validation"}}},
	}
	want := fleet.NewAdapterInstance{Instance: "us-east/hyperfleet-system/dns-adapter", Dependencies: []string{"validation"},
		ResourceTypes: []fleet.ResourceType{fleet.Clusters, fleet.NodePools}, DeadLetters: fleet.DeadLetters{Count: 2}}
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		var at []time.Time
		r := &registration{
			name: "dns", instance: instanceOf(cfg, "us-east"), letters: func() fleet.DeadLetters { return fleet.DeadLetters{Count: 2} },
			log: slog.New(slog.NewTextHandler(&said, nil)),
			register: func(_ context.Context, name string, in fleet.NewAdapterInstance) error {
				if in.Version == "" {
					t.Error("without a version")
				}
				in.Version = ""
				if diff := cmp.Diff(want, in); name != "dns" || diff != "" {
					t.Errorf("%s registers (-want +got):\n%s", name, diff)
				}
				if at = append(at, time.Now()); len(at) < 3 {
					return fleet.Errorf(fleet.Unavailable, "the API is away")
				}
				return nil
			},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := r.run(ctx); err != nil {
			t.Error(err)
		}
		if failed := at[2].Sub(at[0]); failed > 2*registerAgain {
			t.Errorf("it tried for the third time after %s", failed)
		}
		if n := len(at); n < 3+4 || n > 3+10 {
			t.Errorf("it registered %d times in 5 minutes", n)
		}
		if text := said.String(); strings.Count(text, "WARN") != 1 || strings.Count(text, "INFO") != 1 {
			t.Errorf("it said\n%s", text)
		}
	})
}
