package adapter

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestACommandIsToldWhatItIsAbout(t *testing.T) {
	a := v1alpha1.AdapterConfig{Spec: v1alpha1.AdapterConfigSpec{
		HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://hyperfleet-api:8080"},
		JobTemplate: v1alpha1.JobTemplate{Command: []string{"/bin/sh", "-c"}, Args: []string{
			`printf '{"message":"%s"}' "$ADAPTER $MODE $CLUSTER_ID $RESOURCE_TYPE $RESOURCE_ID g$GENERATION a$ATTEMPT" > "$TERMINATION_LOG"`,
		}},
	}}
	job := DirJob{Name: "j", Adapter: "dns", Mode: "create", ClusterID: "c", ResourceType: fleet.NodePools, ResourceID: "p", Generation: 2, Attempt: 3, Dir: t.TempDir()}
	said, err := runCommand(t.Context(), a, job, t.TempDir())
	if want := "dns create c nodepools p g2 a3"; err != nil || said.Message != want {
		t.Errorf("it was told %q, %v; want %q", said.Message, err, want)
	}
	if _, err := os.Stat(filepath.Join(job.Dir, "log")); err != nil {
		t.Error(err)
	}
}
