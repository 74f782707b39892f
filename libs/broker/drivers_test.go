package broker

import (
	"errors"
	"strings"
	"testing"
)

func TestDriversOpenEachKindOnceAndNameWhatThereIs(t *testing.T) {
	opened := 0
	d := NewDrivers(map[string]Open{
		"good": func(Settings, Deps) (Driver, error) { opened++; return struct{ Driver }{}, nil },
		"bad":  func(Settings, Deps) (Driver, error) { return nil, errors.New("no address") },
	}, Settings{}, Deps{})
	for range 2 {
		if _, err := d.Get("good"); err != nil || opened != 1 {
			t.Fatalf("opened %d times, %v", opened, err)
		}
	}
	for kind, want := range map[string]string{"bad": "no address", "other": "only bad, good"} {
		if _, err := d.Get(kind); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", kind, err, want)
		}
	}
}
