package sentinel

import (
	"io"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// invalid are specs that the API server refuses by itself, with what it says.
var invalid = map[string]map[string]struct{ spec, want string }{
	v1alpha1.KindSentinelConfig: {
		"no selector":                   {`{resourceType: clusters}`, "spec.shardSelector: Required"},
		"a selector that is null":       {`{resourceType: clusters, shardSelector: null}`, "spec.shardSelector: Required"},
		"no resource type":              {`{shardSelector: {}}`, "spec.resourceType: Required"},
		"an operator that is none":      {`{resourceType: clusters, shardSelector: {matchExpressions: [{key: a, operator: Near}]}}`, "an operator must be In, NotIn, Exists or DoesNotExist"},
		"In without values":             {`{resourceType: clusters, shardSelector: {matchExpressions: [{key: a, operator: In}]}}`, "In and NotIn need values"},
		"Exists with values":            {`{resourceType: clusters, shardSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}`, "In and NotIn need values"},
		"a backoff of nothing":          {`{resourceType: clusters, shardSelector: {}, backoffReady: 0s}`, "spec.backoffReady: Invalid value: \"0s\": must be a duration longer than 0, such as 10s"},
		"a backoff in words":            {`{resourceType: clusters, shardSelector: {}, backoffNotReady: ten seconds}`, "must be a duration longer than 0, such as 10s"},
		"a number as a backoff":         {`{resourceType: clusters, shardSelector: {}, backoffNotReady: 10}`, "spec.backoffNotReady: Invalid value: \"integer\""},
		"a poll interval too short":     {`{resourceType: clusters, shardSelector: {}, pollInterval: 9ms}`, "must be a duration of at least 10ms"},
		"a bound of no events":          {`{resourceType: clusters, shardSelector: {}, maxEventsPerSecond: 0}`, "spec.maxEventsPerSecond"},
		"an API that is no URL":         {`{resourceType: clusters, shardSelector: {}, hyperfleetAPI: {url: "ftp://x"}}`, "must be an http or https URL with a host"},
		"a broker that is none":         {`{resourceType: clusters, shardSelector: {}, broker: {type: kafka}}`, "spec.broker.type: Unsupported value: \"kafka\""},
		"rabbitmq without a key":        {`{resourceType: clusters, shardSelector: {}, broker: {type: rabbitmq, exchange: e}}`, "a broker of type rabbitmq needs exchange and routingKey"},
		"rabbitmq with a topic":         {`{resourceType: clusters, shardSelector: {}, broker: {type: rabbitmq, exchange: e, routingKey: k, topic: t}}`, "a broker of type rabbitmq has no topic"},
		"pubsub with an exchange":       {`{resourceType: clusters, shardSelector: {}, broker: {type: gcp-pubsub, exchange: e}}`, "a broker of type gcp-pubsub has no exchange"},
		"pubsub with a Secret":          {`{resourceType: clusters, shardSelector: {}, broker: {type: gcp-pubsub, secretRef: {name: s}}}`, "only a broker of type rabbitmq has a secretRef"},
		"a Secret with a path as name":  {`{resourceType: clusters, shardSelector: {}, broker: {type: rabbitmq, exchange: e, routingKey: k, secretRef: {name: ..}}}`, "spec.broker.secretRef.name"},
		"a field that is not known":     {`{resourceType: clusters, shardSelectr: {}, shardSelector: {}}`, "unknown field \"spec.shardSelectr\""},
		"a resource type in upper case": {`{resourceType: Clusters, shardSelector: {}}`, "spec.resourceType"},
	},
	v1alpha1.KindAdapterConfig: {
		"no type":                          {`{jobTemplate: {image: x}}`, "spec.adapterType: Required"},
		"no job":                           {`{adapterType: dns}`, "spec.jobTemplate: Required"},
		"an adapter that waits for itself": {`{adapterType: dns, criteria: {dependencies: [dns]}, jobTemplate: {image: x}}`, "an adapter cannot depend on itself"},
		"a dependency with a bad name":     {`{adapterType: dns, criteria: {dependencies: [A]}, jobTemplate: {image: x}}`, "spec.criteria.dependencies[0]"},
		"the same dependency twice":        {`{adapterType: dns, criteria: {dependencies: [a, a]}, jobTemplate: {image: x}}`, "spec.criteria.dependencies[1]: Duplicate"},
		"an empty precondition":            {`{adapterType: dns, criteria: {preconditions: [{expression: " "}]}, jobTemplate: {image: x}}`, "spec.criteria.preconditions[0].expression"},
		"a retry after too long":           {`{adapterType: dns, retry: {backoff: 721h}, jobTemplate: {image: x}}`, "must be a duration longer than 0 and at most 720h"},
		"less than no retries":             {`{adapterType: dns, retry: {limit: -1}, jobTemplate: {image: x}}`, "spec.retry.limit"},
		"a recheck that never rests":       {`{adapterType: dns, recheck: {every: 0s}, jobTemplate: {image: x}}`, "must be a duration longer than 0, such as 10s"},
		"a deletion without an image":      {`{adapterType: dns, jobTemplate: {image: x}, deletion: {jobTemplate: {}}}`, "spec.deletion.jobTemplate.image: Required"},
		"a variable that is the adapter's": {`{adapterType: dns, jobTemplate: {image: x, env: [{name: GENERATION}]}}`, "are set by the adapter"},
		"a request above its limit":        {`{adapterType: dns, jobTemplate: {image: x, resources: {requests: {cpu: 2}, limits: {cpu: 1500m}}}}`, "a request must not be above its limit"},
		"pubsub with a routing key":        {`{adapterType: dns, broker: {type: gcp-pubsub, routingKey: k}, jobTemplate: {image: x}}`, "only a broker of type rabbitmq has exchange and routingKey"},
		"no delivery at all":               {`{adapterType: dns, broker: {type: stub, maxDeliveries: 0}, jobTemplate: {image: x}}`, "spec.broker.maxDeliveries"},
	},
}

// refusedAsFile says whether the same document is refused as a file.
func refusedAsFile(doc io.Reader) bool {
	sentinels, adapters, err := v1alpha1.Decode(doc)
	for _, s := range sentinels {
		if err == nil {
			err = s.Validate()
		}
	}
	for _, a := range adapters {
		if err == nil {
			err = a.Validate()
		}
	}
	return err != nil
}

func TestTheAPIServerRefusesWhatAFileWouldBeRefusedFor(t *testing.T) {
	c := kubernetes(t)
	for kind, specs := range invalid {
		for name, tt := range specs {
			t.Run(kind+" with "+name, func(t *testing.T) {
				doc := "apiVersion: " + v1alpha1.APIVersion + "\nkind: " + kind + "\nmetadata: {name: x, namespace: " + c.Namespace + "}\nspec: " + tt.spec + "\n"
				var object unstructured.Unstructured
				if err := yaml.Unmarshal([]byte(doc), &object.Object); err != nil {
					t.Fatal(err)
				}
				err := c.client.Create(t.Context(), &object, kube.DryRunAll, kube.FieldValidation("Strict"))
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the API server says %v, want %q", err, tt.want)
				}
				if !refusedAsFile(strings.NewReader(doc)) {
					t.Error("a file may say it")
				}
			})
		}
	}
}
