package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

const (
	writeTimeout = 5 * time.Second // of one status
	leaveTimeout = time.Second     // of the last one: whoever takes over waits for it
)

// teller writes the status of SentinelConfigs, and events about them.
type teller struct {
	client    client.Client
	events    events.EventRecorder
	namespace string
	replica   string
	log       *slog.Logger

	mu      sync.Mutex // also while writing: a shard's last status is the last one written
	written map[string]record
}

// record is the status that this replica wrote last.
type record struct {
	uid    types.UID
	status v1alpha1.SentinelConfigStatus
	at     time.Time
}

// tell writes what look sees, if this replica leads the shard and it is worth it.
func (t *teller) tell(ctx context.Context, c v1alpha1.SentinelConfig, look func() (observation, bool)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, mine := look()
	if !mine {
		delete(t.written, c.Name)
		return nil
	}
	if o.shard.Changing && o.invalid == nil {
		return nil // what would be said is of the generation before
	}
	now, last := time.Now(), t.written[c.Name]
	if last.uid != c.UID {
		last = record{uid: c.UID, status: c.Status}
	}
	next := status(last.status, o, t.replica, now)
	if !worth(last.status, next, now.Sub(last.at)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := t.write(ctx, c.Name, next); err != nil {
		return err
	}
	t.written[c.Name] = record{uid: c.UID, status: next, at: now}
	c.ResourceVersion = "" // else the same event again would be another one
	for _, n := range news(last.status, next) {
		t.events.Eventf(&c, nil, n.kind, n.reason, "Reconcile", "%s", n.note)
	}
	return nil
}

// leave tells that nobody runs the shard until another replica says that it does.
func (t *teller) leave(ctx context.Context, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.written[name]
	if !ok {
		return
	}
	delete(t.written, name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := t.write(ctx, name, left(last.status, t.replica, time.Now())); err != nil && !apierrors.IsNotFound(err) {
		t.log.Warn("it is not told that the shard was given up", "shard", name, "err", err)
	}
}

func (t *teller) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.written, name)
}

// write replaces the whole status: nobody but the shard's leader writes it.
func (t *teller) write(ctx context.Context, name string, s v1alpha1.SentinelConfigStatus) error {
	patch, err := json.Marshal(map[string]any{"status": s})
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	return t.client.Status().Patch(ctx, named(t.namespace, name), client.RawPatch(types.MergePatchType, patch))
}
