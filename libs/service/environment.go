package service

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// envPrefix begins the names of HyperFleet's environment variables.
const envPrefix = "HYPERFLEET_"

// forClients are variables that `hyperfleet dev` and operators set for clients of
// the API; a server may well be started from the same shell.
var forClients = []string{"HYPERFLEET_URL", "HYPERFLEET_TOKEN", "HYPERFLEET_API"}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment returns what the environment says about a flag, and under
// which name. HyperFleet's own name goes before an alias.
func (s *Settings) fromEnvironment(environ []string, flag string) (value, name string, ok bool) {
	for _, name := range append([]string{variable(flag)}, s.aliasesOf(flag)...) {
		for _, kv := range environ {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value, name, true
			}
		}
	}
	return "", "", false
}

func (s *Settings) aliasesOf(flag string) []string {
	var names []string
	for name, f := range s.Aliases {
		if f == flag {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch flag {
	case "database-url":
		names = append(names, "DATABASE_URL")
	case "log-level":
		names = append(names, "LOG_LEVEL")
	}
	return names
}

// loadEnvironment sets what the environment says, except what a flag says too.
// A HYPERFLEET_ variable that nobody declared is a problem: it is mostly a typo.
func (s *Settings) loadEnvironment(environ []string) error {
	var problems []error
	known := map[string]bool{}
	for _, name := range s.names() {
		if s.Flags.Lookup(name) == nil {
			continue
		}
		known[variable(name)] = true
		if value, from, ok := s.fromEnvironment(environ, name); ok {
			problems = append(problems, s.set(name, from, value))
		}
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix) && !known[name] && !s.isOthers(name, value) {
			problems = append(problems, fmt.Errorf("%s: is no setting of this program", name))
		}
	}
	return errors.Join(problems...)
}

// set sets a flag from the environment unless the command line did.
func (s *Settings) set(name, from, value string) error {
	flag := s.Flags.Lookup(name)
	if flag.Changed {
		return nil
	}
	texts := []string{value}
	if strings.HasSuffix(flag.Value.Type(), "Slice") {
		texts = strings.Split(value, ",")
	}
	return setValue(flag, from, texts)
}

// kubernetesName matches what Kubernetes sets in every pod for a service: one
// named hyperfleet-api gives HYPERFLEET_API_SERVICE_HOST and the like.
var kubernetesName = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)`)

// isOthers says whether a variable is meant for somebody else.
func (s *Settings) isOthers(name, value string) bool {
	return slices.Contains(forClients, name) || slices.Contains(s.Ignored, name) ||
		s.FileFlag != "" && name == variable(s.FileFlag) || s.Aliases[name] != "" ||
		kubernetesName.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}
