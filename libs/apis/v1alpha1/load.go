package v1alpha1

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// APIVersion is what every document of this package says in apiVersion.
const APIVersion = "hyperfleet.redhat.com/v1alpha1"

// Kinds of document.
const (
	KindSentinelConfig = "SentinelConfig"
	KindAdapterConfig  = "AdapterConfig"
)

// Decode reads the YAML (or JSON) documents of r strictly: an unknown field, a
// repeated key, a wrong type or another kind is an error, and the error names
// every problem of every document with its field path. What it returns is as
// written: without defaults and not validated.
func Decode(r io.Reader) ([]SentinelConfig, []AdapterConfig, error) {
	var (
		l    loader
		docs = yamlutil.NewYAMLReader(bufio.NewReader(r))
	)
	for n := 1; ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.problems = append(l.problems, fmt.Errorf("read document %d: %w", n, err))
			break
		}
		if l.document(fmt.Sprintf("document %d", n), doc) {
			n++
		}
	}
	return l.sentinels, l.adapters, errors.Join(l.problems...)
}

// loader gathers the documents of one file and what is wrong with them.
type loader struct {
	sentinels []SentinelConfig
	adapters  []AdapterConfig
	problems  []error
}

// document reads one document and says whether there was one: comments alone
// are none.
func (l *loader) document(where string, doc []byte) bool {
	raw, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		l.problem(where, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return true
	}
	if bytes.Equal(raw, []byte("null")) {
		return false
	}
	var meta struct {
		metav1.TypeMeta
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	// Its problems, if any, are named below with their paths.
	if err := json.Unmarshal(raw, &meta); err == nil && meta.Metadata.Name != "" {
		where += " (" + meta.Kind + " " + meta.Metadata.Name + ")"
	}
	if meta.APIVersion != APIVersion {
		l.problem(where, "apiVersion: must be %s, not %q", APIVersion, meta.APIVersion)
		return true
	}
	switch meta.Kind {
	case KindSentinelConfig:
		l.sentinels = read(l, where, raw, l.sentinels)
	case KindAdapterConfig:
		l.adapters = read(l, where, raw, l.adapters)
	default:
		l.problem(where, "kind: must be %s or %s, not %q", KindSentinelConfig, KindAdapterConfig, meta.Kind)
	}
	return true
}

func (l *loader) problem(where, format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

// judged is a document that names what is wrong with it by field.
type judged interface{ problems() field.ErrorList }

// read decodes raw into a T. What does not have T's form is named and left out.
func read[T judged](l *loader, where string, raw []byte, into []T) []T {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		l.problem(where, "%s", err)
		return into
	}
	misfits := form("", value, reflect.TypeFor[T]())
	whole := true
	for _, m := range misfits {
		l.problem(where, "%s", m)
		whole = whole && m.unknown
	}
	var out T
	rest, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(rest, &out)
	}
	switch {
	case err != nil:
		l.problem(where, "%s", err)
	case whole:
		return append(into, out)
	default:
		for _, e := range out.problems() {
			if !slices.ContainsFunc(misfits, func(m misfit) bool { return !m.unknown && (within(m.path, e.Field) || within(e.Field, m.path)) }) {
				l.problem(where, "%s", e)
			}
		}
	}
	return into
}

// within says whether path is outer, or in it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
