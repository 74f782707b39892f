package broker

import (
	"strings"
	"testing"
)

func TestSettingsNameEveryProblemAndNoSecret(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		want     []string
	}{
		"nothing set":                    {Settings{}, nil},
		"an address without password":    {Settings{URL: "amqp://app@rabbitmq:5672/"}, nil},
		"an address with a password":     {Settings{URL: "amqp://app:hunter2@rabbitmq/"}, []string{"password"}},
		"an address that is no URL":      {Settings{URL: "amqp://app:hunter2@[::1"}, []string{"no URL"}},
		"everything wrong":               {Settings{URL: "amqp://h", URLFile: "f", CertFile: "c", PasswordFile: "p"}, []string{"one of them", "both or neither", "needs --broker-username-file"}},
		"the password without a name":    {Settings{PasswordFile: "p"}, []string{"needs --broker-username-file"}},
		"credentials beside the address": {Settings{URL: "amqps://h", UsernameFile: "u", PasswordFile: "p"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.settings.Validate()
			if (err == nil) != (len(c.want) == 0) {
				t.Fatalf("Validate gave %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q tells the password", err)
			}
		})
	}
}
