package pullsecret

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxWarnings bounds what the data says: it must fit a termination log.
const maxWarnings = 8

// Data is what the job returns.
type Data struct {
	SecretName string   `json:"secretName"`
	Manifest   string   `json:"manifest"`
	Warnings   []string `json:"warnings"`
}

// Options say where credentials come from and where the Secret goes.
type Options struct {
	Base   Source // of every cluster
	Dir    string // of <name>.json for the names in spec.pullSecrets; "" = there are none
	Path   string // of the manifest
	Shown  string // the path as the data gives it
	Secret manifest.Meta
	Files  disk.Files
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// Run merges the credentials for c and writes them as a Secret manifest.
func Run(c fleet.Resource, o Options) (string, Data, error) {
	sources, err := gather(c, o)
	if err != nil {
		return "", Data{}, err
	}
	config, registries, warnings, err := Merge(sources)
	if err != nil {
		return "", Data{}, fmt.Errorf("merge the registry credentials: %w", err)
	}
	text, err := manifest.Secret(o.Secret, "kubernetes.io/dockerconfigjson", map[string][]byte{".dockerconfigjson": config})
	if err != nil {
		return "", Data{}, errors.New("encode the pull secret") // the cause could quote it
	}
	if _, err := o.Files.Write(o.Path, text, disk.Private); err != nil {
		return "", Data{}, err
	}
	d := Data{SecretName: o.Secret.Name, Manifest: o.Shown, Warnings: []string{}}
	for i, w := range warnings {
		if i == maxWarnings {
			d.Warnings = append(d.Warnings, fmt.Sprintf("and %d more", len(warnings)-i))
			break
		}
		d.Warnings = append(d.Warnings, w)
	}
	noun := "registries"
	if registries == 1 {
		noun = "registry"
	}
	return fmt.Sprintf("pull secret holds credentials of %d %s", registries, noun), d, nil
}

// Remove removes the manifest that Run wrote.
func Remove(o Options) (string, error) {
	removed, err := o.Files.Remove(o.Path)
	if err != nil {
		return "", err
	}
	if !removed {
		return "there was no pull secret", nil
	}
	return "removed the pull secret", nil
}

// gather reads the sources in the order in which they are merged. The error
// names every one that is missing.
func gather(c fleet.Resource, o Options) ([]Source, error) {
	var spec struct {
		PullSecrets []string `json:"pullSecrets"`
	}
	if err := json.Unmarshal(c.Spec, &spec); err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	sources := []Source{o.Base}
	var problems []error
	for i, name := range spec.PullSecrets {
		at := fmt.Sprintf("pullSecrets[%d]", i)
		if !nameForm.MatchString(name) {
			problems = append(problems, fmt.Errorf("%s: %q is no name: want lower-case letters, digits, dots and dashes", at, name))
			continue
		}
		if o.Dir == "" {
			problems = append(problems, fmt.Errorf("%s: there is no %s: no directory of pull secrets is configured", at, name))
			continue
		}
		text, err := disk.Read(filepath.Join(o.Dir, name+".json"))
		if err == nil && text == nil {
			err = fmt.Errorf("there is no %s: put %s.json into the directory of pull secrets", name, name)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", at, err))
			continue
		}
		sources = append(sources, Source{name, text})
	}
	return sources, errors.Join(problems...)
}
