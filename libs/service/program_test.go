package service

import (
	"bytes"
	"context"
	"errors"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
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
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	code = Main(cmd, args)
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

func TestEveryBadFlagIsNamedAndNothingElse(t *testing.T) {
	t.Setenv("HYPERFLEET_GRACE", "later")
	var listen string
	var wait, grace time.Duration
	var conns int
	p := program(func(context.Context) error { t.Error("it ran"); return nil }, &listen)
	declare, validate := p.Declare, p.Validate
	p.Declare = func(s *Settings) {
		declare(s)
		s.Flags.DurationVar(&wait, "wait", time.Minute, "")
		s.Flags.DurationVar(&grace, "grace", time.Minute, "")
		s.Flags.IntVar(&conns, "conns", 16, "")
	}
	p.Validate = func() error {
		if wait != time.Minute || grace != time.Minute || conns != 16 {
			return errors.New("phantom")
		}
		return validate()
	}
	code, _, stderr := execute(t, p, "--conns", "abc", "--bogus", "7", "--wait=soon", "--verbose", "--listen=")
	for _, want := range []string{"--conns: ", "--wait: ", "--bogus: unknown flag", "--verbose: unknown flag", "HYPERFLEET_GRACE: ", "listen: must not be empty"} {
		if !strings.Contains(stderr, "  - "+want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != 1 || strings.Contains(stderr, "phantom") || strings.Count(stderr, "\n") != 7 {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestACommandThatNeedsAnotherFailsWithoutIt(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"config"}, "t: t config: needs a command (there are view)\n"},
		{[]string{"config", "viw"}, "t: t config: unknown command \"viw\" (there are view)\n"},
		{[]string{"cnfig"}, "t: t: unknown command \"cnfig\" (there are completion, config)\n"},
		{[]string{"completion"}, "t: t completion: needs a command (there are bash, fish, powershell, zsh)\n"},
	} {
		var listen string
		code, out, stderr := execute(t, program(func(context.Context) error { t.Error("it ran"); return nil }, &listen), tt.args...)
		if code != 1 || out != "" || stderr != tt.want {
			t.Errorf("%q: code %d: %q %q, want %q", tt.args, code, out, stderr, tt.want)
		}
	}
}

func TestConfigViewPrintsBadSettingsToo(t *testing.T) {
	var listen string
	code, out, stderr := execute(t, program(nil, &listen), "config", "view", "--listen=")
	if code != 1 || out != "listen: \"\"\n" || !strings.Contains(stderr, "listen: must not be empty") {
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

func TestAClosedTerminalStopsAProgramAsSIGTERMDoes(t *testing.T) {
	stop := syscall.SIGHUP
	if signal.Ignored(stop) { // nohup runs the tests, and what it runs outlives the terminal
		stop = syscall.SIGTERM
	}
	var listen string
	code, _, stderr := execute(t, program(func(ctx context.Context) error {
		if err := syscall.Kill(syscall.Getpid(), stop); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}, &listen))
	if code != 0 {
		t.Errorf("code %d: %s", code, stderr)
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
	if Version() == "" || described() != Version() {
		t.Errorf("version %q, described as %q", Version(), described())
	}
	if got := short("0123456789012345678901234567890123456789+dirty"); got != "012345678901+dirty" {
		t.Errorf("short = %q", got)
	}
}
