package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// survey says whether everything in p exists as it should, and creates what is
// missing first if create says so. One error names all that is wrong. What the
// process's identity may not look at counts as there.
func (p plan) survey(ctx context.Context, c *pubsub.Client, create bool, n *notices) error {
	if create {
		if err := p.create(ctx, c); err != nil {
			return err
		}
	}
	s := &findings{log: n.log}
	sub, err := c.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: p.subscription}, once())
	if s.found(err, "subscription "+p.name, p.createSubscription()) {
		s.judge(p, sub)
		n.warn(p.doubts(sub))
	}
	if err := s.topic(ctx, c, p.topic); err != nil {
		return err
	}
	if err := s.topic(ctx, c, p.deadTopic); err != nil {
		return err
	}
	dead, err := c.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: p.deadSubscription}, once())
	if s.found(err, "subscription "+short(p.deadSubscription)+", which keeps the dead letters", p.createDeadSubscription()) {
		s.reads(dead, p.deadTopic)
	}
	return s.err()
}

// create creates what is missing, and leaves alone what is there.
func (p plan) create(ctx context.Context, c *pubsub.Client) error {
	for _, topic := range []string{p.topic, p.deadTopic} {
		if err := ensureTopic(ctx, c, topic); err != nil {
			return err
		}
	}
	for _, s := range []*pubsubpb.Subscription{p.deadSubscriptionProto(), p.subscriptionProto()} {
		_, err := c.SubscriptionAdminClient.CreateSubscription(ctx, s, once())
		if err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create subscription %s: %w", short(s.Name), err)
		}
	}
	return nil
}

func ensureTopic(ctx context.Context, c *pubsub.Client, name string) error {
	_, err := c.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: name}, once())
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create topic %s: %w", short(name), err)
	}
	return nil
}

// findings gathers what is wrong with a topology.
type findings struct {
	log      *slog.Logger
	problems []string
	commands []string
	other    error // not about the topology
}

// found records the outcome of looking for something, and says whether it is there.
func (s *findings) found(err error, what, command string) bool {
	switch status.Code(err) {
	case codes.OK:
		return true
	case codes.NotFound:
		s.problems = append(s.problems, "there is no "+what)
		s.commands = append(s.commands, command)
	case codes.PermissionDenied:
		s.log.Debug("may not be looked at; taken as there", "resource", what, "err", err)
	default:
		s.other = errors.Join(s.other, fmt.Errorf("look for %s: %w", what, err))
	}
	return false
}

func (s *findings) topic(ctx context.Context, c *pubsub.Client, name string) error {
	_, err := c.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: name}, once())
	s.found(err, "topic "+short(name), createTopic(name))
	return s.other // the broker is away: no use to ask further
}

// judge says where a subscription would lose or misdirect events.
func (s *findings) judge(p plan, sub *pubsubpb.Subscription) {
	s.reads(sub, p.topic)
	if to := sub.DeadLetterPolicy.GetDeadLetterTopic(); to != "" && to != p.deadTopic {
		s.problems = append(s.problems, fmt.Sprintf("subscription %s sends its dead letters to %s, not %s; change its dead-letter topic", p.name, to, p.deadTopic))
	}
}

func (s *findings) reads(sub *pubsubpb.Subscription, topic string) {
	if sub.Topic != topic {
		s.problems = append(s.problems, fmt.Sprintf("subscription %s reads %s, not %s; delete it, or name another", short(sub.Name), sub.Topic, topic))
	}
}

// doubts says in which ways a subscription, made by hand, keeps less than is
// promised, and how one is made that keeps it. It is empty if there are none.
func (p plan) doubts(sub *pubsubpb.Subscription) string {
	var less []string
	for what, is := range map[string]bool{
		"has no ordering: events of one resource may overtake each other":                  !sub.EnableMessageOrdering,
		"delivers exactly once: what is given back comes late":                             sub.EnableExactlyOnceDelivery,
		"has no dead-letter topic: an event that ends the process comes again for ever":    sub.DeadLetterPolicy == nil,
		"gives events up early: set --max-delivery-attempts=" + strconv.Itoa(mostAttempts): sub.DeadLetterPolicy != nil && sub.DeadLetterPolicy.MaxDeliveryAttempts < mostAttempts,
		"has no filter, or another: it receives what is replayed for others":               sub.Filter != p.filter(),
		"has no retry policy: what is given back comes again at once":                      sub.RetryPolicy == nil,
	} {
		if is {
			less = append(less, what)
		}
	}
	if len(less) == 0 {
		return ""
	}
	slices.Sort(less)
	return fmt.Sprintf("subscription %s %s. One that keeps all promises is made by:\n  %s", p.name, strings.Join(less, "; "), p.createSubscription())
}

// notices are warnings of one subscription, said when they change.
type notices struct {
	log *slog.Logger

	mu   sync.Mutex
	said string
}

func (n *notices) warn(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text != n.said && text != "" {
		n.log.Warn("a subscription keeps less than is promised", "why", text)
	}
	n.said = text
}

func (s *findings) err() error {
	if s.other != nil || len(s.problems) == 0 {
		return s.other
	}
	text := strings.Join(s.problems, "; ")
	if len(s.commands) > 0 {
		text += ". Start with --create-topology, or create it:\n  " + strings.Join(s.commands, "\n  ")
	}
	return missingError{text}
}
