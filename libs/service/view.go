package service

import (
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// View writes the effective settings as YAML in the form that a file takes.
// Secrets are shown as ***.
func (s *Settings) View(w io.Writer) error {
	all := map[string]any{}
	maps.Copy(all, s.Sections)
	for _, name := range s.names() {
		if flag := s.Flags.Lookup(name); flag != nil {
			all[name] = plain(inner(flag.Value))
		}
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return fmt.Errorf("show settings: %w", err)
	}
	_, err = w.Write(text)
	return err
}

// plain returns a flag's value as a person would write it in YAML.
func plain(v pflag.Value) any {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	text := v.String()
	switch v.Type() {
	case "bool":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case "int", "int32", "int64", "uint", "uint16", "uint32", "uint64", "float64":
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	if strings.HasPrefix(v.Type(), "stringTo") { // pflag shows mappings as [a=1,b=2] and takes a=1,b=2
		return strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	}
	return text
}
