package rest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// ask is one request about the only name of a history.
type ask struct {
	do    string // create, read, patch, delete
	key   int    // of create: which Idempotency-Key; 0 = none
	id    string // of patch and delete
	match int    // of patch and delete: m<n> of If-Match; 0 = none
	value string // of create and patch
}

// told is what came back: the resource, if there was one.
type told struct {
	status int
	now    desired
}

// desired is what the model knows of the resource with the name; no id = none.
type desired struct {
	id    string
	m     int
	value string
}

// register is the model: at most one resource has the name, and a key answers
// for ever what it answered first.
type register struct {
	desired
	keys [3]desired
}

// step says whether the answer is right for the state, and what follows.
func step(s register, a ask, got told) (bool, register) {
	switch a.do {
	case "read":
		return got.status == 200 && got.now == s.desired, s
	case "create":
		if a.key > 0 && s.keys[a.key].id != "" {
			return got.status == 201 && got.now == s.keys[a.key], s
		}
		if s.id != "" {
			return got.status == 409, s
		}
		ok := got.status == 201 && got.now == desired{got.now.id, 1, a.value}
		s.desired = got.now
		if a.key > 0 {
			s.keys[a.key] = got.now
		}
		return ok, s
	}
	switch {
	case s.id != a.id:
		return got.status == 404, s
	case a.match > 0 && a.match != s.m:
		return got.status == 412, s
	case a.do == "delete":
		s.desired = desired{}
		return got.status == 204, s
	}
	s.desired = desired{s.id, s.m + 1, a.value}
	return got.status == 200 && got.now == s.desired, s
}

var model = porcupine.Model{
	Init:              func() any { return register{} },
	Step:              func(state, input, output any) (bool, any) { return step(state.(register), input.(ask), output.(told)) },
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// TestShortHistoriesAreLinearizable: whatever several clients do to one name at
// once, with and without conditions and keys, there is an order of one after
// the other that explains every answer. Of a thousand histories, some run side
// by side, each of a name of its own.
func TestShortHistoriesAreLinearizable(t *testing.T) {
	b := newBed(t)
	seed := rand.Uint64()
	statuses := map[string]int{}
	const atOnce = 4
	for n := 0; n < max(1000, 10*rounds(t)); n += atOnce {
		var histories [atOnce]history
		var clients sync.WaitGroup
		for i := range histories {
			h := &histories[i]
			h.bed, h.name, h.start = b, fmt.Sprintf("h-%d", n+i), time.Now()
			for client := range 4 {
				r := rand.New(rand.NewPCG(seed, uint64((n+i)*4+client)))
				clients.Go(func() { h.run(client, r) })
			}
		}
		clients.Wait()
		for i := range histories {
			histories[i].check(seed, statuses)
		}
	}
	for _, some := range []string{"create 201", "create 409", "read 200", "patch 200", "patch 404", "patch 412", "delete 204"} {
		if statuses[some] == 0 {
			t.Errorf("no %q: the histories prove little: %v", some, statuses)
		}
	}
}

// history is what the clients of one name did and were told.
type history struct {
	*bed
	name       string
	start      time.Time
	mu         sync.Mutex
	operations []porcupine.Operation
}

// check counts what was answered, and looks for an order that explains it.
func (h *history) check(seed uint64, statuses map[string]int) {
	h.Helper()
	for _, o := range h.operations {
		statuses[fmt.Sprint(o.Input.(ask).do, " ", o.Output.(told).status)]++
	}
	if porcupine.CheckOperations(model, h.operations) {
		return
	}
	for _, o := range h.operations {
		h.Logf("%d [%d, %d] %s", o.ClientId, o.Call, o.Return, model.DescribeOperation(o.Input, o.Output))
	}
	h.Fatalf("seed %d, history %s: no order explains it", seed, h.name)
}

func (h *history) run(client int, r *rand.Rand) {
	known := desired{id: "0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10", m: 1}
	for i := range 6 {
		a := ask{do: []string{"create", "create", "read", "patch", "patch", "patch", "patch", "delete"}[r.IntN(8)], value: fmt.Sprintf("%d-%d", client, i)}
		switch a.do {
		case "create":
			if a.key = r.IntN(3); a.key > 0 {
				a.value = fmt.Sprintf("key-%d", a.key)
			}
		case "patch", "delete":
			if a.id = known.id; r.IntN(4) > 0 {
				a.match = known.m
			}
		}
		call := time.Since(h.start)
		got := h.do(a)
		o := porcupine.Operation{ClientId: client, Input: a, Output: got, Call: int64(call), Return: int64(time.Since(h.start))}
		if got.now.id != "" {
			known = got.now
		}
		h.mu.Lock()
		h.operations = append(h.operations, o)
		h.mu.Unlock()
	}
}

func (h *history) do(a ask) told {
	spec := `"spec":{"value":"` + a.value + `"}`
	var r request
	switch a.do {
	case "create":
		r = request{method: "POST", path: "/v1/clusters", body: `{"name":"` + h.name + `",` + spec + `}`}
		if a.key > 0 {
			r.header = with("Idempotency-Key", fmt.Sprintf("%s-%d", h.name, a.key))
		}
	case "read":
		r = request{method: "GET", path: "/v1/clusters?name=" + h.name}
	case "patch":
		r = request{method: "PATCH", path: "/v1/clusters/" + a.id, body: `{` + spec + `}`}
	case "delete":
		r = request{method: "DELETE", path: "/v1/clusters/" + a.id}
	}
	if a.match > 0 {
		r.header = with("If-Match", fmt.Sprintf(`"m%d.s0"`, a.match))
	}
	got := h.send(r)
	out := told{status: got.status}
	if got.status > 201 {
		return out
	}
	var page struct {
		fleet.Resource
		Items []fleet.Resource
	}
	if err := json.Unmarshal(got.body, &page); err != nil {
		h.Error(err)
	}
	if len(page.Items) > 0 {
		page.Resource = page.Items[0]
	}
	if page.ID == "" {
		return out
	}
	out.now = desired{id: page.ID}
	var content struct{ Value string }
	if _, err := fmt.Sscanf(page.ResourceVersion, "m%d.", &out.now.m); err != nil || json.Unmarshal(page.Spec, &content) != nil {
		h.Errorf("%v in %s", err, got.body)
	}
	out.now.value = content.Value
	return out
}
