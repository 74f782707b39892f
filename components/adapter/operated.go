package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/kube"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/operator"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

const (
	// lookEvery is how often the status is brought up to date, and an adapter that
	// ended by itself is started again.
	lookEvery = 15 * time.Second
	// checkTimeout bounds one look at the broker or the API.
	checkTimeout = 2 * time.Second
)

var (
	errNoConfig   = errors.New("there is no such AdapterConfig")
	errNotStarted = errors.New("not started yet")
)

// Operator runs the adapter that an AdapterConfig in Kubernetes describes, as it
// changes. A change that is invalid is told in the object's status, and the last
// valid one goes on.
type Operator struct {
	cfg    Config // but for the AdapterConfig
	deps   Deps
	object *operator.Object
	leader *kube.Leader
	log    *slog.Logger
}

// NewOperator returns the operator of the AdapterConfig cfg.Name in cfg.Namespace.
// Its Jobs run in the same namespace; deps.Runner is not used.
func NewOperator(cfg Config, cluster *rest.Config, deps Deps) (*Operator, error) {
	cluster = rest.CopyConfig(cluster)
	cluster.QPS, cluster.UserAgent = -1, "hyperfleet-adapter" // what is too much is for Kubernetes to say
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Kubernetes: %w", err)
	}
	log := deps.Log.With("config", cfg.Namespace+"/"+cfg.Name)
	object, err := operator.New(cluster, cfg.Namespace, cfg.Name, log)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this replica: %w", err)
	}
	leader := kube.NewLeader(client, cfg.Namespace, "hyperfleet-adapter-"+cfg.Name, host+"_"+uuid.NewString(), log)
	deps.Runner = kube.New(client, cfg.Namespace, leader, log)
	return &Operator{cfg: cfg, deps: deps, object: object, leader: leader, log: log}, nil
}

// Run follows the AdapterConfig until ctx ends, then returns within 10 seconds.
// Jobs go on meanwhile.
func (o *Operator) Run(ctx context.Context) error {
	configs, leads := make(chan *v1alpha1.AdapterConfig), make(chan struct{}, 1)
	return service.Run(ctx,
		service.Part{Name: "lease", Run: o.leader.Run},
		service.Part{Name: "lead", Run: func(ctx context.Context) error {
			return o.leader.While(ctx, func(ctx context.Context) error {
				select {
				case leads <- struct{}{}:
				case <-ctx.Done():
				}
				<-ctx.Done()
				return nil
			})
		}},
		service.Part{Name: "AdapterConfig " + o.cfg.Name, Run: func(ctx context.Context) error {
			return o.object.Follow(ctx, func(a *v1alpha1.AdapterConfig) {
				select {
				case configs <- a:
				case <-ctx.Done():
				}
			})
		}},
		service.Part{Name: "adapter", Run: func(ctx context.Context) error { return o.serve(ctx, configs, leads) }})
}

func (o *Operator) serve(ctx context.Context, configs <-chan *v1alpha1.AdapterConfig, leads <-chan struct{}) error {
	s := &operated{Operator: o, wrong: errNoConfig}
	if o.deps.Health != nil {
		o.deps.Health.Add("AdapterConfig "+o.cfg.Name, s.check)
	}
	defer s.stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-configs:
			s.take(ctx, a)
		case err := <-s.ended:
			s.fell(ctx, err)
		case <-leads: // what there is to tell was not told by this replica
		case <-look.C:
			s.again(ctx)
		}
		s.tell(ctx)
	}
}

// operated is what an operator has running.
type operated struct {
	*Operator
	object *v1alpha1.AdapterConfig // as it was seen last; nil = there is none
	state  operator.State
	next   *Adapter // is valid, and does not run
	now    *Adapter // runs
	cancel context.CancelFunc
	ended  chan error // what now ended with; nil while none runs

	mu    sync.Mutex
	wrong error // why it is not ready
}

// check says why the adapter is not ready.
func (s *operated) check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

func (s *operated) say(wrong error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = wrong
}

// take judges an AdapterConfig that is new or has changed, and runs it if it is valid.
func (s *operated) take(ctx context.Context, a *v1alpha1.AdapterConfig) {
	before := s.object
	s.object = a
	if a == nil {
		s.log.Info("AdapterConfig is gone")
		s.stop()
		s.next, s.state = nil, operator.State{}
		return
	}
	if before != nil && before.UID == a.UID && before.Generation == a.Generation {
		return // its status
	}
	cfg := s.cfg
	cfg.Adapter = a
	valid, err := New(cfg, s.deps)
	_, broken := compile(*a)
	s.state.Generation, s.state.Invalid, s.state.Preconditions = a.Generation, err, broken
	if err != nil {
		s.log.Warn("AdapterConfig is invalid", "generation", a.Generation, "err", err)
		return
	}
	s.log.Info("AdapterConfig taken", "generation", a.Generation)
	s.stop()
	s.next = valid
	s.start(ctx)
}

// start runs what is valid.
func (s *operated) start(ctx context.Context) {
	s.now, s.next = s.next, nil
	s.state.Runs, s.state.Stopped = true, nil
	ctx, s.cancel = context.WithCancel(ctx)
	ended, a := make(chan error, 1), s.now
	s.ended = ended
	go func() { ended <- a.Run(ctx) }()
}

// stop ends what runs and waits for it.
func (s *operated) stop() {
	if s.now == nil {
		return
	}
	s.cancel()
	if err := <-s.ended; err != nil {
		s.log.Warn("adapter ended", "err", err)
	}
	s.now, s.ended, s.state.Runs = nil, nil, false
}

// fell takes note that the adapter ended by itself.
func (s *operated) fell(ctx context.Context, err error) {
	s.cancel()
	s.next, s.now, s.ended, s.state.Runs, s.state.Stopped = s.now, nil, nil, false, err
	if ctx.Err() == nil {
		s.log.Error("adapter ended", "err", err)
	}
}

// again starts an adapter that ended by itself.
func (s *operated) again(ctx context.Context) {
	if s.now == nil && s.next != nil {
		s.start(ctx)
	}
}

// tell writes the status if it has changed and this replica leads, and says
// whether the adapter is ready.
func (s *operated) tell(ctx context.Context) {
	switch {
	case s.object == nil:
		s.say(errNoConfig)
		return
	case s.now != nil:
		s.say(nil)
	default:
		s.say(cmp.Or(s.state.Invalid, s.state.Stopped, errNotStarted))
	}
	if !s.leader.Leads() {
		return
	}
	if s.now != nil {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		s.state.Broker, s.state.API = s.now.checkBroker(ctx), s.now.reached.check(ctx)
		cancel()
	}
	status, changed := operator.Status(s.object.Status, s.state, time.Now())
	if !changed || ctx.Err() != nil {
		return
	}
	if err := s.Operator.object.Write(ctx, status); err != nil {
		s.log.Warn("status not written", "err", err)
		return
	}
	s.object.Status = status
}
