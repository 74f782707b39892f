package v1alpha1

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDecodeNamesEveryProblemWithItsPath(t *testing.T) {
	const file = `
# a comment alone is no document
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: a, nme: b}
spec:
  resourceType: 7
  resourcetype: clusters
  backoffNotReady: ten
  backoffReady: [1h]
  maxEventsPerSecond: lots
  shardSelector:
    matchLabels: [x]
    matchExpressions:
    - {key: k, operator: In, values: [1], valeus: [2]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: Sentinel
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: a}
spec: {resourceType: clusters, resourceType: clusters}
`
	sentinels, adapters, err := Decode(strings.NewReader(file))
	if err == nil {
		t.Fatalf("Decode gave %v %v", sentinels, adapters)
	}
	for _, want := range []string{
		"document 1 (SentinelConfig a): metadata.nme: unknown field",
		`spec.backoffNotReady: time: invalid duration "ten"`,
		"spec.backoffReady: ",
		`spec.maxEventsPerSecond: must be a int32, not the string "lots"`,
		"spec.resourceType: must be a string, not 7",
		"spec.resourcetype: unknown field",
		"spec.shardSelector.matchLabels: must be an object, not a list",
		"spec.shardSelector.matchExpressions[0].valeus: unknown field",
		"spec.shardSelector.matchExpressions[0].values[0]: must be a string, not 1",
		`document 2 (Deployment api): apiVersion: must be hyperfleet.redhat.com/v1alpha1, not "apps/v1"`,
		`document 3: kind: must be SentinelConfig or AdapterConfig, not "Sentinel"`,
		`document 4: `,
		`key "resourceType" already set`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestWhatIsWholeButForUnknownFieldsIsReadAndTheRestJudged(t *testing.T) {
	sentinels, _, err := Decode(strings.NewReader(`
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: Bad_Name}
spec: {resourceType: pods, shardSelectr: {}, backoffNotReady: -1s}
---
apiVersion: hyperfleet.redhat.com/v1alpha1
kind: SentinelConfig
metadata: {name: Worse_Name}
spec: {resourceType: 7, shardSelector: {matchExpressions: [{key: k, operator: In, values: [1]}]}, pollInterval: ten}
`))
	if len(sentinels) != 1 || sentinels[0].Name != "Bad_Name" || sentinels[0].Spec.BackoffNotReady.Duration >= 0 {
		t.Errorf("read %v", sentinels)
	}
	var fields []string
	for line := range strings.Lines(err.Error()) {
		parts := strings.SplitN(line, ": ", 3)
		fields = append(fields, parts[1])
	}
	want := []string{
		"spec.shardSelectr", "spec.pollInterval", "spec.resourceType",
		"spec.shardSelector.matchExpressions[0].values[0]", "metadata.name",
	}
	if !slices.Equal(fields, want) {
		t.Errorf("problems of %q, want %q:\n%v", fields, want, err)
	}
}

func TestAProblemNamesItsDocumentAsWritten(t *testing.T) {
	_, _, err := Decode(strings.NewReader("apiVersion: v2\nkind: AdapterConfig\nmetadata: {name: 100%d}\n"))
	if want := `document 1 (AdapterConfig 100%d): apiVersion: must be ` + APIVersion + `, not "v2"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestDecodeReadsBothKindsOfAFile(t *testing.T) {
	f, err := os.Open("testdata/specification.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sentinels, adapters, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(sentinels) != 2 || len(adapters) != 2 {
		t.Fatalf("%d SentinelConfigs and %d AdapterConfigs, want 2 and 2", len(sentinels), len(adapters))
	}
	if got := adapters[0].Spec.JobTemplate.Resources.Requests.Memory().String(); got != "128Mi" {
		t.Errorf("the first adapter requests %s of memory", got)
	}
}

func TestDecodeOfAnEmptyFileIsEmpty(t *testing.T) {
	sentinels, adapters, err := Decode(strings.NewReader("---\n# nothing\n---\n"))
	if err != nil || len(sentinels)+len(adapters) != 0 {
		t.Fatalf("%v %v %v", sentinels, adapters, err)
	}
}
