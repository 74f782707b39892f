package schedule

import (
	"context"
	"sync"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
)

const (
	maxKeys   = 256         // with more shard-key values than this, one scan is cheaper than a piece for each
	spreadFor = time.Minute // how long the answer is believed; being wrong costs time only
)

const spreadSQL = `WITH RECURSIVE ` + everyKey + ` SELECT count(*) FROM (SELECT 1 FROM hops LIMIT $1) AS counted`

// spread remembers whether the shard key has very many values. It chooses
// between two plans of the same meaning, so a stale answer is never a wrong one.
type spread struct {
	mu      sync.Mutex
	isWide  map[string]bool
	checked map[string]time.Time
}

func (p *spread) wide(ctx context.Context, due *database.Pool, t database.Tables) (bool, error) {
	p.mu.Lock()
	isWide, checked := p.isWide[t.Schedule], p.checked[t.Schedule]
	p.mu.Unlock()
	if time.Since(checked) < spreadFor {
		return isWide, nil
	}
	var n []int
	if err := due.Read(ctx, &n, t.SQL(spreadSQL), maxKeys+2); err != nil { // one hop leads to the end
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isWide == nil {
		p.isWide, p.checked = map[string]bool{}, map[string]time.Time{}
	}
	p.isWide[t.Schedule], p.checked[t.Schedule] = n[0] > maxKeys+1, time.Now()
	return p.isWide[t.Schedule], nil
}
