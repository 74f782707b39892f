package adapter

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

const (
	// renewEvery is how often an adapter registers again: its dead letters
	// change, and somebody may have taken the entry away.
	renewEvery = time.Minute
	// registerAgain is how soon it tries again after a failure.
	registerAgain = 5 * time.Second
)

// registration tells the API what this adapter is: others' deletions wait for
// those who depend on them.
type registration struct {
	name     string
	instance fleet.NewAdapterInstance
	register func(context.Context, string, fleet.NewAdapterInstance) error
	letters  func() fleet.DeadLetters
	log      *slog.Logger
}

// instanceOf describes the running configuration a.
func instanceOf(a v1alpha1.AdapterConfig, region string) fleet.NewAdapterInstance {
	in := fleet.NewAdapterInstance{
		Instance:     fmt.Sprintf("%s/%s/%s", region, a.Namespace, a.Name),
		Dependencies: a.Spec.Criteria.Dependencies, HasDeletion: a.Spec.Deletion != nil, Version: service.Version(),
	}
	for _, t := range a.Spec.ResourceTypes {
		in.ResourceTypes = append(in.ResourceTypes, fleet.ResourceType(t))
	}
	return in
}

// run registers, and renews that, until ctx ends. Without a registration the
// adapter works on; a failure is said once, until it is over.
func (r *registration) run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		r.instance.DeadLetters = r.letters()
		err := r.register(ctx, r.name, r.instance)
		wait := renewEvery
		if err != nil {
			wait = registerAgain
		}
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			r.log.Warn("not registered with the API yet", "adapter", r.name, "err", err)
		case err == nil && failing:
			r.log.Info("registered with the API", "adapter", r.name)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)): // a fleet of adapters spreads out
		}
	}
	return nil
}
