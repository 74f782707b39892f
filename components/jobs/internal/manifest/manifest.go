package manifest

import (
	"bytes"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Meta is the metadata of an object.
type Meta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// SecretObject is a Secret of the core API. Data is base64 in the manifest.
type SecretObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   Meta              `json:"metadata"`
	Type       string            `json:"type"`
	Data       map[string][]byte `json:"data"`
}

// Secret returns the manifest of a Secret of the given type.
func Secret(m Meta, typ string, data map[string][]byte) ([]byte, error) {
	return YAML(SecretObject{"v1", "Secret", m, typ, data})
}

// ParseSecret reads what [Secret] has written.
func ParseSecret(text []byte) (SecretObject, error) {
	var s SecretObject
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		return SecretObject{}, fmt.Errorf("read a Secret: %w", err)
	}
	return s, nil
}

// YAML returns objects as the documents of one file.
func YAML(objects ...any) ([]byte, error) {
	var file bytes.Buffer
	for i, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("encode manifest %d: %w", i, err)
		}
		if i > 0 {
			file.WriteString("---\n")
		}
		file.Write(text)
	}
	return file.Bytes(), nil
}
