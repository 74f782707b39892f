package v1alpha1

// Types of condition in the status of SentinelConfigs and AdapterConfigs.
const (
	ConditionReady           = "Ready"           // the newest generation is valid and works
	ConditionAPIReachable    = "APIReachable"    // HyperFleet's API answers
	ConditionBrokerConnected = "BrokerConnected" // the broker takes or gives events

	ConditionLeading     = "Leading"     // a sentinel runs the shard
	ConditionRegistered  = "Registered"  // the API knows the shard and records what it publishes
	ConditionOverlapping = "Overlapping" // another shard selects some of the same resources

	ConditionPreconditionsValid = "PreconditionsValid" // the adapter's expressions compile
)
