package ownership

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// TestTroublesNeverMakeTwoLeaders has replicas come, go and be cut off at random.
// Whoever acts checks that nobody else is sure to lead; in the end each shard has
// one leader again, the best.
func TestTroublesNeverMakeTwoLeaders(t *testing.T) {
	for round := range fleettest.Rounds(t) {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(round), 5))
			c := newCrew(t, 10)
			members, joined := map[string]*member{}, 0
			for range 3 {
				name := fmt.Sprintf("r%d", joined)
				members[name] = c.join(name)
				joined++
			}
			for range 6 {
				var some string
				for some = range members {
					break
				}
				switch m := members[some]; random.IntN(4) {
				case 0:
					m.stop()
					delete(members, some)
					name := fmt.Sprintf("r%d", joined)
					members[name] = c.join(name)
					joined++
				case 1:
					m.cut.sever()
				case 2:
					m.cut.mend()
				case 3:
					m.cut.sever()
					<-time.After(time.Duration(random.Int64N(int64(2 * c.timing.LeaseDuration)))) // the trouble itself
					m.cut.mend()
				}
				<-time.After(time.Duration(random.Int64N(int64(c.timing.LeaseDuration)))) // until the next one
			}
			var left []string
			for name, m := range members {
				m.cut.mend()
				left = append(left, name)
			}
			took := c.until("each shard is with the best", c.spread(left...))
			t.Logf("%d replicas in all; spread %s after the troubles; %d acts", joined, took.Round(time.Millisecond), c.acts.Load())
		})
	}
}
