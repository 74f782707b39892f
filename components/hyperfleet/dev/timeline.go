package dev

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxNames bounds how many clusters' names the timeline knows; the others are
// shown by their ids.
const maxNames = 10_000

// timeline is a slog.Handler that turns the records that speak of a cluster
// into a line for people. The log file gets those as well, and of the others
// what is no debugging: requests alone would fill a disk.
type timeline struct {
	next  slog.Handler
	attrs []slog.Attr
	state *timelineState
}

type timelineState struct {
	mu    sync.Mutex
	out   io.Writer
	names map[string]string // resource id -> name
}

func newTimeline(out io.Writer, next slog.Handler) *timeline {
	return &timeline{next: next, state: &timelineState{out: out, names: map[string]string{}}}
}

// Name makes the timeline call a resource by its name, after that of what it
// belongs to.
func (t *timeline) Name(id, owner, name string) {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	if owner != "" {
		name = cmp.Or(t.state.names[owner], owner) + "/" + name
	}
	if len(t.state.names) < maxNames {
		t.state.names[id] = name
	}
}

// Enabled takes everything: of what is debugging, the attributes decide.
func (t *timeline) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs remembers attrs for the timeline and passes them on.
func (t *timeline) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &timeline{next: t.next.WithAttrs(attrs), attrs: append(slices.Clip(t.attrs), attrs...), state: t.state}
}

// WithGroup passes the group on; the timeline's keys are never grouped.
func (t *timeline) WithGroup(name string) slog.Handler {
	return &timeline{next: t.next.WithGroup(name), attrs: t.attrs, state: t.state}
}

// Handle writes the record to the log file, and its line to the terminal if it has one.
func (t *timeline) Handle(ctx context.Context, r slog.Record) error {
	values := map[string]string{}
	for _, a := range t.attrs {
		values[a.Key] = a.Value.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		return true
	})
	if id := values["cluster"]; r.Message == "created" && id != "" {
		t.Name(id, values["owner"], values["name"])
	}
	text := line(r, values)
	if text != "" {
		t.print(r.Time, values["cluster"], text)
	}
	if text == "" && values["cluster"] == "" && r.Level < slog.LevelInfo {
		return nil
	}
	return t.next.Handle(ctx, r)
}

func (t *timeline) print(at time.Time, cluster, text string) {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	who := cluster
	if name, ok := t.state.names[cluster]; ok {
		who = name
	}
	// A terminal that is gone must not stop the work: the log file has it all.
	_, _ = fmt.Fprintf(t.state.out, "%s  %-20s %s\n", at.Format("15:04:05.000"), who, text)
}

// line says what happened in words; "" for what the timeline leaves to the log.
func line(r slog.Record, v map[string]string) string {
	if v["cluster"] != "" {
		switch r.Message {
		case "created", "reconcile requested":
			return r.Message
		case "changed":
			text := "changed, generation " + v["generation"]
			if v["paused"] == "true" {
				text += ", paused"
			}
			return text
		case "phase changed":
			return fmt.Sprintf("%s -> %s", v["from"], v["to"])
		case "published":
			return fmt.Sprintf("event from %s: %s", v["shard"], v["reason"])
		case "reported":
			return strings.TrimSpace(fmt.Sprintf("%s: %s %s", v["adapter"], v["phase"], v["message"]))
		}
	}
	if r.Level >= slog.LevelWarn {
		text := strings.ToLower(r.Level.String()) + ": " + r.Message
		for _, key := range []string{"adapter", "shard", "err"} {
			if v[key] != "" {
				text += fmt.Sprintf(" %s=%s", key, v[key])
			}
		}
		return text
	}
	return ""
}
