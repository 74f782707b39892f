package kubedev

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// pauseImage is the image of what holds a pod's namespaces.
const pauseImage = "kubedev.invalid/pause:1"

// Image is a container image of one program that needs no libraries.
type Image struct {
	// Name is the image's reference, with its tag, as pods name it.
	Name string
	// Program is the path of the program on this machine; it becomes the entrypoint.
	Program string
	// Arguments are the entrypoint's, before a pod's own.
	Arguments []string
}

// Load gives images to the node. Pods use them with imagePullPolicy Never or
// IfNotPresent: there is nowhere to pull from.
func (c *Cluster) Load(t testing.TB, images ...Image) {
	t.Helper()
	for _, image := range images {
		archive := filepath.Join(t.TempDir(), "image.tar")
		if err := image.write(archive); err != nil {
			t.Fatal(err)
		}
		c.LoadArchive(t, archive)
	}
}

// LoadArchive gives the node all images of an archive, as `docker save` writes
// them or as an OCI layout.
func (c *Cluster) LoadArchive(t testing.TB, path string) {
	t.Helper()
	if c.plane.box == nil {
		t.Fatal("images need a node: kubedev.Options{Node: true}")
	}
	if err := c.plane.loadImages(testContext(t), path); err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
}

// write writes the image as an archive: its configuration, its one layer, and the
// manifest that names both. It runs as a user without rights.
func (i Image) write(path string) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(layer)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": append([]string{"/program"}, i.Arguments...), "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest}},
	})
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	manifest, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	archive := new(bytes.Buffer)
	w := tar.NewWriter(archive)
	err = errors.Join(addFile(w, "config.json", 0o644, config), addFile(w, "layer.tar", 0o644, layer), addFile(w, "manifest.json", 0o644, manifest), w.Close())
	if err := errors.Join(err, os.WriteFile(path, archive.Bytes(), 0o600)); err != nil {
		return fmt.Errorf("write image %s: %w", i.Name, err)
	}
	return nil
}

// layer is a file system that holds the program and a directory for temporary files.
func (i Image) layer() ([]byte, error) {
	program, err := os.ReadFile(i.Program)
	if err != nil {
		return nil, fmt.Errorf("read the program of image %s: %w", i.Name, err)
	}
	layer := new(bytes.Buffer)
	w := tar.NewWriter(layer)
	tmp := &tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: time.Unix(0, 0)}
	if err := errors.Join(w.WriteHeader(tmp), addFile(w, "program", 0o755, program), w.Close()); err != nil {
		return nil, fmt.Errorf("write the layer of image %s: %w", i.Name, err)
	}
	return layer.Bytes(), nil
}

func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(content))
	return err
}
