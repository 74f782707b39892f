package engine

import "context"

// Owner says when this replica may run a shard.
type Owner interface {
	// Hold calls work whenever this replica is to run the shard, until ctx ends;
	// then, once work has returned, it gives the shard up and returns nil. Work's
	// context ends when the shard is to stop here. leads says whether the shard is
	// surely this replica's. If work ends by itself, Hold returns what it returned.
	Hold(ctx context.Context, shard string, work func(ctx context.Context, leads func() bool) error) error
}

// Alone is the owner in a process that shares its shards with nobody.
type Alone struct{}

// Hold calls work once.
func (Alone) Hold(ctx context.Context, _ string, work func(ctx context.Context, leads func() bool) error) error {
	return work(ctx, func() bool { return true })
}
