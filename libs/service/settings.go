package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// Settings are what an operator sets for a process. Each is a flag, and may also
// stand under the flag's name in a YAML file and in the environment: the flag
// --database-url is `database-url:` and HYPERFLEET_DATABASE_URL. What has a
// structure is a section of the file alone.
//
// Defaults give way to the file, the file to the environment, the environment
// to flags.
type Settings struct {
	Flags *pflag.FlagSet // every setting, with its default

	// FileFlag names the flag, one of Flags, that names the YAML file; "" = there is no file.
	FileFlag string
	// Sections are the file's structured keys: pointers to what they are decoded
	// into, strictly. What a file leaves out keeps its value.
	Sections map[string]any
	// Aliases are further environment variables, with the flags they set.
	// DATABASE_URL and LOG_LEVEL are always there for the flags of that name.
	Aliases map[string]string
	// Ignored are HYPERFLEET_ variables that are meant for other programs.
	Ignored []string

	given []error // what was wrong with flags
}

// Load takes the settings from the file and the environment (as os.Environ gives
// it); Flags must have been parsed. Its error names every problem at once.
func (s *Settings) Load(environ []string) error {
	problems := s.given
	if s.FileFlag != "" {
		// The file's name comes from a flag or the environment, never from the file.
		if value, name, ok := s.fromEnvironment(environ, s.FileFlag); ok {
			problems = append(problems, s.set(s.FileFlag, name, value))
		}
		if path := s.Flags.Lookup(s.FileFlag).Value.String(); path != "" {
			problems = append(problems, s.loadFile(path, environ))
		}
	}
	problems = append(problems, s.loadEnvironment(environ))
	return errors.Join(problems...)
}

// loadFile sets what the file says, except what the environment or a flag says too.
func (s *Settings) loadFile(path string, environ []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(asJSON, &keys); err != nil {
		return fmt.Errorf("%s: must be a mapping from settings to values", path)
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		var found []error
		if target, ok := s.Sections[key]; ok {
			found = loadSection(key, keys[key], target)
		} else if err := s.loadKey(key, keys[key], environ); err != nil {
			found = []error{err}
		}
		for _, err := range found {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(problems...)
}

func (s *Settings) loadKey(key string, value json.RawMessage, environ []string) error {
	flag := s.Flags.Lookup(key)
	if flag == nil || key == s.FileFlag || key == "help" {
		return fmt.Errorf("%s: is no setting%s", key, s.known())
	}
	texts, err := scalars(value)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if _, _, ok := s.fromEnvironment(environ, key); ok || flag.Changed {
		return nil
	}
	return setValue(flag, key, texts)
}

// scalars turns a YAML value into the texts that a flag understands: one for a
// scalar, one per element of a list or mapping of scalars.
func scalars(value json.RawMessage) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			var ok bool
			if texts[i], ok = scalar(e); !ok {
				return nil, fmt.Errorf("element %d must be a string, number or boolean", i)
			}
		}
		return texts, nil
	case map[string]any:
		texts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			text, ok := scalar(v[k])
			if !ok {
				return nil, fmt.Errorf("%s must be a string, number or boolean", k)
			}
			texts = append(texts, k+"="+text)
		}
		return texts, nil
	default:
		text, ok := scalar(v)
		if !ok {
			return nil, errors.New("has no value")
		}
		return []string{text}, nil
	}
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, json.Number:
		return fmt.Sprint(v), true
	}
	return "", false
}

// setValue sets a flag without marking it as given on the command line. where
// says in an error what named the value.
func setValue(flag *pflag.Flag, where string, texts []string) error {
	value := inner(flag.Value)
	err := trySet(value, func() error {
		if list, ok := value.(pflag.SliceValue); ok {
			return list.Replace(texts)
		}
		return value.Set(strings.Join(texts, ","))
	})
	if err != nil {
		return fmt.Errorf("%s: must be of type %s: %w", where, flag.Value.Type(), err)
	}
	return nil
}

// names lists every key that a file may have.
func (s *Settings) names() []string {
	names := slices.Collect(maps.Keys(s.Sections))
	s.Flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != s.FileFlag && f.Name != "help" && f.Name != "version" {
			names = append(names, f.Name)
		}
	})
	slices.Sort(names)
	return names
}

// known lists what there is, so that a typo is seen at once.
func (s *Settings) known() string {
	return " (there are " + strings.Join(s.names(), ", ") + ")"
}
