package adapter

import (
	"slices"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestSubscriptionsOnRabbitMQAreOfOneTypeEach(t *testing.T) {
	cfg := DefaultConfig()
	cfg.APIURL = "http://localhost"
	cfg.Adapter = &v1alpha1.AdapterConfig{Spec: v1alpha1.AdapterConfigSpec{
		AdapterType: "dns", ResourceTypes: []string{"clusters", "nodepools"}, JobTemplate: v1alpha1.JobTemplate{Image: "x"},
		Broker: &v1alpha1.SubscriberBroker{Type: broker.TypeRabbitMQ, Exchange: "hyperfleet.clusters", RoutingKey: "clusters.changed"},
	}}
	cfg.Adapter.Name = "dns-adapter"
	a, err := cfg.resolve()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range subscriptions(a, 1) {
		got = append(got, strings.Join([]string{s.Subscription, s.Broker.Exchange, s.Broker.RoutingKey}, " "))
	}
	want := []string{"dns-adapter-sub hyperfleet.clusters clusters.changed", "dns-adapter-sub-nodepools hyperfleet.nodepools nodepools.changed"}
	if !slices.Equal(got, want) {
		t.Errorf("subscriptions %q, want %q", got, want)
	}
	cfg.Adapter.Spec.Broker.Exchange, cfg.Adapter.Spec.Broker.RoutingKey = "events", "changed"
	if _, err := cfg.resolve(); err == nil || !strings.Contains(err.Error(), "must name clusters") {
		t.Errorf("a route that both types share gave %v", err)
	}
}
