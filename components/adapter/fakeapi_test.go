package adapter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// fakeAPI keeps clusters in memory under the contract's rules for reports.
type fakeAPI struct {
	mu       sync.Mutex
	required []string
	clusters map[string]*fleet.Resource
	history  map[string][]string // cluster -> "adapter phase generation attempt", folds left out
	reported chan struct{}       // has one in it after a report
	requests map[string]int      // that came over HTTP, by method
}

// changed waits until a report has come, or for as long.
func (f *fakeAPI) changed(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case <-f.reported:
	case <-ctx.Done():
	}
}

func (f *fakeAPI) historyOf(id string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.history[id])
}

func newFakeAPI(required ...string) *fakeAPI {
	return &fakeAPI{required: required, clusters: map[string]*fleet.Resource{}, history: map[string][]string{}, reported: make(chan struct{}, 1), requests: map[string]int{}}
}

func clusterID(n int) string { return fmt.Sprintf("0190b6a0-1234-7000-8000-%012d", n) }

func (f *fakeAPI) create(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusters[id] = &fleet.Resource{ID: id, Kind: "Cluster", Name: "c-" + id[30:], Generation: 1, Spec: json.RawMessage(`{}`),
		Status: fleet.Status{Phase: fleet.Pending}}
}

func (f *fakeAPI) change(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusters[id].Generation++
	f.rollUp(f.clusters[id])
}

func (f *fakeAPI) Get(_ context.Context, _ fleet.ResourceType, id string) (fleet.Resource, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.clusters[id]
	if !ok {
		return fleet.Resource{}, fleet.Errorf(fleet.NotFound, "no cluster %s", id)
	}
	out := *r
	out.Status.Adapters = slices.Clone(r.Status.Adapters)
	return out, nil
}

func (f *fakeAPI) Report(_ context.Context, _ fleet.ResourceType, id string, n fleet.NewReport) (fleet.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.clusters[id]
	switch {
	case !ok:
		return fleet.Report{}, fleet.Errorf(fleet.NotFound, "no cluster %s", id)
	case n.ObservedGeneration > r.Generation, n.Attempt < 1:
		return fleet.Report{}, fleet.Errorf(fleet.Invalid, "generation %d, attempt %d", n.ObservedGeneration, n.Attempt)
	case n.ObservedGeneration < r.Generation && n.Phase == fleet.ReportRunning:
		return fleet.Report{}, fleet.Errorf(fleet.StaleGeneration, "generation %d is over", n.ObservedGeneration)
	}
	select {
	case f.reported <- struct{}{}:
	default:
	}
	line := fmt.Sprintf("%s %s g%d a%d", n.AdapterName, n.Phase, n.ObservedGeneration, n.Attempt)
	if n.ObservedGeneration < r.Generation {
		f.history[id] = append(f.history[id], line)
		return fleet.Report{}, nil
	}
	var retryAt *fleet.Time
	if n.RetryAfter != "" {
		d, err := time.ParseDuration(n.RetryAfter)
		if err != nil {
			return fleet.Report{}, fleet.Errorf(fleet.Invalid, "retry_after %q", n.RetryAfter)
		}
		at := fleet.At(time.Now().Add(d))
		retryAt = &at
	}
	i := slices.IndexFunc(r.Status.Adapters, func(a fleet.AdapterStatus) bool { return a.AdapterName == n.AdapterName })
	if i >= 0 && r.Status.Adapters[i].ObservedGeneration == n.ObservedGeneration {
		was := &r.Status.Adapters[i]
		switch {
		case n.Attempt < was.Attempt, n.Attempt == was.Attempt && was.Phase.Final() && !n.Phase.Final():
			return fleet.Report{}, fleet.Errorf(fleet.Superseded, "attempt %d is over", n.Attempt)
		case n.Attempt == was.Attempt && n.Phase == was.Phase && n.Message == was.Message && bytes.Equal(n.Data, was.Data):
			if retryAt != nil {
				was.RetryAt = retryAt
			}
			return fleet.Report{}, nil
		}
	}
	now := fleet.AdapterStatus{AdapterName: n.AdapterName, Phase: n.Phase, ObservedGeneration: n.ObservedGeneration, Attempt: n.Attempt,
		AttemptBase: n.AttemptBase, RetryAt: retryAt, Message: n.Message, LastTransitionTime: *n.LastTransitionTime, Data: n.Data}
	if i >= 0 {
		r.Status.Adapters[i] = now
	} else {
		r.Status.Adapters = append(r.Status.Adapters, now)
	}
	f.history[id] = append(f.history[id], line)
	f.rollUp(r)
	return fleet.Report{}, nil
}

func (f *fakeAPI) rollUp(r *fleet.Resource) {
	count := map[fleet.ReportPhase]int{}
	for _, name := range f.required {
		if a, ok := r.Status.Adapter(name); ok && a.ObservedGeneration == r.Generation {
			count[a.Phase]++
		}
	}
	switch {
	case count[fleet.ReportFailed] > 0:
		r.Status.Phase = fleet.Failed
	case count[fleet.ReportComplete] == len(f.required):
		r.Status.Phase = fleet.Ready
	case count[fleet.ReportRunning]+count[fleet.ReportComplete] > 0:
		r.Status.Phase = fleet.Provisioning
	default:
		r.Status.Phase = fleet.Pending
	}
}

// RoundTrip answers the requests of a client over the same clusters.
func (f *fakeAPI) RoundTrip(req *http.Request) (*http.Response, error) {
	var (
		parts  = strings.Split(strings.Trim(req.URL.Path, "/"), "/") // v1 clusters [id [statuses]]
		answer any
		err    error
		status = http.StatusOK
	)
	f.mu.Lock()
	f.requests[req.Method]++
	f.mu.Unlock()
	switch {
	case parts[1] == "adapters" && len(parts) == 3:
		answer = fleet.Adapter{Name: parts[2], Kind: "Adapter"}
	case parts[1] == "adapters":
		answer = fleet.AdapterList{Kind: "AdapterList"}
	case len(parts) == 2:
		answer = fleet.List{Kind: "ClusterList"}
	case len(parts) == 3:
		answer, err = f.Get(req.Context(), fleet.Clusters, parts[2])
	default:
		var n fleet.NewReport
		if err = json.NewDecoder(req.Body).Decode(&n); err == nil {
			status = http.StatusCreated
			answer, err = f.Report(req.Context(), fleet.Clusters, parts[2], n)
		}
	}
	contentType := "application/json"
	if err != nil {
		code := fleet.ErrorCode(err)
		status, contentType = code.HTTPStatus(), "application/problem+json"
		answer = map[string]any{"status": status, "code": code, "detail": err.Error()}
	}
	raw, err := json.Marshal(answer)
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(bytes.NewReader(raw)), Request: req}, err
}

// counted are the requests over HTTP so far, by method.
func (f *fakeAPI) counted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.requests)
}
