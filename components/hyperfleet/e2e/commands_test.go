package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// cmdAPI is `api METHOD PATH STATUS [BODY-FILE]`: one request as curl would
// send it, as an admin. The answer is the script's stdout.
func cmdAPI(ts *testscript.TestScript, neg bool, args []string) {
	ask(ts, neg, args, "Bearer "+shared.token)
}

// cmdStranger is `stranger METHOD PATH STATUS [BODY-FILE]`: the same without a token.
func cmdStranger(ts *testscript.TestScript, neg bool, args []string) { ask(ts, neg, args, "") }

func ask(ts *testscript.TestScript, neg bool, args []string, authorization string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: METHOD PATH STATUS [BODY-FILE]")
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	var body io.Reader
	if len(args) == 4 {
		body = strings.NewReader(ts.ReadFile(args[3]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, args[0], shared.baseURL+args[1], body)
	ts.Check(err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	resp, err := rt.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var pretty bytes.Buffer
	if json.Indent(&pretty, answer, "", "  ") != nil {
		pretty = *bytes.NewBuffer(answer)
	}
	fmt.Fprintln(ts.Stdout(), pretty.String())
	if resp.StatusCode != want {
		ts.Fatalf("%s %s: %s, want %d\n%s", args[0], args[1], resp.Status, want, pretty.String())
	}
}

// cmdCreate is `create VAR FILE [CLUSTER-ID]`: creates the cluster, or the node
// pool of one, and sets VAR to its id.
func cmdCreate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: create VAR FILE [CLUSTER-ID]")
	}
	var in fleet.NewResource
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &in))
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	var made fleet.Resource
	var err error
	if len(args) == 3 {
		made, err = shared.api.CreateIn(ctx, fleet.Clusters, args[2], fleet.NodePools, in)
	} else {
		made, err = shared.api.Create(ctx, fleet.Clusters, in)
	}
	ts.Check(err)
	ts.Setenv(args[0], made.ID)
}

// typeOf is the resource type that a command names after its n arguments; that
// of clusters if it names none.
func typeOf(ts *testscript.TestScript, neg bool, args []string, n int, usage string) fleet.ResourceType {
	if neg || len(args) < n || len(args) > n+1 {
		ts.Fatalf("usage: %s [nodepools]", usage)
	}
	if len(args) == n {
		return fleet.Clusters
	}
	return fleet.ResourceType(args[n])
}

// cmdAwait is `await ID PHASE [nodepools]`: waits until the resource has that
// phase and its adapters have seen its generation.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	typ := typeOf(ts, neg, args, 2, "await ID PHASE")
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	c, err := waitForPhase(ctx, shared.api, typ, args[0], fleet.Phase(args[1]))
	if err != nil {
		ts.Fatalf("await %s: %v; it is\n%s", args[1], err, indent(c))
	}
	fmt.Fprintln(ts.Stdout(), indent(c))
}

func waitForPhase(ctx context.Context, api *client.Client, typ fleet.ResourceType, id string, want fleet.Phase) (fleet.Resource, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := api.Get(ctx, typ, id)
		if err != nil || (c.Status.Phase == want && c.Status.ObservedGeneration == c.Generation) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-tick.C:
		}
	}
}

// cmdStory is `story ID [nodepools]`: prints the history of the resource's
// current generation, oldest first, a line `adapter phase` per entry.
func cmdStory(ts *testscript.TestScript, neg bool, args []string) {
	typ := typeOf(ts, neg, args, 1, "story ID")
	ctx, cancel := context.WithTimeout(context.Background(), ceiling)
	defer cancel()
	c, err := shared.api.Get(ctx, typ, args[0])
	ts.Check(err)
	history, err := shared.api.Reports(ctx, typ, args[0], "", 1000, "")
	ts.Check(err)
	for _, r := range slices.Backward(history.Items) {
		if r.ObservedGeneration == c.Generation {
			fmt.Fprintf(ts.Stdout(), "%s %s\n", r.AdapterName, r.Phase)
		}
	}
}

// cmdShards is `shards ID`: prints which shards published events of the
// cluster, once each, or none.
func cmdShards(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shards ID")
	}
	shards := publications(ts, args[0])
	if len(shards) == 0 {
		fmt.Fprintln(ts.Stdout(), "none")
	}
	slices.Sort(shards)
	for _, s := range slices.Compact(shards) {
		fmt.Fprintln(ts.Stdout(), s)
	}
}

// publications returns which shards published events of the cluster, as the
// stack's log tells it.
func publications(ts *testscript.TestScript, id string) []string {
	var shards []string
	for line := range strings.Lines(ts.ReadFile(shared.dataDir + "/hyperfleet.log")) {
		var r struct{ Msg, Shard, Cluster string }
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == "published" && r.Cluster == id {
			shards = append(shards, r.Shard)
		}
	}
	return shards
}

func indent(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
