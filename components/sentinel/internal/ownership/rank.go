package ownership

import (
	"crypto/sha256"
	"encoding/binary"
)

// score is what a replica is worth to a shard: even over replicas, and of no
// relation between shards.
func score(replica, shard string) uint64 {
	sum := sha256.Sum256([]byte(replica + "\x00" + shard)) // neither name has a NUL
	return binary.BigEndian.Uint64(sum[:])
}

// above says whether a comes before b for the shard.
func above(a, b, shard string) bool {
	x, y := score(a, shard), score(b, shard)
	return x > y || x == y && a < b
}

// rank counts the others that come before me for the shard: 0 is the best. Who
// comes and goes changes nothing between those that stay.
func rank(me, shard string, others []string) int {
	n := 0
	for _, o := range others {
		if o != me && above(o, me, shard) {
			n++
		}
	}
	return n
}
