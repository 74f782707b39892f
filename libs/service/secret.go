package service

import "log/slog"

// redacted stands for a secret wherever one could be read.
const redacted = "***"

// Secret is a setting that no log, error or `config view` may show. It is a
// pflag.Value; only Reveal gives its text.
type Secret string

// Reveal returns the secret's text.
func (s Secret) Reveal() string { return string(s) }

// String returns *** for a secret that is set, "" for one that is not.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String: %#v shows no more than %v does.
func (s Secret) GoString() string { return s.String() }

// MarshalText makes every encoder write what String says.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is MarshalText for JSON and YAML.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue makes slog write what String says.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Set sets the secret. It never fails: an error would quote the value.
func (s *Secret) Set(text string) error {
	*s = Secret(text)
	return nil
}

// Type names the type in a flag's help.
func (*Secret) Type() string { return "secret" }
