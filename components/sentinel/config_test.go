package sentinel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sentinel.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const twoSentinels = `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: own}
spec:
  resourceType: clusters
  shardSelector: {matchLabels: {region: us-east}}
  backoffNotReady: 1s
  hyperfleetAPI: {url: http://own:1, timeout: 3s}
  broker: {type: rabbitmq, exchange: hyperfleet.clusters, routingKey: clusters.changed}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: fallen-back}
spec:
  resourceType: clusters
  shardSelector: {}
`

func TestWhatAConfigLeavesOutComesFromTheProcessAndTheDefaults(t *testing.T) {
	c := DefaultConfig()
	c.ConfigFile = file(t, twoSentinels)
	c.APIURL, c.APITimeout = "http://process:2", 4*time.Second
	c.Broker = &v1alpha1.PublisherBroker{Type: "stub"}
	got, err := c.sentinels()
	if err != nil {
		t.Fatal(err)
	}
	type summary struct {
		Name, URL, Broker, Topic                      string
		Timeout, BackoffNotReady, BackoffReady, Every time.Duration
	}
	var all []summary
	for _, s := range got {
		all = append(all, summary{s.Name, s.Spec.HyperfleetAPI.URL, s.Spec.Broker.Type, s.Spec.Broker.Topic, s.Spec.HyperfleetAPI.Timeout.Duration,
			s.Spec.BackoffNotReady.Duration, s.Spec.BackoffReady.Duration, s.Spec.PollInterval.Duration})
	}
	want := []summary{
		{"own", "http://own:1", "rabbitmq", "", 3 * time.Second, time.Second, 30 * time.Minute, 5 * time.Second},
		{"fallen-back", "http://process:2", "stub", "hyperfleet.clusters.changed.v1", 4 * time.Second, 10 * time.Second, 30 * time.Minute, 5 * time.Second},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if c.Broker.Topic != "" {
		t.Error("the process's broker was changed")
	}
	c.Names = []string{"own"}
	if got, err := c.sentinels(); err != nil || len(got) != 1 || got[0].Name != "own" {
		t.Errorf("limited to own: %v, %v", got, err)
	}
}

func TestValidateNamesEveryProblemOfEverySentinel(t *testing.T) {
	c := Config{
		ConfigFile: file(t, twoSentinels),
		APITimeout: -1,
		Broker:     &v1alpha1.PublisherBroker{Type: "kafka"},
		Names:      []string{"own", "bad", "missing"},
		Sentinels: []v1alpha1.SentinelConfig{
			{ObjectMeta: metav1.ObjectMeta{Name: "own"}, Spec: v1alpha1.SentinelConfigSpec{ResourceType: "clusters", ShardSelector: &metav1.LabelSelector{}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Spec: v1alpha1.SentinelConfigSpec{ResourceType: "pods"}},
		},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"API timeout", "the process's broker: broker.type", `SentinelConfig "own": there are two of that name`, `SentinelConfig "missing": not found`,
		`SentinelConfig "bad": spec.resourceType: unknown type "pods"; there is clusters`, "spec.shardSelector: Required", "spec.hyperfleetAPI.url: Invalid",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestFileProcessAndLogLevelAreJudgedTogether(t *testing.T) {
	p := DefaultProcess()
	p.APIURL, p.LogLevel, p.Names = "ftp://x", "loud", nil
	p.ConfigFile = file(t, `
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: Bad_Name}
spec: {resourceType: pods, shardSelectr: {}, backoffNotReady: -1s, broker: {type: kafka}}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: second}
spec: {resourceType: clusters}
`)
	err := p.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"spec.shardSelectr: unknown field", "metadata.name: Invalid", `unknown type "pods"`, "spec.backoffNotReady: Invalid",
		"spec.broker.type: Unsupported", `"second": [spec.shardSelector: Required`, "spec.hyperfleetAPI.url: Invalid", `log level "loud"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"a file without SentinelConfigs": {Config{ConfigFile: file(t, "---\n"), APIURL: "http://x"}, "no SentinelConfig in "},
		"a Lease that is never renewed":  {Config{LeaseDuration: time.Second, LeaseRenewDeadline: time.Second, LeaseRetryPeriod: time.Second}, "renew deadline"},
		"a file that is not there":       {Config{ConfigFile: "/nonexistent/x.yaml"}, "open the configuration"},
		"a file with an unknown field":   {Config{ConfigFile: file(t, strings.Replace(twoSentinels, "backoffNotReady", "backoffUnready", 1))}, "spec.backoffUnready: unknown field"},
		"a shard without a broker":       {Config{ConfigFile: file(t, twoSentinels), APIURL: "http://x"}, `"fallen-back": spec.broker: set it, or set the process's broker`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want an error with %q", err, c.want)
			}
		})
	}
}
