package engine

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/hyperfleet/hyperfleet/components/sentinel/internal/shard"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// closeTimeout bounds the closing of a publisher: what was in flight has ended,
// or was given up.
const closeTimeout = time.Second

// kit is what a shard keeps when its config changes.
type kit struct {
	deps       *Deps
	collectors *shard.Collectors
	log        *slog.Logger

	publisher broker.Publisher
	settings  *v1alpha1.PublisherBroker // that it was made with
	metrics   *shard.Metrics
	runs      *wanted // for which the metrics are
}

// fit has the kit be the one for w. A publisher with the same settings stays,
// and so do the metrics of the same resource type.
func (k *kit) fit(ctx context.Context, w *wanted) error {
	if k.publisher == nil || !reflect.DeepEqual(k.settings, w.config.Spec.Broker) {
		k.close(ctx)
		publisher, err := k.deps.Publisher(ctx, w.config)
		if err != nil {
			return fmt.Errorf("make the publisher: %w", err)
		}
		k.publisher, k.settings = publisher, w.config.Spec.Broker
	}
	if k.metrics == nil || k.runs.shard.Type != w.shard.Type {
		k.forget()
		metrics, err := k.collectors.For(w.shard.Type, w.shard.Name)
		if err != nil {
			return fmt.Errorf("register its metrics: %w", err)
		}
		k.metrics = metrics
	}
	k.runs = w
	return nil
}

// drop ends everything that the kit holds.
func (k *kit) drop(ctx context.Context) {
	k.close(ctx)
	k.forget()
}

func (k *kit) close(ctx context.Context) {
	if k.publisher == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := k.publisher.Close(ctx); err != nil {
		k.log.Warn("publisher not closed in time", "err", err)
	}
	k.publisher = nil
}

func (k *kit) forget() {
	if k.metrics != nil {
		k.collectors.Forget(k.metrics)
	}
	k.metrics = nil
}
