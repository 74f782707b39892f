package handle

import "sync"

// maxAlone bounds how many failing resources are remembered. Forgetting one
// costs a pause.
const maxAlone = 1000

// alone tells an API that is broken, which is an outage, from one that fails on
// single resources: there, events of other resources go through between two
// failures.
type alone struct {
	mu     sync.Mutex
	passed int64            // events that went through
	failed map[string]int64 // resource id -> passed at its last failure
}

// worked says that an event of the resource went through.
func (a *alone) worked(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.failed, id)
	a.passed++
}

// fails says that the API failed on the resource, and returns whether events
// of others went through since it last did.
func (a *alone) fails(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, again := a.failed[id]
	if a.failed == nil || len(a.failed) >= maxAlone && !again {
		a.failed = map[string]int64{}
	}
	a.failed[id] = a.passed
	return again && a.passed > before
}
