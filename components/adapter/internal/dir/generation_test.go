package dir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/dir"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// artefact is what every Job of one resource writes, and which of them did.
type artefact struct {
	mu   sync.Mutex
	runs []int64 // generations
}

func (a *artefact) write(_ context.Context, j dir.Job) (dir.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs = append(a.runs, j.Generation)
	return dir.Result{}, nil
}

func (a *artefact) generations() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]int64(nil), a.runs...)
}

func has(root string, j jobspec.Job, file string) bool {
	_, err := os.Stat(filepath.Join(root, j.Name, file))
	return err == nil
}

func TestANewerGenerationCancelsTheOlderJobAndWaitsForIt(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var a artefact
		release := make(chan struct{})
		p := begin(t, root, func(ctx context.Context, j dir.Job) (dir.Result, error) {
			if j.Generation == 2 {
				<-ctx.Done()
				<-release // it takes its time to stop
				return dir.Result{}, ctx.Err()
			}
			return a.write(ctx, j)
		}, nil)
		p.ensure(t, jobOf(2, 1))
		synctest.Wait()
		p.ensure(t, jobOf(3, 1))
		time.Sleep(10 * time.Second)
		if len(a.generations()) > 0 {
			t.Error("the newer job ran beside the older one")
		}
		close(release)
		if end := p.end(t); end.Identity.Generation != 3 || !end.Succeeded {
			t.Errorf("end %+v", end)
		}
		p.stop()
		if len(p.ends) > 0 {
			t.Errorf("the cancelled job was reported: %+v", <-p.ends)
		}
		if has(root, jobOf(2, 1), "result.json") || !has(root, jobOf(2, 1), "reported") {
			t.Error("the cancelled job has a result, or will run again")
		}
	})
}

func TestAJobThatHasItsResultIsReportedThoughANewerOneCame(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		p := begin(t, root, succeed, func(e jobspec.End) error {
			if away.Load() && e.Identity.Generation == 2 {
				return errors.New("away")
			}
			return nil
		})
		p.ensure(t, jobOf(2, 1))
		synctest.Wait()
		p.ensure(t, jobOf(3, 1))
		if end := p.end(t); end.Identity.Generation != 3 {
			t.Errorf("end %+v: an end that is not taken holds up the newer job", end)
		}
		away.Store(false)
		if end := p.end(t); end.Identity.Generation != 2 || !end.Succeeded {
			t.Errorf("end %+v", end)
		}
		p.stop()
	})
}

func TestAnOlderJobThatAppearsLateDoesNotRun(t *testing.T) {
	for name, restart := range map[string]bool{"in the same process": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var a artefact
				p := begin(t, root, a.write, nil)
				p.ensure(t, jobOf(3, 1))
				p.end(t)
				if restart {
					p.stop()
					p = begin(t, root, a.write, nil)
				}
				synctest.Wait()
				p.ensure(t, jobOf(2, 1))
				synctest.Wait()
				p.stop()
				if got := a.generations(); len(got) != 1 || got[0] != 3 || len(p.ends) > 0 {
					t.Errorf("generations %v ran and %d ends came", got, len(p.ends))
				}
			})
		})
	}
}

func TestOfTheJobsThatACrashLeftOnlyTheNewestRuns(t *testing.T) {
	root := t.TempDir()
	for generation := range int64(12) { // by name, g10 comes before g2
		if _, err := dir.New(root, succeed, quiet).Ensure(t.Context(), jobOf(generation+1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var a artefact
		p := begin(t, root, a.write, nil)
		p.end(t)
		synctest.Wait()
		p.stop()
		if got := a.generations(); len(got) != 1 || got[0] != 12 {
			t.Errorf("generations %v ran, want the newest alone", got)
		}
	})
}

func TestADirectoryIsRemovedWhenItsTimeIsOver(t *testing.T) {
	root := t.TempDir()
	p := begin(t, root, succeed, nil)
	for _, j := range []jobspec.Job{job(1), job(2)} {
		p.ensure(t, j)
		p.end(t)
	}
	p.stop()
	never := dir.New(root, succeed, quiet) // a job that nobody has run
	if _, err := never.Ensure(t.Context(), job(3)); err != nil {
		t.Fatal(err)
	}
	age := func(j jobspec.Job, file string, ago time.Duration) {
		at := time.Now().Add(-ago)
		if err := os.Chtimes(filepath.Join(root, j.Name, file), at, at); err != nil {
			t.Fatal(err)
		}
	}
	age(job(1), "reported", 61*time.Minute)
	age(job(2), "reported", 59*time.Minute)
	age(job(3), "job.json", 100*time.Hour)
	p = begin(t, root, succeed, nil)
	p.end(t)
	p.stop()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || has(root, job(1), "job.json") || !has(root, job(2), "job.json") || !has(root, job(3), "reported") {
		t.Errorf("left: %v", entries)
	}
}
