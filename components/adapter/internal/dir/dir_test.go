package dir_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/dir"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func job(attempt int) jobspec.Job { return jobOf(2, attempt) }

func jobOf(generation int64, attempt int) jobspec.Job {
	id := jobspec.Identity{Adapter: "dns", ResourceType: fleet.Clusters, ResourceID: "0190b6a0-1234-7000-8000-0000000000aa",
		Generation: generation, Attempt: attempt, Mode: "create"}
	name, err := id.Name()
	if err != nil {
		panic(err)
	}
	return jobspec.Job{Name: name, Identity: id, AttemptBase: 1, Deadline: time.Minute, TTL: time.Hour, Input: map[string][]byte{
		"cluster.json":           []byte(`{"id":"0190b6a0-1234-7000-8000-0000000000aa","name":"prod-7"}`),
		jobspec.DependenciesFile: []byte(`{"validation":{"policies":4}}`),
	}}
}

// taker takes the ends of Jobs.
type taker func(jobspec.End) error

func (f taker) Ended(_ context.Context, e jobspec.End) error { return f(e) }

func (taker) Wanted(context.Context, jobspec.Identity) (bool, error) { return true, nil }

// process is one run of a runner, as one process would have it.
type process struct {
	*dir.Runner
	ends chan jobspec.End
	stop func() error // ends it and waits
}

