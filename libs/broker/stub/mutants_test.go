//go:build mutants

package stub

import (
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMutantsAreCaught(t *testing.T) {
	brokertest.Catch(t, []brokertest.Mutant{
		{
			Name: "unroutable counts as sent", File: "publisher.go",
			Old: "		return nil, broker.ErrUnroutable\n", New: "		return nil, nil\n",
			Tests: "^TestConformance$/reaches_no_subscription_is_unroutable",
		},
		{Name: "unbounded subscriptions", File: "publisher.go", Old: "		if s.held >= b.capacity {", New: "		if s.held < 0 {", Tests: "^TestConformance$"},
		{Name: "a pause counts", File: "subscriber.go", Old: "	case broker.Paused:\n		p.offer()", New: "	case broker.Paused:\n		p.count()\n		p.offer()", Tests: "^TestConformance$/an_outage"},
		{Name: "a rejection is forgotten", File: "subscriber.go", Old: "		p.bury(out.Reason)\n", New: "		p.broker.free(p.subscription)\n", Tests: "^TestConformance$/a_rejected_event"},
	})
}
