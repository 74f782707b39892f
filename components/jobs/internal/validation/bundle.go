package validation

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
)

// maxBundle bounds a bundle, packed and unpacked, in bytes.
const maxBundle = 16 << 20

// How the files of a bundle are told apart. What ends otherwise is passed over.
const (
	policiesSuffix = ".yaml"
	testsSuffix    = ".test.yaml"
	schemaSuffix   = ".schema.json" // after the resource type
)

// Bundle is the files of a bundle, not yet compiled.
type Bundle struct {
	Name  string // where it comes from, for people
	Files map[string][]byte
}

// Open reads the bundle that source names: a YAML file of policies, a directory
// (a mounted ConfigMap is one), or URL#sha256=<hex> of a YAML file or of a zip
// archive. A server that does not answer may do so later; a checksum that
// differs is final.
func Open(ctx context.Context, client *http.Client, source string) (Bundle, error) {
	if strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://") {
		return fetch(ctx, client, source)
	}
	info, err := os.Stat(source)
	if err != nil {
		return Bundle{}, err
	}
	if info.IsDir() {
		return read(source, os.DirFS(source))
	}
	text, err := os.ReadFile(source)
	return Bundle{source, map[string][]byte{filepath.Base(source) + policiesSuffix: text}}, err
}

// fetch downloads a bundle and compares its checksum.
func fetch(ctx context.Context, client *http.Client, source string) (Bundle, error) {
	url, want, ok := strings.Cut(source, "#sha256=")
	sum, err := hex.DecodeString(want)
	if !ok || err != nil || len(sum) != sha256.Size {
		return Bundle{}, fmt.Errorf("bundle %s: want its checksum after it: #sha256= and 64 hexadecimal digits", url)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Bundle{}, fmt.Errorf("fetch the bundle: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return Bundle{}, exit.Later(fmt.Errorf("fetch the bundle: %w", err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		err := fmt.Errorf("fetch the bundle %s: the server answered %s", url, response.Status)
		if response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests {
			err = exit.Later(err)
		}
		return Bundle{}, err
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxBundle+1))
	switch {
	case err != nil:
		return Bundle{}, exit.Later(fmt.Errorf("fetch the bundle %s: %w", url, err))
	case len(data) > maxBundle:
		return Bundle{}, fmt.Errorf("bundle %s: larger than %d bytes", url, maxBundle)
	}
	if got := sha256.Sum256(data); !bytes.Equal(got[:], sum) {
		return Bundle{}, fmt.Errorf("bundle %s: its checksum is sha256=%x, not the one that was asked for: nothing of it is used", url, got)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil { // no archive
		return Bundle{url, map[string][]byte{path.Base(url) + policiesSuffix: data}}, nil
	}
	return read(url, archive)
}

// read takes the files at the top of a directory. Kubernetes keeps what a
// mounted ConfigMap was before in directories beside them.
func read(name string, dir fs.FS) (Bundle, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return Bundle{}, fmt.Errorf("read the bundle %s: %w", name, err)
	}
	b := Bundle{name, map[string][]byte{}}
	room := int64(maxBundle)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), policiesSuffix) && !strings.HasSuffix(e.Name(), schemaSuffix) {
			continue
		}
		f, err := dir.Open(e.Name())
		if err != nil {
			return Bundle{}, fmt.Errorf("read the bundle %s: %w", name, err)
		}
		text, err := io.ReadAll(io.LimitReader(f, room+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return Bundle{}, fmt.Errorf("read the bundle %s: %w", name, err)
		}
		if room -= int64(len(text)); room < 0 {
			return Bundle{}, fmt.Errorf("bundle %s: larger than %d bytes", name, maxBundle)
		}
		b.Files[e.Name()] = text
	}
	return b, nil
}
