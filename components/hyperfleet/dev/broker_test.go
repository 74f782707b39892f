package dev

import (
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

func TestOnlyAnEmulatorOfPubSubServesDevelopment(t *testing.T) {
	c := Config{Broker: "pubsub", Drivers: map[string]broker.Open{}}
	c.Drivers[broker.TypePubSub] = func(broker.Settings, broker.Deps) (broker.Driver, error) { return nil, nil }
	t.Setenv(emulatorHost, "")
	if err := c.validateBroker(); err == nil || !strings.Contains(err.Error(), emulatorHost) {
		t.Errorf("without an emulator: %v", err)
	}
	t.Setenv(emulatorHost, "127.0.0.1:8085")
	if err := c.validateBroker(); err != nil {
		t.Errorf("with an emulator: %v", err)
	}
}

func TestTheBrokerIsOneThatTheProgramHas(t *testing.T) {
	for kind, want := range map[string]string{"": "", "stub": "", "rabbitmq": "there is stub", "nats": "there is stub"} {
		err := Config{Broker: kind}.validateBroker()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", kind, err, want)
		}
	}
}
