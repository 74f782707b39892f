package v1alpha1

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestSpecificationsSentinelConfigsLoadUnchanged(t *testing.T) {
	for file, want := range map[string][]string{
		"testdata/specification.yaml": {
			"cluster-sentinel-us-east region=us-east 10s 30m0s 5s",
			"cluster-sentinel-eu-west region=eu-west 15s 1h0m0s 5s",
		},
		"testdata/specification-sentinel.yaml": {"cluster-sentinel-us-east region=us-east 10s 30m0s 5s"},
	} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		configs, _, err := Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range configs {
			if err := c.Validate(); err != nil {
				t.Errorf("%s, as written: %v", file, err)
			}
			d := c.Defaults()
			if err := d.Validate(); err != nil {
				t.Errorf("%s, with defaults: %v", file, err)
			}
			selector, err := d.Selector()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.Join([]string{d.Name, selector.String(), d.Spec.BackoffNotReady.Duration.String(),
				d.Spec.BackoffReady.Duration.String(), d.Spec.PollInterval.Duration.String()}, " "))
			if c.Spec.HyperfleetAPI != nil && (c.Spec.HyperfleetAPI.Timeout != nil || d.Spec.HyperfleetAPI.Timeout.Duration != 10*time.Second) {
				t.Errorf("%s: the API's timeout has no default, or the original was changed", file)
			}
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("%s:\n%s\nwant:\n%s", file, g, w)
		}
	}
}

func TestSentinelConfigValidateNamesEveryProblem(t *testing.T) {
	configs, _, err := Decode(strings.NewReader(`
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: Bad_Name}
spec:
  backoffNotReady: 0s
  backoffReady: -1s
  pollInterval: 9ms
  maxEventsPerSecond: 0
  shardSelector:
    matchLabels: {"bad key": x, region: "no spaces"}
    matchExpressions: [{key: a, operator: In, values: []}, {key: b, operator: Near}]
  hyperfleetAPI: {url: "ftp://x", timeout: 0s}
  broker: {type: rabbitmq, topic: t, projectID: p}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
spec: {resourceType: clusters, broker: {type: kafka}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, wants := range [][]string{
		{
			"metadata.name: Invalid", "spec.resourceType: Required", "spec.backoffNotReady: Invalid", "spec.backoffReady: Invalid",
			"spec.pollInterval: Invalid value: \"9ms\": must be at least 10ms", "spec.maxEventsPerSecond: Invalid",
			"spec.shardSelector.matchLabels: Invalid", "no spaces", "spec.shardSelector.matchExpressions[0].values: Required",
			"spec.shardSelector.matchExpressions[1].operator: Invalid", "spec.hyperfleetAPI.url", "spec.hyperfleetAPI.timeout",
			"spec.broker.exchange: Required", "spec.broker.routingKey: Required", "spec.broker.topic: Forbidden", "spec.broker.projectID: Forbidden",
		},
		{"metadata.name: Required", "spec.shardSelector: Required value: labels of the shard's resources; {} means everything", "spec.broker.type: Unsupported"},
	} {
		err := configs[i].Validate()
		if err == nil {
			t.Fatalf("config %d: no error", i)
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("config %d: the error does not name %q:\n%v", i, want, err)
			}
		}
	}
}

func TestAnEmptySelectorMeansEverything(t *testing.T) {
	configs, _, err := Decode(strings.NewReader(`
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: all}
spec: {resourceType: clusters, shardSelector: {}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := configs[0].Validate(); err != nil {
		t.Fatal(err)
	}
	selector, err := configs[0].Selector()
	if err != nil || !selector.Empty() || selector.String() != "" {
		t.Fatalf("selector %v, %v", selector, err)
	}
	configs[0].Spec.ShardSelector = nil
	if _, err := configs[0].Selector(); err == nil {
		t.Fatal("a missing selector was taken for one")
	}
}