// begin starts a process over root; take decides on each end.
func begin(t *testing.T, root string, exec dir.Exec, take func(jobspec.End) error) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{Runner: dir.New(root, exec, quiet), ends: make(chan jobspec.End, 100)}
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, "dns", taker(func(e jobspec.End) error {
			if take != nil {
				if err := take(e); err != nil {
					return err
				}
			}
			p.ends <- e
			return nil
		}))
	}()
	p.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *process) ensure(t *testing.T, j jobspec.Job) bool {
	t.Helper()
	created, err := p.Ensure(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// end waits for the next end that is taken.
func (p *process) end(t *testing.T) jobspec.End {
	t.Helper()
	select {
	case e := <-p.ends:
		return e
	case <-time.After(2 * time.Minute):
		t.Fatal("no job ended")
		return jobspec.End{}
	}
}

func succeed(context.Context, dir.Job) (dir.Result, error) {
	return dir.Result{Message: "done", Data: json.RawMessage(`{"a":1}`)}, nil
}

func TestAJobRunsOnceAndLeavesItsFiles(t *testing.T) {
	root := filepath.Join(t.TempDir(), "jobs")
	var runs atomic.Int32
	p := begin(t, root, func(_ context.Context, j dir.Job) (dir.Result, error) {
		runs.Add(1)
		j.Log.Info("at work")
		if j.Name != job(3).Name || j.Adapter != "dns" || j.ClusterID != j.Cluster.ID || j.Generation != 2 || j.Attempt != 3 || j.Mode != "create" ||
			j.Cluster.Name != "prod-7" || string(j.Dependencies["validation"]) != `{"policies":4}` || j.Dir != filepath.Join(root, j.Name) {
			t.Errorf("job %+v", j)
		}
		return succeed(t.Context(), j)
	}, nil)
	if !p.ensure(t, job(3)) {
		t.Error("the first Ensure did not create the job")
	}
	if p.ensure(t, job(3)) {
		t.Error("the second Ensure created the job again")
	}
	end := p.end(t)
	if !end.Succeeded || end.Message != "done" || string(end.Data) != `{"a":1}` || end.Identity != job(3).Identity || end.AttemptBase != 1 || end.Ended.Before(end.Started) {
		t.Errorf("end %+v", end)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	for _, f := range []string{"cluster.json", "dependencies.json", "job.json", "result.json", "log", "reported"} {
		if _, err := os.Stat(filepath.Join(root, job(3).Name, f)); err != nil {
			t.Error(err)
		}
	}
	if log, _ := os.ReadFile(filepath.Join(root, job(3).Name, "log")); !strings.Contains(string(log), "at work") {
		t.Errorf("log %q", log)
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
	if entries, _ := os.ReadDir(root); len(entries) != 1 {
		t.Errorf("left in the directory of jobs: %v", entries)
	}
}

func TestAJobAboutAPoolSeesThePoolAndItsCluster(t *testing.T) {
	j := job(1)
	j.Identity.ResourceType, j.Identity.ResourceID = fleet.NodePools, "0190b6a0-1234-7000-8000-0000000000bb"
	j.Input["nodepool.json"] = []byte(`{"id":"0190b6a0-1234-7000-8000-0000000000bb","name":"workers"}`)
	seen := make(chan dir.Job, 1)
	p := begin(t, t.TempDir(), func(_ context.Context, in dir.Job) (dir.Result, error) {
		seen <- in
		return dir.Result{}, nil
	}, nil)
	p.ensure(t, j)
	p.end(t)
	in := <-seen
	if in.ClusterID != "0190b6a0-1234-7000-8000-0000000000aa" || in.Cluster.Name != "prod-7" || in.NodePool == nil || in.NodePool.Name != "workers" {
		t.Errorf("the job was given %+v", in)
	}
}

func TestOfManyOnlyOneCreatesAJob(t *testing.T) {
	root := t.TempDir()
	var created, runs atomic.Int32
	var all sync.WaitGroup
	runners := []*dir.Runner{dir.New(root, succeed, quiet), dir.New(root, succeed, quiet)} // as two processes would
	for i := range 32 {
		all.Go(func() {
			ok, err := runners[i%2].Ensure(t.Context(), job(1))
			if err != nil {
				t.Error(err)
			}
			if ok {
				created.Add(1)
			}
		})
	}
	all.Wait()
	p := begin(t, root, func(ctx context.Context, j dir.Job) (dir.Result, error) { runs.Add(1); return succeed(ctx, j) }, nil)
	p.ensure(t, job(1))
	p.end(t)
	p.stop()
	if created.Load() != 1 || runs.Load() != 1 {
		t.Errorf("created %d times, run %d times", created.Load(), runs.Load())
	}
}

func TestAForeignDirectoryIsLeftAlone(t *testing.T) {
	root := t.TempDir()
	other := job(1)
	other.Identity.Generation = 7 // another identity under the same name
	for name, prepare := range map[string]func() error{
		"another identity": func() error { _, err := dir.New(root, succeed, quiet).Ensure(t.Context(), other); return err },
		"no job at all":    func() error { return os.Mkdir(filepath.Join(root, job(2).Name), 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := prepare(); err != nil {
				t.Fatal(err)
			}
			j := job(1)
			if name == "no job at all" {
				j = job(2)
			}
			if created, err := dir.New(root, succeed, quiet).Ensure(t.Context(), j); created || !errors.Is(err, jobspec.ErrForeign) {
				t.Errorf("%t, %v", created, err)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		name string
		exec dir.Exec
		want string
	}{
		{"an error is the message", func(context.Context, dir.Job) (dir.Result, error) { return dir.Result{}, errors.New("no such zone") }, "no such zone"},
		{"a panic is the job's failure", func(context.Context, dir.Job) (dir.Result, error) { panic("oh") }, "the job panicked: oh"},
		{"a job that takes too long fails", func(ctx context.Context, _ dir.Job) (dir.Result, error) { <-ctx.Done(); return dir.Result{}, ctx.Err() },
			"did not end within 1m0s: context deadline exceeded"},
		{"data that is not JSON is a failure", func(context.Context, dir.Job) (dir.Result, error) {
			return dir.Result{Data: json.RawMessage(`{`)}, nil
		}, "the job's data is not JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				p := begin(t, root, tc.exec, nil)
				p.ensure(t, job(1))
				if end := p.end(t); end.Succeeded || end.Message != tc.want {
					t.Errorf("end %+v", end)
				}
				p.stop()
			})
		})
	}
}

func TestAnEndIsOfferedUntilItIsTaken(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		left := 5
		p := begin(t, root, succeed, func(jobspec.End) error {
			if left--; left > 0 {
				return errors.New("the API is away")
			}
			return nil
		})
		p.ensure(t, job(1))
		p.end(t)
		synctest.Wait()
		if n := p.InFlight("dns"); n != 0 {
			t.Errorf("%d in flight", n)
		}
		p.stop()
	})
}

func TestAfterARestart(t *testing.T) {
	t.Run("an end that was not taken is offered, without running again", func(t *testing.T) {
		root := t.TempDir()
		offered := make(chan struct{}, 100)
		p := begin(t, root, succeed, func(jobspec.End) error { offered <- struct{}{}; return errors.New("away") })
		p.ensure(t, job(1))
		<-offered
		p.stop()
		p = begin(t, root, func(context.Context, dir.Job) (dir.Result, error) { panic("run again") }, nil)
		if end := p.end(t); !end.Succeeded || end.Message != "done" {
			t.Errorf("end %+v", end)
		}
	})
	t.Run("a job that was cut off is run again", func(t *testing.T) {
		root := t.TempDir()
		started := make(chan struct{})
		p := begin(t, root, func(ctx context.Context, _ dir.Job) (dir.Result, error) {
			close(started)
			<-ctx.Done()
			return dir.Result{}, ctx.Err()
		}, nil)
		p.ensure(t, job(1))
		<-started
		p.stop()
		if len(p.ends) > 0 {
			t.Fatalf("a job that was cut off ended: %+v", <-p.ends)
		}
		p = begin(t, root, succeed, nil)
		if end := p.end(t); !end.Succeeded {
			t.Errorf("end %+v", end)
		}
	})
	t.Run("an end that was taken is not offered again, until its Job is asked for", func(t *testing.T) {
		root := t.TempDir()
		p := begin(t, root, succeed, nil)
		p.ensure(t, job(1))
		p.end(t)
		p.stop()
		p = begin(t, root, func(context.Context, dir.Job) (dir.Result, error) { panic("run again") }, nil)
		p.ensure(t, job(2)) // so that something ends
		if end := p.end(t); end.Identity.Attempt != 2 {
			t.Errorf("end %+v", end)
		}
		if p.ensure(t, job(1)) {
			t.Error("created again")
		}
		if end := p.end(t); end.Identity.Attempt != 1 || !end.Succeeded {
			t.Errorf("end %+v", end)
		}
	})
	t.Run("what never became a job is removed, other adapters' jobs are left alone", func(t *testing.T) {
		root := t.TempDir()
		for _, d := range []string{".new-dns_1", ".new-dns-x_1"} {
			if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		other := job(1)
		other.Identity.Adapter, other.Name = "placement", strings.Replace(other.Name, "dns", "placement", 1)
		p := begin(t, root, succeed, nil)
		p.ensure(t, other)
		p.ensure(t, job(1))
		if end := p.end(t); end.Identity.Adapter != "dns" {
			t.Errorf("end %+v", end)
		}
		p.stop()
		if _, err := os.Stat(filepath.Join(root, ".new-dns_1")); err == nil {
			t.Error("an unfinished directory is still there")
		}
		if _, err := os.Stat(filepath.Join(root, ".new-dns-x_1")); err != nil {
			t.Error(err)
		}
		if len(p.ends) > 0 {
			t.Errorf("another adapter's job was run: %+v", <-p.ends)
		}
	})
}

func TestShutdownDoesNotWaitForAJobThatDoesNotStop(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		release, started := make(chan struct{}), make(chan struct{})
		p := begin(t, root, func(context.Context, dir.Job) (dir.Result, error) {
			close(started)
			<-release
			return dir.Result{}, nil
		}, nil)
		p.ensure(t, job(1))
		<-started
		at := time.Now()
		p.stop()
		if took := time.Since(at); took > 10*time.Second {
			t.Errorf("shutdown took %s", took)
		}
		if _, err := os.Stat(filepath.Join(root, job(1).Name, "result.json")); err == nil {
			t.Error("a job that was left behind has a result")
		}
		close(release)
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	root := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		p := begin(t, root, func(context.Context, dir.Job) (dir.Result, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			now.Add(-1)
			return dir.Result{}, nil
		}, nil)
		for i := range 30 {
			p.ensure(t, job(i+1))
		}
		for range 30 {
			p.end(t)
		}
		p.stop()
		if most.Load() != 8 {
			t.Errorf("%d jobs ran at once, want 8", most.Load())
		}
	})
}
