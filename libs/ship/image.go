package ship

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// user without rights; numbers, so that Kubernetes can tell that it is not root.
	user = "65532:65532"
	// where the list of a program's modules lies in its image.
	sbomDir = "usr/share/sbom"
	source  = "https://github.com/hyperfleet/hyperfleet"
)

// file is one of an image.
type file struct {
	path    string
	mode    int64
	content []byte
}

// image puts a program into an image of its own.
func image(p Program, s Source, platform Platform, program string, sbom []byte) (v1.Image, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.Command, err)
	}
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, one := range []struct {
		of    string
		files []file
	}{
		{"certificate authorities", []file{{certificatesPath, 0o644, roots}}},
		{p.Command, []file{{strings.TrimPrefix(p.Path, "/"), 0o755, text}, {path.Join(sbomDir, p.Command+".cdx.json"), 0o644, sbom}}},
	} {
		layer, err := layerOf(one.files, s.Time)
		if err != nil {
			return nil, fmt.Errorf("write the layer of %s: %w", one.of, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: s.Time}, CreatedBy: "ship", Comment: one.of}})
		if err != nil {
			return nil, fmt.Errorf("add the layer of %s: %w", one.of, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration of image %s: %w", p.Name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, v1.Time{Time: s.Time}
	config.Config = v1.Config{User: user, Entrypoint: []string{p.Path}, WorkingDir: "/", Labels: labels(p, s)}
	return mutate.ConfigFile(img, config)
}

func labels(p Program, s Source) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":         p.Title,
		"org.opencontainers.image.version":       s.Version,
		"org.opencontainers.image.revision":      s.Commit,
		"org.opencontainers.image.created":       s.Time.Format(time.RFC3339),
		"org.opencontainers.image.source":        source,
		"org.opencontainers.image.documentation": source + "/blob/main/" + p.Module + "/README.md",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.vendor":        "HyperFleet",
	}
}

// layerOf is a layer with files and their directories, all root's and equally old.
func layerOf(files []file, at time.Time) (v1.Layer, error) {
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	var made []string
	for _, f := range files {
		for i, c := range f.path {
			dir := f.path[:i+1]
			if c != '/' || slices.Contains(made, dir) {
				continue
			}
			made = append(made, dir)
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: at}); err != nil {
				return nil, err
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: at}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}

// Reference is the name under which an image is known, with its tag.
func Reference(registry string, p Program, version string) (string, error) {
	if registry == "" || strings.HasSuffix(registry, "/") {
		return "", errors.New("registry: want one such as quay.io/hyperfleet")
	}
	return registry + "/" + p.Name + ":" + version, nil
}
