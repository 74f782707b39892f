package bench

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/hyperfleet/hyperfleet/components/sentinel"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// actAsSentinel makes this program a sentinel that discards its events.
const actAsSentinel = "BENCH_ACT_AS_SENTINEL"

func TestMain(m *testing.M) {
	if os.Getenv(actAsSentinel) != "" {
		os.Exit(service.Main(command(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func command() *cobra.Command {
	p := sentinel.DefaultProcess()
	cmd, _ := service.Program{
		Name: "sentinel", Short: "Publish into nothing",
		Declare:  p.Declare,
		Validate: func() error { return p.Validate() },
		Run:      func(ctx context.Context) error { return discardAll(ctx, p) },
	}.Command()
	return cmd
}

func discardAll(ctx context.Context, p sentinel.Process) error {
	registry, health := prometheus.NewRegistry(), service.NewHealth()
	log, err := service.NewLogger(os.Stderr, p.LogLevel, p.LogFormat)
	if err != nil {
		return err
	}
	admin, err := new(net.ListenConfig).Listen(ctx, "tcp", p.AdminListen)
	if err != nil {
		return err
	}
	s, err := sentinel.New(p.Config, sentinel.Deps{Log: log, Registry: registry, Health: health,
		Publisher: func(context.Context, v1alpha1.SentinelConfig) (broker.Publisher, error) { return discard{}, nil }})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", service.AdminHandler(health, registry))
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return service.Run(ctx, service.Part{Name: "sentinel", Run: s.Run}, service.Part{Name: "admin", Run: func(ctx context.Context) error {
		return service.Serve(ctx, admin, mux, log)
	}})
}

// discard confirms everything at once.
type discard struct{}

func (discard) Publish(context.Context, event.Event) error { return nil }
func (discard) Close(context.Context) error                { return nil }
