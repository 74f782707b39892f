package pullsecret

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Default is the shipped source: one credential, which opens nothing.
//
//go:embed default.json
var Default []byte

// Source is one file of credentials in dockerconfigjson form.
type Source struct {
	Name string // of the file, for people
	Text []byte
}

// entry is one registry's credential. Its form is kept as it is.
type entry = json.RawMessage

// Merge puts the registries of all sources together; a later source wins over
// an earlier one, which is a warning where they differ. The error names every
// source that cannot be used and why, without any of its text.
func Merge(sources []Source) (config []byte, registries int, warnings []string, err error) {
	merged := map[string]entry{}
	from := map[string]string{}
	var problems []error
	for _, s := range sources {
		auths, ignored, err := parse(s.Text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.Name, err))
			continue
		}
		if len(ignored) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: only auths counts, not %s", s.Name, strings.Join(ignored, ", ")))
		}
		for _, registry := range slices.Sorted(maps.Keys(auths)) {
			if old, ok := merged[registry]; ok && !bytes.Equal(old, auths[registry]) {
				warnings = append(warnings, fmt.Sprintf("%s: %s replaces what %s says", registry, s.Name, from[registry]))
			}
			merged[registry], from[registry] = auths[registry], s.Name
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, 0, nil, err
	}
	config, err = json.Marshal(map[string]any{"auths": merged})
	if err != nil {
		return nil, 0, nil, errors.New("encode the merged credentials") // the cause would quote them
	}
	return config, len(merged), warnings, nil
}

// parse reads one source. Causes are dropped on purpose: they quote.
func parse(text []byte) (auths map[string]entry, ignored []string, err error) {
	var file map[string]json.RawMessage
	if json.Unmarshal(text, &file) != nil {
		return nil, nil, errors.New(`is no JSON object of the form {"auths":{"<registry>":{"auth":"…"}}}`)
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(file["auths"], &raw) != nil || len(raw) == 0 {
		return nil, nil, errors.New("auths: want an object with at least one registry")
	}
	for _, key := range slices.Sorted(maps.Keys(file)) {
		if key != "auths" && known(key) {
			ignored = append(ignored, key)
		}
	}
	auths = map[string]entry{}
	var problems []error
	for i, registry := range slices.Sorted(maps.Keys(raw)) {
		if registry == "" || strings.ContainsAny(registry, " @\t\r\n\"") {
			problems = append(problems, fmt.Errorf("auths: registry %d in alphabetical order is no host name", i+1))
			continue
		}
		var compact bytes.Buffer
		if why := check(raw[registry]); why != "" {
			problems = append(problems, fmt.Errorf("auths.%s: %s", registry, why))
		} else if json.Compact(&compact, raw[registry]) == nil {
			auths[registry] = compact.Bytes()
		}
	}
	return auths, ignored, errors.Join(problems...)
}

// known says that a key is one of the form's other keys, so that naming it
// gives nothing away.
func known(key string) bool {
	return slices.Contains([]string{"credHelpers", "credsStore", "HttpHeaders", "proxies", "plugins"}, key)
}

// check says what is wrong with a credential, or "".
func check(text json.RawMessage) string {
	var e struct {
		Auth          string `json:"auth"`
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
	}
	if json.Unmarshal(text, &e) != nil {
		return "want an object with auth, or with username and password"
	}
	if e.Auth != "" {
		pair, err := base64.StdEncoding.DecodeString(e.Auth)
		if err != nil || !bytes.Contains(pair, []byte(":")) {
			return "auth: want user:password in base64"
		}
		return ""
	}
	if e.IdentityToken == "" && (e.Username == "" || e.Password == "") {
		return "holds no credential: want auth, or username and password"
	}
	return ""
}
