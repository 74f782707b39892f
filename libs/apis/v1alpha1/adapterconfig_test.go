package v1alpha1

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestSpecificationsAdapterConfigsLoadUnchanged(t *testing.T) {
	f, err := os.Open("testdata/specification.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, adapters, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range adapters {
		if err := a.Validate(); err != nil {
			t.Errorf("as written: %v", err)
		}
		d := a.Defaults()
		if err := d.Validate(); err != nil {
			t.Errorf("with defaults: %v", err)
		}
		if d.Spec.Broker.Subscription != "validation-adapter-sub" || d.Spec.HyperfleetAPI.Timeout.Duration != 10*time.Second {
			t.Errorf("subscription %q, timeout %s", d.Spec.Broker.Subscription, d.Spec.HyperfleetAPI.Timeout.Duration)
		}
		if a.Spec.Retry.Limit != nil || a.Spec.Broker.MaxDeliveries != nil {
			t.Error("Defaults changed the config that it was asked on")
		}
		if *d.Spec.Retry.Limit != 3 || d.Spec.Retry.Backoff.Duration != time.Minute || d.Spec.ResourceTypes[0] != "clusters" {
			t.Errorf("retry %v, resource types %v", d.Spec.Retry, d.Spec.ResourceTypes)
		}
	}
}

func TestSubscriptionIsNamedAfterTheConfig(t *testing.T) {
	if got := (SubscriberBroker{Type: "stub"}).Defaults("dns-adapter").Subscription; got != "dns-adapter-sub" {
		t.Errorf("subscription %q", got)
	}
}

func TestAdapterConfigValidateNamesEveryProblem(t *testing.T) {
	_, adapters, err := Decode(strings.NewReader(`
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: AdapterConfig
metadata: {name: Bad_Name}
spec:
  adapterType: dns
  resourceTypes: [clusters, clusters]
  criteria:
    preconditions: [{expression: " "}]
    dependencies: [dns, A, placement, placement]
  hyperfleetAPI: {url: "ftp://x", timeout: -1s}
  broker: {type: kafka, maxDeliveries: 0}
  retry: {limit: -1, backoff: 0s}
  recheck: {every: 0s}
  deletion: {jobTemplate: {backoffLimit: -1}}
  jobTemplate:
    env: [{name: GENERATION, value: "1"}, {name: "a=b"}, {name: X}, {name: X}]
    secrets: [UP, s, s]
    resources: {requests: {cpu: 2}, limits: {cpu: 1}}
    serviceAccountName: "a b"
    activeDeadlineSeconds: 0
    backoffLimit: -1
    ttlSecondsAfterFinished: -1
`))
	if err != nil {
		t.Fatal(err)
	}
	err = adapters[0].Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"metadata.name", "spec.resourceTypes[1]", "spec.criteria.preconditions[0].expression",
		"spec.criteria.dependencies[0]: Invalid value: \"dns\": an adapter cannot depend on itself",
		"spec.criteria.dependencies[1]", "spec.criteria.dependencies[3]: Duplicate",
		"spec.hyperfleetAPI.url", "spec.hyperfleetAPI.timeout", "spec.broker.type", "spec.broker.maxDeliveries",
		"spec.retry.limit", "spec.retry.backoff", "spec.recheck.every", "spec.jobTemplate.image",
		"spec.deletion.jobTemplate.image", "spec.deletion.jobTemplate.backoffLimit",
		"spec.jobTemplate.env[0].name: Invalid value: \"GENERATION\": is set by the adapter",
		"spec.jobTemplate.env[1].name", "spec.jobTemplate.env[3].name: Duplicate",
		"spec.jobTemplate.secrets[0]", "spec.jobTemplate.secrets[2]: Duplicate", "spec.jobTemplate.resources.requests[cpu]",
		"spec.jobTemplate.serviceAccountName", "spec.jobTemplate.activeDeadlineSeconds",
		"spec.jobTemplate.backoffLimit", "spec.jobTemplate.ttlSecondsAfterFinished",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}
