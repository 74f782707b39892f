package jobspec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// ModeCreate is the mode of Jobs that bring a resource to its desired state.
const ModeCreate = "create"

// DependenciesFile is the file of a Job's input beside those of [File]: an
// object of adapter name to the data of its Complete report.
const DependenciesFile = "dependencies.json"

// maxName is the longest name of a Job whose pods can be labelled with it.
const maxName = 63

// Identity tells attempts apart. Two Jobs of one name are the same Job exactly
// when their identities are equal.
type Identity struct {
	Adapter      string             `json:"adapter"`
	ResourceType fleet.ResourceType `json:"resourceType"`
	ResourceID   string             `json:"resourceId"`
	Generation   int64              `json:"generation"`
	Attempt      int                `json:"attempt"`
	Mode         string             `json:"mode"`
}

// Job is one attempt, ready to run.
type Job struct {
	Name        string
	Identity    Identity
	ClusterID   string            // of the cluster that it is about, or whose pool
	AttemptBase int               // attempts that the retry limit does not count
	Deadline    time.Duration     // how long the Job may be active
	TTL         time.Duration     // how long it is kept after its end
	Input       map[string][]byte // file name -> content
}

// New returns the Job of the given attempt of cfg's adapter on the generation
// of what s is about. cfg has its defaults set.
func New(cfg v1alpha1.AdapterConfig, s Subject, attempt, base int) (Job, error) {
	r := s.Resource
	id := Identity{cfg.Spec.AdapterType, s.Type, r.ID, r.Generation, attempt, ModeCreate}
	name, err := id.Name()
	if err != nil {
		return Job{}, err
	}
	input := map[string][]byte{}
	for noun, document := range s.Documents() {
		if input[noun+".json"], err = json.Marshal(document); err != nil {
			return Job{}, fmt.Errorf("encode %s.json: %w", noun, err)
		}
	}
	data := map[string]json.RawMessage{}
	for _, d := range cfg.Spec.Criteria.Dependencies {
		a, ok := r.Status.Adapter(d)
		if ok && a.ObservedGeneration == r.Generation && len(a.Data) > 0 {
			data[d] = a.Data
		}
	}
	if input[DependenciesFile], err = json.Marshal(data); err != nil {
		return Job{}, fmt.Errorf("encode %s: %w", DependenciesFile, err)
	}
	return Job{
		Name:        name,
		Identity:    id,
		ClusterID:   s.ClusterID(),
		AttemptBase: base,
		Deadline:    time.Duration(*cfg.Spec.JobTemplate.ActiveDeadlineSeconds) * time.Second,
		TTL:         time.Duration(*cfg.Spec.JobTemplate.TTLSecondsAfterFinished) * time.Second,
		Input:       input,
	}, nil
}

// Name returns <adapter>-adapter-<32 hex of the id>-g<generation>[-r<attempt>],
// at most 63 characters; a long adapter's name is shortened by hash.
func (i Identity) Name() (string, error) {
	id := strings.ToLower(strings.ReplaceAll(i.ResourceID, "-", ""))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", fmt.Errorf("name job: resource id %q is not a UUID", i.ResourceID)
	}
	if i.Generation < 1 || i.Attempt < 1 {
		return "", fmt.Errorf("name job: generation %d and attempt %d must be at least 1", i.Generation, i.Attempt)
	}
	tail := fmt.Sprintf("-adapter-%s-g%d", id, i.Generation)
	if i.Attempt > 1 {
		tail += fmt.Sprintf("-r%d", i.Attempt)
	}
	adapter := shorten(i.Adapter, maxName-len(tail))
	if adapter == "" {
		return "", fmt.Errorf("name job: generation %d, attempt %d leave no room in %d characters", i.Generation, i.Attempt, maxName)
	}
	return adapter + tail, nil
}

// shorten returns name if it fits limit, else as much of it as fits together
// with a hash that tells it from others; "" if not even the hash fits.
func shorten(name string, limit int) string {
	const digits = 8
	if len(name) <= limit {
		return name
	}
	if limit < digits {
		return ""
	}
	sum := sha256.Sum256([]byte(name))
	hash := hex.EncodeToString(sum[:])[:digits]
	head := strings.TrimRight(name[:max(0, limit-digits-1)], "-")
	if head == "" {
		return hash
	}
	return head + "-" + hash
}
