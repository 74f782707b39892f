package pubsub

import (
	"maps"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// Attributes of messages.
const (
	attrContentType  = "content-type"            // as the Pub/Sub binding of CloudEvents says
	attrSubscription = "hyperfleet_subscription" // on a replayed event: the one it is for; a filter would have to quote hyphens
	attrReason       = "hyperfleet-reason"       // these are on dead letters
	attrDeliveries   = "hyperfleet-deliveries"
	attrFirst        = "hyperfleet-first-failure"
	attrLast         = "hyperfleet-last-failure"
	attrNotBefore    = "hyperfleet-not-before" // on an event that was stored anew, with those but the reason

	attrForwarded = "CloudPubSubDeadLetterSourceDeliveryCount" // Pub/Sub itself gave it up
)

// mostOrderedKey is how many bytes of an ordering key Pub/Sub allows.
const mostOrderedKey = 1024

// encode writes an event as a message: structured JSON, and the resource's id as key.
func encode(e event.Event) (*pubsubpb.PubsubMessage, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	wire, err := e.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return &pubsubpb.PubsubMessage{
		Data:        wire,
		Attributes:  map[string]string{attrContentType: event.ApplicationCloudEventsJSON},
		OrderingKey: broker.Cut(e.Subject(), mostOrderedKey),
	}, nil
}

// bury writes what a subscription gave up as a dead letter.
func bury(data []byte, attributes map[string]string, l broker.DeadLetter) *pubsubpb.PubsubMessage {
	attributes = maps.Clone(attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	delete(attributes, attrSubscription)
	delete(attributes, attrNotBefore)
	attributes[attrReason] = broker.Cut(l.Reason, broker.MostReason)
	attributes[attrDeliveries] = strconv.Itoa(l.Deliveries)
	attributes[attrFirst] = l.First.UTC().Format(time.RFC3339Nano)
	attributes[attrLast] = l.Last.UTC().Format(time.RFC3339Nano)
	return &pubsubpb.PubsubMessage{Data: data, Attributes: attributes}
}

// exhume reads a dead letter. It never fails: a letter that nobody can read is
// one that people must see.
func exhume(m *pubsubpb.PubsubMessage) broker.DeadLetter {
	l := broker.DeadLetter{Reason: m.Attributes[attrReason]}
	if n, ok := m.Attributes[attrForwarded]; ok && l.Reason == "" {
		l.Reason = "Pub/Sub delivered it " + n + " times and nobody settled it: does it end the process?"
	}
	for _, name := range []string{attrDeliveries, attrForwarded} {
		if n, err := strconv.Atoi(m.Attributes[name]); err == nil {
			l.Deliveries = n
			break
		}
	}
	l.First, l.Last = moment(m, attrFirst), moment(m, attrLast)
	e, err := broker.Decode(m.Data)
	if err != nil {
		l.Malformed = m.Data
	} else {
		l.Event = e
	}
	return l
}

// moment reads a time from an attribute, else from when the letter was stored.
func moment(m *pubsubpb.PubsubMessage, attribute string) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, m.Attributes[attribute]); err == nil {
		return at
	}
	return m.PublishTime.AsTime()
}

// replay writes a dead letter as a message that only one subscription receives.
func replay(m *pubsubpb.PubsubMessage, subscription string) *pubsubpb.PubsubMessage {
	out := &pubsubpb.PubsubMessage{Data: m.Data, Attributes: map[string]string{attrSubscription: subscription}}
	if t, ok := m.Attributes[attrContentType]; ok {
		out.Attributes[attrContentType] = t
	}
	if e, err := broker.Decode(m.Data); err == nil {
		out.OrderingKey = broker.Cut(e.Subject(), mostOrderedKey)
	}
	return out
}

// anew writes an event that Pub/Sub has delivered often, so that it counts its
// deliveries from the beginning. What this driver counted stays.
func anew(m *pubsub.Message, subscription string, f failure) *pubsubpb.PubsubMessage {
	out := replay(&pubsubpb.PubsubMessage{Data: m.Data, Attributes: m.Attributes}, subscription)
	if f.n > 0 {
		out.Attributes[attrDeliveries] = strconv.Itoa(f.n)
		for name, at := range map[string]time.Time{attrFirst: f.first, attrLast: f.last, attrNotBefore: f.notBefore} {
			out.Attributes[name] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return out
}

// recall reads what anew wrote. What is not there is zero.
func recall(attributes map[string]string) failure {
	var f failure
	f.n, _ = strconv.Atoi(attributes[attrDeliveries])
	for name, at := range map[string]*time.Time{attrFirst: &f.first, attrLast: &f.last, attrNotBefore: &f.notBefore} {
		*at, _ = time.Parse(time.RFC3339Nano, attributes[name])
	}
	return f
}
