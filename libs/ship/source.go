package ship

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Source is what is built.
type Source struct {
	Root    string    // directory of the repository
	Version string    // such as v2.0.0
	Commit  string    // full, with "+dirty" for a changed tree
	Time    time.Time // the commit's: every file and every image is as old as that
}

// Platform is what programs are built for.
type Platform struct{ OS, Architecture string }

func (p Platform) String() string { return p.OS + "/" + p.Architecture }

// ParsePlatform reads text such as linux/amd64.
func ParsePlatform(text string) (Platform, error) {
	os, architecture, ok := strings.Cut(text, "/")
	if !ok || os != "linux" || architecture == "" || strings.Contains(architecture, "/") {
		return Platform{}, fmt.Errorf("platform %q: want one such as linux/amd64", text)
	}
	return Platform{OS: os, Architecture: architecture}, nil
}

// A version is also the images' tag, in which + is not allowed.
var version = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// Find reads what the repository says of itself; an empty version is the commit's.
func Find(ctx context.Context, root, wanted string) (Source, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Source{}, fmt.Errorf("find the repository: %w", err)
	}
	s := Source{Root: root, Version: wanted}
	commit, err := s.git(ctx, "rev-parse", "HEAD")
	changed, changedErr := s.git(ctx, "status", "--porcelain")
	seconds, secondsErr := s.git(ctx, "log", "-1", "--format=%ct")
	if err := errors.Join(err, changedErr, secondsErr); err != nil {
		return Source{}, err
	}
	s.Commit = commit
	if changed != "" {
		s.Commit += "+dirty"
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Source{}, fmt.Errorf("read the commit's time: %w", err)
	}
	s.Time = time.Unix(at, 0).UTC()
	if s.Version == "" {
		s.Version = "v0.0.0-" + commit[:12]
	}
	if !version.MatchString(s.Version) {
		return Source{}, fmt.Errorf("version %q: want one that can be an image's tag, such as v2.0.0", s.Version)
	}
	return s, nil
}

func (s Source) git(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", arguments...) //nolint:gosec // constants
	cmd.Dir = s.Root
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said = ": " + strings.TrimSpace(string(exit.Stderr))
		}
		return "", fmt.Errorf("git %s: %w%s", strings.Join(arguments, " "), err, said)
	}
	return strings.TrimSpace(string(out)), nil
}
