package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/registry"
	"github.com/hyperfleet/hyperfleet/components/api/internal/schema"
	"github.com/hyperfleet/hyperfleet/components/api/internal/selector"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const (
	minPollInterval = 10 * time.Millisecond // as for SentinelConfigs
	maxPollInterval = time.Hour             // bounds how long a holder that died keeps its shard
)

var holderName = regexp.MustCompile(`^[!-~]{1,253}$`) // as the contract's ShardHold says

func (s *server) shardRoutes() []route {
	return []route{
		{"/shards", map[string]operation{http.MethodGet: {auth.Readers | auth.Shared, s.shards}}},
		{"/shards/coverage", map[string]operation{ // before {name}
			http.MethodGet: {auth.Viewer | auth.Admin | auth.Sentinel | auth.Fleet, s.coverage},
		}},
		{"/shards/{name}", map[string]operation{
			http.MethodGet:    {auth.Readers | auth.Shared, s.shard},
			http.MethodPut:    {auth.Sentinel | auth.Admin | auth.Fleet, s.holdShard},
			http.MethodDelete: {auth.Sentinel | auth.Admin | auth.Fleet, s.releaseShard},
		}},
	}
}

// mayHold refuses a principal that the shard's name is not for.
func mayHold(req *http.Request, name string) error {
	if !auth.FromContext(req.Context()).MayHold(name) {
		return fleet.Errorf(fleet.Forbidden, "you may not hold this shard")
	}
	return nil
}

func (s *server) holdShard(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "ConfigName")
	if err := q.done(); err != nil {
		return err
	}
	body, err := readBody(w, req, plainJSON)
	if err != nil {
		return err
	}
	var in fleet.NewShard
	if err := s.Schemas.Decode("ShardHold", body, &in); err != nil {
		return err
	}
	shard, err := newShard(in)
	if err != nil {
		return err
	}
	if err := mayHold(req, name); err != nil {
		return err
	}
	out, err := s.Store.HoldShard(req.Context(), name, shard)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

// newShard reads what the schema has let pass, and judges what it cannot.
func newShard(in fleet.NewShard) (registry.NewShard, error) {
	out := registry.NewShard{Holder: in.Holder, Type: in.ResourceType, Selector: in.Selector}
	q := &query{} // gathers problems
	var err error
	if _, err := selector.Parse(in.Selector); err != nil {
		q.blame("/selector", err)
	}
	for _, d := range []struct {
		text string
		into *time.Duration
	}{{in.BackoffNotReady, &out.Backoff.NotReady}, {in.BackoffReady, &out.Backoff.Ready}, {in.PollInterval, &out.PollInterval}} {
		if *d.into, err = schema.Duration(d.text); err != nil {
			return out, err
		}
	}
	if out.PollInterval < minPollInterval || out.PollInterval > maxPollInterval {
		q.bad("/pollInterval", fmt.Sprintf("must be at least %s and at most %s", minPollInterval, maxPollInterval))
	}
	if len(q.problems) > 0 {
		return out, &fleet.Error{Code: fleet.Invalid, Detail: "the shard breaks a rule of the API's contract", Problems: q.problems}
	}
	return out, nil
}

func (s *server) shards(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	var in registry.ShardQuery
	t, _ := q.resourceType("resourceType")
	in.Type = t.Type
	in.Limit, in.Continue = q.page()
	if err := q.done(); err != nil {
		return err
	}
	out, err := s.Store.Shards(req.Context(), in)
	if err != nil {
		return err
	}
	if err := s.count(req, out.Items); err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}

func (s *server) shard(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "ConfigName")
	if err := q.done(); err != nil {
		return err
	}
	out, err := s.Store.Shard(req.Context(), name)
	if err != nil {
		return err
	}
	one := []fleet.Shard{out}
	if err := s.count(req, one); err != nil {
		return err
	}
	return answer(w, http.StatusOK, one[0])
}

// count adds what the last coverage says of the shards, for those who may see
// numbers of all tenants.
func (s *server) count(req *http.Request, shards []fleet.Shard) error {
	if !auth.FromContext(req.Context()).AllTenants {
		return nil
	}
	counts := map[string]*fleet.ShardCounts{}
	for _, t := range fleet.Types() {
		last, ok, err := s.Store.LastCoverage(req.Context(), t)
		if err != nil {
			return err
		}
		for _, c := range last.Shards {
			if ok {
				counts[string(t.Type)+"/"+c.Name] = &fleet.ShardCounts{Matched: c.Matched, Pending: c.Pending, OldestDue: c.OldestDue, AsOf: last.AsOf}
			}
		}
	}
	for i, shard := range shards {
		shards[i].Counts = counts[string(shard.ResourceType)+"/"+shard.Name]
	}
	return nil
}

func (s *server) releaseShard(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	name := s.named(q, req, "ConfigName")
	holder, given := q.text("holder")
	if given && !holderName.MatchString(holder) {
		q.bad("holder", "must be 1 to 253 visible ASCII characters without spaces")
	}
	q.required(given || auth.FromContext(req.Context()).Role == auth.Admin, "holder", "unless you are an admin")
	if err := q.done(); err != nil {
		return err
	}
	if err := mayHold(req, name); err != nil {
		return err
	}
	if err := s.Store.ReleaseShard(req.Context(), name, holder); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) coverage(w http.ResponseWriter, req *http.Request) error {
	q := readQuery(req)
	t, given := q.resourceType("resourceType")
	q.required(given || q.values.Has("resourceType"), "resourceType")
	if err := q.done(); err != nil {
		return err
	}
	out, err := s.Store.Coverage(req.Context(), t)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, out)
}
