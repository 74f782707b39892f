package fleet

// Shard is a sentinel's registration: which part of the fleet it publishes.
type Shard struct {
	Name            string       `json:"name"` // of its SentinelConfig
	Kind            string       `json:"kind"` // "Shard"
	Holder          string       `json:"holder"`
	ResourceType    ResourceType `json:"resourceType"`
	Selector        string       `json:"selector"`        // Kubernetes label selector; "" = everything
	BackoffNotReady string       `json:"backoffNotReady"` // Go duration
	BackoffReady    string       `json:"backoffReady"`    // Go duration
	PollInterval    string       `json:"pollInterval"`    // Go duration
	Live            bool         `json:"live"`            // renewed within 15 s, or three poll intervals if that is longer
	RegisteredAt    Time         `json:"registeredAt"`    // when this holder came
	RenewedAt       Time         `json:"renewedAt"`
	ExpiresAt       Time         `json:"expiresAt"`        // until when it is live if it is not renewed
	Counts          *ShardCounts `json:"counts,omitempty"` // as of the last coverage; nil = not computed, or not for the caller
}

// ShardCounts is what a shard had to do at a moment.
type ShardCounts struct {
	Matched   int64 `json:"matched"`
	Pending   int64 `json:"pending"`   // due, by the shard's own backoffs
	OldestDue *Time `json:"oldestDue"` // since when the longest pending one has been due
	AsOf      Time  `json:"asOf"`
}

// NewShard is the body with which a sentinel registers, at each poll.
type NewShard struct {
	Holder          string       `json:"holder"`
	ResourceType    ResourceType `json:"resourceType"`
	Selector        string       `json:"selector"`
	BackoffNotReady string       `json:"backoffNotReady"`
	BackoffReady    string       `json:"backoffReady"`
	PollInterval    string       `json:"pollInterval"`
}

// ShardList is one page of shards, by name.
type ShardList struct {
	Kind     string  `json:"kind"`
	Items    []Shard `json:"items"`
	Continue string  `json:"continue,omitempty"`
	AsOf     Time    `json:"asOf"`
}

// Coverage says how the live shards of a resource type divide its resources.
type Coverage struct {
	Kind         string          `json:"kind"` // "Coverage"
	ResourceType ResourceType    `json:"resourceType"`
	Total        int64           `json:"total"`
	Uncovered    Found           `json:"uncovered"`   // by no live shard
	Overlapping  Found           `json:"overlapping"` // by several
	Shards       []ShardCoverage `json:"shards"`      // the live ones, by name
	AsOf         Time            `json:"asOf"`
}

// Found is how many resources were found, and which.
type Found struct {
	Count int64    `json:"count"`
	IDs   []string `json:"ids"` // the first 100 in the order of ids
}

// ShardCoverage is one live shard's part of a [Coverage].
type ShardCoverage struct {
	Name        string `json:"name"`
	Holder      string `json:"holder"`
	Selector    string `json:"selector"`
	Matched     int64  `json:"matched"`
	Overlapping int64  `json:"overlapping"` // of those, the ones that another live shard matches too
	Pending     int64  `json:"pending"`
	OldestDue   *Time  `json:"oldestDue"`
}
