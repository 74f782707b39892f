package ship

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is one that is shipped as an image.
type Program struct {
	Name    string // of the image: the last part of its reference
	Module  string // directory of its module
	Command string // the program's name, and of its package below cmd
	Path    string // of the program in the image
	Title   string // one line for people
}

// Programs are all that are shipped.
func Programs() []Program {
	programs := []Program{
		{Name: "api", Module: "components/api", Command: "hyperfleet-api", Path: "/hyperfleet-api", Title: "HyperFleet API"},
		{Name: "sentinel", Module: "components/sentinel", Command: "hyperfleet-sentinel", Path: "/hyperfleet-sentinel", Title: "HyperFleet sentinel"},
		{Name: "adapter", Module: "components/adapter", Command: "hyperfleet-adapter", Path: "/hyperfleet-adapter", Title: "HyperFleet adapter of every type"},
	}
	for _, job := range []string{"validation", "dns", "placement", "pullsecret", "hypershift"} {
		programs = append(programs, Program{
			Name: job + "-job", Module: "components/jobs", Command: job + "-job", Path: "/job", Title: "HyperFleet Job of the " + job + " adapter",
		})
	}
	return programs
}

// Dockerfile is the path of the file that makes the same image with a container engine.
func (p Program) Dockerfile() string { return filepath.Join(p.Module, "Dockerfile") }

// stamped are the variables of libs/service that a build sets.
const stamped = "github.com/hyperfleet/hyperfleet/libs/service."

// build makes the static program of a platform in dir.
func (p Program) build(ctx context.Context, s Source, platform Platform, dir string) (string, *buildinfo.BuildInfo, error) {
	out := filepath.Join(dir, p.Command)
	flags := fmt.Sprintf("-s -w -X %[1]srelease=%[2]s -X %[1]scommit=%[3]s", stamped, s.Version, s.Commit)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, "./cmd/"+p.Command) //nolint:gosec // the house's own
	cmd.Dir = filepath.Join(s.Root, p.Module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("build %s for %s: %w\n%s", p.Command, platform, err, strings.TrimSpace(string(said)))
	}
	info, err := buildinfo.ReadFile(out)
	if err != nil {
		return "", nil, fmt.Errorf("read what %s is made of: %w", p.Command, err)
	}
	return out, info, nil
}
