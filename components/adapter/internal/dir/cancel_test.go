package dir_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/dir"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestCancelStopsTheOlderJobsOfOneResource(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := begin(t, root, func(ctx context.Context, _ dir.Job) (dir.Result, error) {
			<-ctx.Done()
			<-release // it takes its time to stop
			return dir.Result{}, ctx.Err()
		}, nil)
		j := jobOf(2, 1)
		cancel := func(adapter, id string, before int64) bool {
			stopped, err := p.Cancel(t.Context(), adapter, jobspec.Subject{Type: j.Identity.ResourceType, Resource: fleet.Resource{ID: id, Generation: before}})
			return stopped && err == nil
		}
		p.ensure(t, j)
		synctest.Wait()
		for name, stopped := range map[string]bool{
			"its own generation": cancel("dns", j.Identity.ResourceID, 2),
			"another resource":   cancel("dns", "0190b6a0-1234-7000-8000-0000000000ff", 3),
			"another adapter":    cancel("placement", j.Identity.ResourceID, 3),
		} {
			if !stopped {
				t.Errorf("%s is in the way", name)
			}
		}
		synctest.Wait()
		if n := p.InFlight("dns"); n != 1 {
			t.Fatalf("%d jobs in flight", n)
		}
		if cancel("dns", j.Identity.ResourceID, 3) {
			t.Error("a job that is stopping has stopped")
		}
		close(release)
		synctest.Wait()
		if !cancel("dns", j.Identity.ResourceID, 3) || p.InFlight("dns") != 0 {
			t.Error("the job did not stop")
		}
		if !has(root, j, "reported") || has(root, j, "result.json") {
			t.Error("the cancelled job has a result, or would be run again")
		}
		select {
		case end := <-p.ends:
			t.Errorf("its end was reported: %+v", end)
		default:
		}
	})
}
