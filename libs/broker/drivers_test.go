package broker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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
		if _, err := d.Get("good", ""); err != nil || opened != 1 {
			t.Fatalf("opened %d times, %v", opened, err)
		}
	}
	for kind, want := range map[string]string{"bad": "no address", "other": "only bad, good"} {
		if _, err := d.Get(kind, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", kind, err, want)
		}
	}
}

func TestASecretTakesThePlaceOfTheProgramsSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(secret, key string) string {
		file := filepath.Join(dir, secret, key)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	process := Settings{URL: "amqp://here", UsernameFile: "u", PasswordFile: "p", CAFile: "ca", SecretsDir: dir}
	elsewhere, renamed := process, process
	elsewhere.URL, elsewhere.UsernameFile, elsewhere.PasswordFile = "", "", ""
	elsewhere.URLFile, elsewhere.CAFile = write("elsewhere", "url"), write("elsewhere", "ca.crt")
	renamed.UsernameFile, renamed.PasswordFile = write("renamed", "username"), write("renamed", "password")
	var opened []Settings
	d := NewDrivers(map[string]Open{"rabbit": func(s Settings, _ Deps) (Driver, error) {
		opened = append(opened, s)
		return struct{ Driver }{}, nil
	}}, process, Deps{})
	for _, secret := range []string{"", "elsewhere", "renamed", "elsewhere", ""} {
		if _, err := d.Get("rabbit", secret); err != nil {
			t.Fatal(err)
		}
	}
	if want := []Settings{process, elsewhere, renamed}; !slices.Equal(opened, want) {
		t.Errorf("opened with\n%+v, want\n%+v", opened, want)
	}
	if _, err := d.Get("rabbit", "missing"); err == nil || !strings.Contains(err.Error(), "broker.secretRef: missing: nothing of it is mounted at "+dir) {
		t.Errorf("a Secret that is not mounted: %v", err)
	}
	if _, err := (Settings{}).WithSecret("x"); err == nil || !strings.Contains(err.Error(), "set --broker-secrets-dir") {
		t.Errorf("without a folder: %v", err)
	}
}
