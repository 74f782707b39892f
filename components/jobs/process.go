package jobs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxTermination is how much of a termination log Kubernetes reads, in bytes.
const maxTermination = 4096

// ended is what a job's process leaves in its termination log.
type ended struct {
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Where the pods of adapters' Jobs have their input and room for artefacts, and
// where Kubernetes reads their end.
const (
	inputDir  = "/var/run/hyperfleet/input"
	outputDir = "/var/run/hyperfleet/output"

	terminationLog = "/dev/termination-log"
)

// fit encodes e in at most limit bytes by cutting its message. Data that does
// not fit is an error, and the text then says so.
func (e ended) fit(limit int) ([]byte, error) {
	for {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("encode the result: %w", err)
		}
		over := len(text) - limit
		switch {
		case over <= 0:
			return text, nil
		case len(e.Message) <= len("…"):
			err := fmt.Errorf("the result's data of %d bytes does not fit into a termination log of %d", len(e.Data), limit)
			text, encodeErr := json.Marshal(ended{Message: err.Error()})
			return text, errors.Join(err, encodeErr)
		}
		e.Message = cut(e.Message, len(e.Message)-over)
	}
}

// readInput gathers a job's input. The error names everything that is wrong.
func readInput(kind string, getenv func(string) string) (Input, error) {
	in := Input{Mode: getenv("MODE"), Config: configFrom(getenv)}
	var problems []error
	if adapter := getenv("ADAPTER"); adapter != kind {
		problems = append(problems, fmt.Errorf("ADAPTER is %q: this program is the job of %s", adapter, kind))
	}
	var err error
	if in.Generation, err = strconv.ParseInt(getenv("GENERATION"), 10, 64); err != nil || in.Generation < 1 {
		problems = append(problems, fmt.Errorf("GENERATION is %q: want a number from 1", getenv("GENERATION")))
	}
	if in.Attempt, err = strconv.Atoi(getenv("ATTEMPT")); err != nil || in.Attempt < 1 {
		problems = append(problems, fmt.Errorf("ATTEMPT is %q: want a number from 1", getenv("ATTEMPT")))
	}
	dir := cmp.Or(getenv("INPUT_DIR"), inputDir)
	if err := readJSON(filepath.Join(dir, "cluster.json"), &in.Cluster); err != nil {
		problems = append(problems, err)
	} else if id := getenv("CLUSTER_ID"); id != in.Cluster.ID {
		problems = append(problems, fmt.Errorf("CLUSTER_ID is %q, cluster.json is of %q", id, in.Cluster.ID))
	}
	switch typ := fleet.ResourceType(cmp.Or(getenv("RESOURCE_TYPE"), string(fleet.Clusters))); typ {
	case fleet.Clusters:
		problems = append(problems, agree("cluster.json", in.Cluster, in.Generation, getenv("RESOURCE_ID")))
	case fleet.NodePools:
		if err := readJSON(filepath.Join(dir, "nodepool.json"), &in.NodePool); err != nil {
			problems = append(problems, err)
		} else if in.NodePool == nil {
			problems = append(problems, errors.New("nodepool.json holds no node pool"))
		} else {
			problems = append(problems, agree("nodepool.json", *in.NodePool, in.Generation, getenv("RESOURCE_ID")))
		}
	default:
		problems = append(problems, fmt.Errorf("RESOURCE_TYPE is %q: want clusters or nodepools", typ))
	}
	err = readJSON(filepath.Join(dir, "dependencies.json"), &in.Dependencies)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		problems = append(problems, err)
	}
	return in, errors.Join(problems...)
}

// agree says where the environment and the file of r speak of different
// things; a RESOURCE_ID that is not given agrees.
func agree(file string, r fleet.Resource, generation int64, id string) error {
	if r.ID == "" {
		return nil // it could not be read
	}
	var problems []string
	if id != "" && id != r.ID {
		problems = append(problems, fmt.Sprintf("RESOURCE_ID is %q, %s is of %q", id, file, r.ID))
	}
	if generation >= 1 && generation != r.Generation {
		problems = append(problems, fmt.Sprintf("GENERATION is %d, %s is of %d", generation, file, r.Generation))
	}
	if len(problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(problems, "; "))
}

// configFrom sets what the environment says over the defaults.
func configFrom(getenv func(string) string) Config {
	c := DefaultConfig(cmp.Or(getenv("OUTPUT_DIR"), outputDir))
	for name, field := range map[string]*string{
		"POLICY_BUNDLE": &c.PolicyBundle, "INVENTORY_FILE": &c.InventoryFile, "ZONE_DIR": &c.ZoneDir, "CA_DIR": &c.CADir,
		"BASE_DOMAIN": &c.BaseDomain, "INGRESS_DOMAIN": &c.IngressDomain, "NAME_SERVER": &c.NameServer,
		"DNS_PROVIDER": &c.DNSProvider, "ACME_DIRECTORY": &c.ACMEDirectory, "ACME_ROOTS_FILE": &c.ACMERootsFile,
		"PULL_SECRET_FILE": &c.PullSecretFile, "PULL_SECRET_DIR": &c.PullSecretDir,
		"RELEASE_IMAGE": &c.ReleaseImage, "NAMESPACE_PREFIX": &c.NamespacePrefix,
	} {
		*field = cmp.Or(getenv(name), *field)
	}
	return c
}

func readJSON(path string, to any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
