package service

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func program(run func(context.Context) error, listen *string) Program {
	return Program{
		Name: "t", Short: "A test.",
		Declare: func(s *Settings) { s.Flags.StringVar(listen, "listen", ":1", "") },
		Validate: func() error {
			if *listen == "" {
				return errors.New("listen: must not be empty")
			}
			return nil
		},
		Run: run,
	}
}

func execute(t *testing.T, p Program, args ...string) (code int, out, stderr string) {
	t.Helper()
	cmd, _ := p.Command()
	var o, e bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	code = Main(cmd)
	return code, o.String(), e.String()
}

func TestAProgramRunsWithItsSettings(t *testing.T) {
	var listen, seen string
	code, _, stderr := execute(t, program(func(context.Context) error { seen = listen; return nil }, &listen), "--listen=:9")
	if code != 0 || seen != ":9" {
		t.Errorf("code %d, listen %q: %s", code, seen, stderr)
	}
}

func TestAProgramWithBadSettingsDoesNotRun(t *testing.T) {
	t.Setenv("HYPERFLEET_LISTN", "x")
	var listen string
	code, _, stderr := execute(t, program(func(context.Context) error { t.Error("it ran"); return nil }, &listen), "--listen=")
	if code != 1 || !strings.Contains(stderr, "listen: must not be empty") || !strings.Contains(stderr, "HYPERFLEET_LISTN") {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestConfigViewPrintsTheSettings(t *testing.T) {
	var listen string
	code, out, stderr := execute(t, program(nil, &listen), "config", "view", "--listen=:9")
	if code != 0 || out != "listen: :9\n" {
		t.Errorf("code %d: %q %s", code, out, stderr)
	}
}

func TestAProgramThatFailsSaysWhy(t *testing.T) {
	var listen string
	code, _, stderr := execute(t, program(func(context.Context) error { return errors.New("boom") }, &listen))
	if code != 1 || stderr != "t: boom\n" {
		t.Errorf("code %d: %q", code, stderr)
	}
}

func TestAProgramThatDoesNotStopIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		begin := time.Now()
		if err := await(ctx, make(chan error), stopWithin); err == nil || !strings.Contains(err.Error(), "did not stop") {
			t.Errorf("await = %v", err)
		}
		if took := time.Since(begin) - time.Hour; took > 10*time.Second {
			t.Errorf("it took %s after the signal", took)
		}
	})
}

func TestTheVersionIsTheReleaseElseTheCommit(t *testing.T) {
	t.Parallel()
	for want, info := range map[string]*debug.BuildInfo{
		"v1.2.3":             {Main: debug.Module{Version: "v1.2.3"}},
		"0123456789ab+dirty": {Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}},
		"dev":                {},
	} {
		if got := version(info); got != want {
			t.Errorf("version = %q, want %q", got, want)
		}
	}
	if Version() == "" {
		t.Error("no version")
	}
}
