package placement

import "maps"

// Place is where a cluster is, and whose it is.
type Place struct {
	On     string `json:"on"` // name of a management cluster
	Tenant string `json:"tenant"`
}

// Ledger remembers who is where. The zero Ledger is empty.
type Ledger struct {
	places  map[string]Place // by cluster id
	used    map[string]int   // by management cluster
	tenants map[Place]int    // by management cluster and tenant
}

// NewLedger returns a ledger of the given places, by cluster id.
func NewLedger(places map[string]Place) *Ledger {
	l := &Ledger{}
	for cluster, place := range places {
		l.Put(cluster, place)
	}
	return l
}

// Of returns where a cluster is; its name is "" if it is nowhere.
func (l *Ledger) Of(cluster string) Place { return l.places[cluster] }

// Used is how many clusters a management cluster hosts.
func (l *Ledger) Used(on string) int { return l.used[on] }

// UsedBy is how many clusters of a tenant it hosts.
func (l *Ledger) UsedBy(on, tenant string) int { return l.tenants[Place{on, tenant}] }

// Put places a cluster, or moves it.
func (l *Ledger) Put(cluster string, place Place) {
	if l.places == nil {
		l.places, l.used, l.tenants = map[string]Place{}, map[string]int{}, map[Place]int{}
	}
	l.Remove(cluster)
	l.places[cluster] = place
	l.used[place.On]++
	l.tenants[place]++
}

// Remove forgets a cluster.
func (l *Ledger) Remove(cluster string) {
	place, ok := l.places[cluster]
	if !ok {
		return
	}
	delete(l.places, cluster)
	l.used[place.On]--
	l.tenants[place]--
}

// Places returns a copy of all places.
func (l *Ledger) Places() map[string]Place { return maps.Clone(l.places) }
