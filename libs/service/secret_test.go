package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

func TestASecretIsShownNowhere(t *testing.T) {
	t.Parallel()
	const text = "hunter2"
	type settings struct {
		Password Secret
	}
	var out bytes.Buffer
	s := settings{Password: text}
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x ", s, s, s, s.Password, s.Password, s.Password)
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(map[string]Secret{"password": text})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	out.Write(asYAML)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "a", s.Password, "b", s)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "a", s.Password, "b", s)
	if got := out.String(); strings.Contains(got, text) || strings.Contains(got, fmt.Sprintf("%x", text)) {
		t.Errorf("the secret shows in %s", got)
	}
	if s.Password.Reveal() != text {
		t.Error("Reveal does not give it")
	}
}

func TestASecretIsAFlag(t *testing.T) {
	t.Parallel()
	var s Secret
	flags := pflag.NewFlagSet("t", pflag.ContinueOnError)
	flags.Var(&s, "password", "")
	if err := flags.Parse([]string{"--password=hunter2"}); err != nil {
		t.Fatal(err)
	}
	if s.Reveal() != "hunter2" || flags.Lookup("password").Value.String() != "***" {
		t.Errorf("got %q, shown as %q", s.Reveal(), flags.Lookup("password").Value)
	}
}
