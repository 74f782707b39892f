package render

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Names of the release and the namespace that everything is rendered for.
const (
	Release   = "hyperfleet"
	Namespace = "hyperfleet-system"
)

// kubernetes is the version that Helm is told, which does not ask anybody.
const kubernetes = "1.37.2"

// Chart renders the chart in dir with one of the Helms, as Release in Namespace,
// with the given further arguments, such as -f and --set.
func Chart(ctx context.Context, helm, dir string, arguments ...string) ([]*unstructured.Unstructured, error) {
	home, err := os.MkdirTemp("", "helm-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for Helm: %w", err)
	}
	defer os.RemoveAll(home)
	arguments = append([]string{"template", Release, dir, "--namespace=" + Namespace, "--kube-version=" + kubernetes}, arguments...)
	return run(ctx, []string{"HELM_CACHE_HOME=" + home, "HELM_CONFIG_HOME=" + home, "HELM_DATA_HOME=" + home}, helm, arguments...)
}

// Kustomization builds the kustomization in dir.
func Kustomization(ctx context.Context, kustomize, dir string) ([]*unstructured.Unstructured, error) {
	return run(ctx, nil, kustomize, "build", dir)
}

// Tool is the path of one of the pinned tools in the repository at root.
func Tool(root, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(root, "bin", name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not built: make bin/%s", name, name)
	}
	return path, nil
}

// run runs a tool and reads the objects that it prints. What the tool complains
// of is the error.
func run(ctx context.Context, env []string, tool string, arguments ...string) ([]*unstructured.Unstructured, error) {
	cmd := exec.CommandContext(ctx, tool, arguments...) //nolint:gosec // one of the pinned tools
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &complaint, append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(tool), arguments[0], err, strings.TrimSpace(complaint.String()))
	}
	return Decode(out.Bytes())
}

// Decode reads the documents of a manifest; one that is empty is no object.
func Decode(manifest []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, fmt.Errorf("read manifest: %w:\n%s", err, document)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
