package pubsub

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

const (
	firstRedelivery = time.Second // of the retry policy; it doubles from one redelivery to the next
	mostRedelivery  = time.Minute
	retention       = 7 * 24 * time.Hour // of undelivered events; the most that Pub/Sub allows
	letterLease     = time.Minute        // of a dead letter that somebody looks at, until it is renewed
	mostAttempts    = 100                // before Pub/Sub itself gives an event up; the most that it allows
)

// plan is what has to exist for one subscription, by full names.
type plan struct {
	project          string
	name             string // of the subscription, short
	topic            string
	subscription     string
	deadTopic        string // a subscription's own: dead letters belong to one alone
	deadSubscription string
	slowest          time.Duration // redelivery; mostRedelivery, or less in tests
}

func newPlan(s broker.Subscription) plan {
	dead := s.Name + "-dead-letters"
	return plan{
		project:          s.ProjectID,
		name:             s.Name,
		topic:            topicName(s.ProjectID, s.Topic),
		subscription:     subscriptionName(s.ProjectID, s.Name),
		deadTopic:        topicName(s.ProjectID, dead),
		deadSubscription: subscriptionName(s.ProjectID, dead),
		slowest:          mostRedelivery,
	}
}

func topicName(project, id string) string { return "projects/" + project + "/topics/" + id }

func subscriptionName(project, id string) string {
	return "projects/" + project + "/subscriptions/" + id
}

// short is a full name's last part.
func short(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// filter lets through what was published for everybody, and what was replayed
// for this subscription.
func (p plan) filter() string {
	return fmt.Sprintf("NOT attributes:%s OR attributes.%s = %q", attrSubscription, attrSubscription, p.name)
}

func (p plan) subscriptionProto() *pubsubpb.Subscription {
	return &pubsubpb.Subscription{
		Name: p.subscription, Topic: p.topic,
		AckDeadlineSeconds:       int32(lease / time.Second),
		EnableMessageOrdering:    true,
		MessageRetentionDuration: durationpb.New(retention),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{}, // never
		Filter:                   p.filter(),
		RetryPolicy:              &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(firstRedelivery), MaximumBackoff: durationpb.New(p.slowest)},
		DeadLetterPolicy:         &pubsubpb.DeadLetterPolicy{DeadLetterTopic: p.deadTopic, MaxDeliveryAttempts: mostAttempts},
	}
}

func (p plan) deadSubscriptionProto() *pubsubpb.Subscription {
	return &pubsubpb.Subscription{
		Name: p.deadSubscription, Topic: p.deadTopic,
		AckDeadlineSeconds:       int32(letterLease / time.Second),
		MessageRetentionDuration: durationpb.New(broker.DeadLetterRetention),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{},
	}
}

// Commands that create what a plan needs.

func createTopic(name string) string {
	return fmt.Sprintf("gcloud pubsub topics create %s --project=%s", short(name), projectOf(name))
}

func (p plan) createSubscription() string {
	return fmt.Sprintf("gcloud pubsub subscriptions create %s --project=%s --topic=%s --enable-message-ordering --ack-deadline=%d"+
		" --message-retention-duration=7d --expiration-period=never --min-retry-delay=%s --max-retry-delay=%s"+
		" --dead-letter-topic=%s --max-delivery-attempts=%d --message-filter='%s'",
		p.name, p.project, short(p.topic), int(lease/time.Second), firstRedelivery, "60s", short(p.deadTopic), mostAttempts, p.filter())
}

func (p plan) createDeadSubscription() string {
	return fmt.Sprintf("gcloud pubsub subscriptions create %s --project=%s --topic=%s --ack-deadline=%d"+
		" --message-retention-duration=7d --expiration-period=never",
		short(p.deadSubscription), p.project, short(p.deadTopic), int(letterLease/time.Second))
}

func projectOf(name string) string {
	parts := strings.Split(name, "/")
	return parts[1]
}
