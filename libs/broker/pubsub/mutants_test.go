//go:build mutants

package pubsub

import (
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

func TestMutantsAreCaught(t *testing.T) {
	const persistently = "	return persistently(ctx, func(ctx context.Context) error {\n		return p.try(ctx, "
	brokertest.Catch(t, []brokertest.Mutant{
		{
			Name: "confirms off", File: "publisher.go",
			Old: persistently, New: "	go func() {\n		_ = p.try(context.WithoutCancel(ctx), func(ctx context.Context, c *pubsub.Client) error { return publish(ctx, c, p.topic, m) })\n	}()\n	return nil\n" + persistently,
			Tests: "^TestConformance$/nothing_counts_as_sent",
		},
		{
			Name: "routes unasked", File: "publisher.go",
			Old: "		err = p.routes.check(ctx, c)\n", New: "		err = nil\n",
			Tests: "^TestConformance$/reaches_no_subscription_is_unroutable",
		},
		{
			Name: "acknowledge before handling", File: "delivery.go",
			Old: "	outcomes := make(chan broker.Outcome, 1)\n", New: "	outcomes := make(chan broker.Outcome, 1)\n	m.Ack()\n",
			Tests: "^TestConformance$/a_retried_event",
		},
		{
			Name: "no second try", File: "publisher.go",
			Old: persistently, New: "	return func(f func(context.Context) error) error { return f(ctx) }(func(ctx context.Context) error {\n		return p.try(ctx, ",
			Tests: "^TestConformance$/an_alarm_of_the_broker_makes",
		},
		{
			Name: "dead letters acknowledged unconfirmed", File: "delivery.go",
			Old: "		return publish(ctx, a.client, s.plan.deadTopic, ", New: "		m.Ack()\n		return publish(ctx, a.client, s.plan.deadTopic, ",
			Tests: "^TestConformance$/an_alarm_keeps_from_being_stored",
		},
		{
			Name: "unbounded window", File: "publisher.go",
			Old: "make(chan struct{}, Window)", New: "make(chan struct{}, 1<<20)",
			Tests: "^TestConformance$/nothing_counts_as_sent",
		},
		{
			Name: "what nobody handled acknowledged", File: "delivery.go",
			Old:   "		case !ok: // nobody handled it\n			s.giveBack(a, m)\n",
			New:   "		case !ok: // nobody handled it\n			m.Ack()\n",
			Tests: "^TestConformance$/(what_nobody_settled|stopping_over_and_over)",
		},
		{
			Name: "acknowledgements lost with a stop", File: "subscriber.go",
			Old:   "	dispatch.Run(run, queue",
			New:   "	context.AfterFunc(run, func() { _ = c.Close() })\n	dispatch.Run(run, queue",
			Tests: "^TestConformance$/a_subscriber_that_stops_waits",
		},
		{
			Name: "what nobody handled given up", File: "delivery.go",
			Old:   "*m.DeliveryAttempt < mostReturns {",
			New:   "true {",
			Tests: "^TestWhatIsGivenBackOften",
		},
		{
			Name: "failures forgotten when stored anew", File: "delivery.go",
			Old:   "anew(m, s.plan.name, s.failures.of(m))",
			New:   "anew(m, s.plan.name, failure{})",
			Tests: "^TestWhatIsGivenBackOften",
		},
		{
			Name: "early retries handled", File: "delivery.go",
			Old:   "	if !s.hold(a, time.Until(known.notBefore)) {",
			New:   "	if false {",
			Tests: "^TestARetryThatFindsNoRoom",
		},
		{
			Name: "doubt about routes unsaid", File: "routes.go",
			Old:   "		return unverifiedError{r.topic, err}\n",
			New:   "		return nil\n",
			Tests: "^TestAPublisherThatMayNotSee",
		},
		{
			Name: "quota taken back by a look", File: "publisher.go",
			Old:   "	if !published || !p.quota.saw(err) {",
			New:   "	if true {",
			Tests: "^TestAQuota",
		},
		{
			Name: "no ordering key", File: "message.go",
			Old:   "OrderingKey: broker.Cut(e.Subject(), mostOrderedKey),",
			New:   "OrderingKey: \"\",",
			Tests: "^TestEventsKeepToTheContractAsMessages",
		},
	})
}
