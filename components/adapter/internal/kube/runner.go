package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
)

// callTimeout bounds one call to Kubernetes, the client's own repetitions included.
const callTimeout = 10 * time.Second

// Runner runs Jobs in one namespace. It may serve several adapters at once.
type Runner struct {
	client    kubernetes.Interface
	namespace string
	leader    *Leader
	log       *slog.Logger

	mu      sync.Mutex
	watches map[string]*watch // by adapter, while Run runs
}

// New returns a runner of Jobs in the namespace. Of the replicas that share it,
// the one that leads sees to the ends of Jobs.
func New(client kubernetes.Interface, namespace string, leader *Leader, log *slog.Logger) *Runner {
	return &Runner{client: client, namespace: namespace, leader: leader, log: log, watches: map[string]*watch{}}
}

// InFlight counts the adapter's Jobs whose end was not stored yet, as far as is
// known here.
func (r *Runner) InFlight(adapter string) int {
	r.mu.Lock()
	w := r.watches[adapter]
	r.mu.Unlock()
	if w == nil {
		return 0
	}
	return w.held()
}

// Run watches the adapter's Jobs until ctx ends, and while this replica leads
// gives each end to keeper until that takes it.
func (r *Runner) Run(ctx context.Context, adapter string, keeper jobspec.Keeper) error {
	w, err := newWatch(r, adapter, keeper)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.watches[adapter] != nil {
		r.mu.Unlock()
		return fmt.Errorf("run jobs of adapter %s: they are run already", adapter)
	}
	r.watches[adapter] = w
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watches, adapter)
	}()
	return w.run(ctx)
}
