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

// Modes of Jobs.
const (
	ModeCreate = "create" // bring the resource to its desired state
	ModeDelete = "delete" // undo that
	ModeCheck  = "check"  // look whether it still holds
)

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
	Check        int64              `json:"check,omitempty"` // which check it is: Unix seconds of the last success or check before it
}

// Attempt says which of the Jobs that a resource may have at its generation is
// meant.
type Attempt struct {
	Number int
	Base   int // attempts that the retry limit does not count
	Mode   string
	Check  int64 // with [ModeCheck]: see [Identity]
}

// Job is one attempt, ready to run.
type Job struct {
	Name        string
	Namespace   string
	Identity    Identity
	ClusterID   string // of the cluster that it is about, or whose pool
	AttemptBase int    // attempts that the retry limit does not count
	Template    v1alpha1.JobTemplate
	API         string            // URL, as the Job reaches it
	Deadline    time.Duration     // how long the Job may be active
	TTL         time.Duration     // how long it is kept after its end
	Input       map[string][]byte // file name -> content
}

// Template is what runs in the given mode. cfg has what a deletion runs, if that is the mode.
func Template(cfg v1alpha1.AdapterConfig, mode string) v1alpha1.JobTemplate {
	if mode == ModeDelete {
		return cfg.Spec.Deletion.JobTemplate
	}
	return cfg.Spec.JobTemplate
}

// New returns the Job of the given attempt of cfg's adapter on the generation
// of what s is about. cfg has its defaults set.
func New(cfg v1alpha1.AdapterConfig, s Subject, a Attempt) (Job, error) {
	r := s.Resource
	id := Identity{cfg.Spec.AdapterType, s.Type, r.ID, r.Generation, a.Number, a.Mode, a.Check}
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
	t := Template(cfg, a.Mode)
	return Job{
		Name:        name,
		Namespace:   cfg.Namespace,
		Identity:    id,
		ClusterID:   s.ClusterID(),
		AttemptBase: a.Base,
		Template:    t,
		API:         cfg.Spec.HyperfleetAPI.URL,
		Deadline:    time.Duration(*t.ActiveDeadlineSeconds) * time.Second,
		TTL:         time.Duration(*t.TTLSecondsAfterFinished) * time.Second,
		Input:       input,
	}, nil
}

// Name returns <adapter>-adapter-<32 hex of the id>-g<generation>[-r<attempt>],
// with -d for a deletion; a check has -c<which> instead of the attempt, which
// that implies. It has at most 63 characters; a long adapter's name is shortened
// by hash.
func (i Identity) Name() (string, error) {
	id := strings.ToLower(strings.ReplaceAll(i.ResourceID, "-", ""))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		return "", fmt.Errorf("name job: resource id %q is not a UUID", i.ResourceID)
	}
	if i.Generation < 1 || i.Attempt < 1 {
		return "", fmt.Errorf("name job: generation %d and attempt %d must be at least 1", i.Generation, i.Attempt)
	}
	tail := fmt.Sprintf("-adapter-%s-g%d", id, i.Generation)
	switch {
	case i.Mode == ModeCheck:
		tail += fmt.Sprintf("-c%d", i.Check)
	case i.Attempt > 1:
		tail += fmt.Sprintf("-r%d", i.Attempt)
	}
	if i.Mode == ModeDelete {
		tail += "-d"
	}
	adapter := shorten(i.Adapter, maxName-len(tail))
	if adapter == "" {
		return "", fmt.Errorf("name job: generation %d, attempt %d leave no room in %d characters", i.Generation, i.Attempt, maxName)
	}
	return adapter + tail, nil
}

// shorten returns name if it fits limit, else as much of it as fits together
// with a hash that tells it from others; "" if not even the hash fits. Where room
// is short the hash has fewer digits: of two Jobs with one name the identity
// tells that they are two.
func shorten(name string, limit int) string {
	const digits, fewest = 8, 4
	if len(name) <= limit {
		return name
	}
	if limit < fewest {
		return ""
	}
	sum := sha256.Sum256([]byte(name))
	hash := hex.EncodeToString(sum[:])[:min(digits, limit)]
	head := strings.TrimRight(name[:max(0, limit-digits-1)], "-")
	if head == "" {
		return hash
	}
	return head + "-" + hash
}
