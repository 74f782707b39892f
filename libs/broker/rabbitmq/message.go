package rabbitmq

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// contentType is that of an event in structured mode.
const contentType = "application/cloudevents+json; charset=utf-8"

// Headers of messages that were delivered before.
const (
	headerDeliveries = "hyperfleet-deliveries"    // those that count
	headerFirst      = "hyperfleet-first-failure" // RFC 3339
	headerLast       = "hyperfleet-last-failure"
	headerReason     = "hyperfleet-reason"
	headerNotBefore  = "hyperfleet-not-before"
)

// wire returns e as a message.
func wire(e event.Event) (amqp.Publishing, error) {
	if err := e.Validate(); err != nil {
		return amqp.Publishing{}, err
	}
	body, err := e.MarshalJSON()
	if err != nil {
		return amqp.Publishing{}, fmt.Errorf("write event %s: %w", e.ID(), err)
	}
	return amqp.Publishing{
		ContentType: contentType, DeliveryMode: amqp.Persistent, MessageId: e.ID(), Type: e.Type(), Body: body,
	}, nil
}

// history is what befell a message so far.
type history struct {
	deliveries  int
	first, last time.Time // failures
	reason      string
	notBefore   time.Time
}

// read returns the history that a message carries.
func read(headers amqp.Table) history {
	h := history{
		first: moment(headers, headerFirst), last: moment(headers, headerLast), notBefore: moment(headers, headerNotBefore),
	}
	h.deliveries = int(number(headers[headerDeliveries]))
	h.reason, _ = headers[headerReason].(string)
	return h
}

func moment(headers amqp.Table, key string) time.Time {
	text, _ := headers[key].(string)
	t, _ := time.Parse(time.RFC3339Nano, text) // the zero time for what is none
	return t
}

func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case int16:
		return int64(v)
	case byte:
		return int64(v)
	}
	return 0
}

// failed returns h after one more delivery that counts.
func (h history) failed(reason string, now time.Time) history {
	h.deliveries++
	h.reason, h.last, h.notBefore = reason, now, time.Time{}
	if h.first.IsZero() {
		h.first = now
	}
	return h
}

// copyOf returns d as a new message with the history h.
func copyOf(d amqp.Delivery, h history) amqp.Publishing {
	headers := amqp.Table{}
	maps.Copy(headers, d.Headers)
	maps.DeleteFunc(headers, func(k string, _ any) bool {
		return strings.HasPrefix(k, "x-") || strings.HasPrefix(k, "hyperfleet-") // the broker's, and the former history
	})
	if h.deliveries > 0 {
		headers[headerDeliveries] = int64(h.deliveries)
	}
	if h.reason != "" {
		headers[headerReason] = broker.Cut(h.reason, broker.MostReason)
	}
	for key, t := range map[string]time.Time{headerFirst: h.first, headerLast: h.last, headerNotBefore: h.notBefore} {
		if !t.IsZero() {
			headers[key] = t.UTC().Format(time.RFC3339Nano)
		}
	}
	return amqp.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		MessageId: d.MessageId, Type: d.Type, Timestamp: d.Timestamp, AppId: d.AppId, Body: d.Body,
	}
}

// broughtBack is how often the broker delivered d before because a connection
// was lost.
func broughtBack(d amqp.Delivery) int { return int(number(d.Headers["x-delivery-count"])) }

// letter returns a message of a queue of dead letters as people see it.
func letter(d amqp.Delivery) broker.DeadLetter {
	h := read(d.Headers)
	l := broker.DeadLetter{Reason: h.reason, Deliveries: h.deliveries, First: h.first, Last: h.last}
	var err error
	if l.Event, err = broker.Decode(d.Body); err != nil {
		l.Malformed = d.Body
	}
	cause, died := byBroker(d.Headers)
	switch cause {
	case "delivery_limit":
		l.Deliveries += crashLimit + 1
		l.Reason = fmt.Sprintf("delivered %d times, and each time the connection or the process was lost before it was settled", crashLimit+1)
	case "rejected":
		l.Deliveries++
		l.Reason = "a delivery failed, and the broker refused to store the event anew: has its limit of a message's size become smaller?"
	default:
		return l
	}
	l.Last = died
	if l.First.IsZero() {
		l.First = died
	}
	return l
}

// byBroker says why and when the broker moved a message to the dead letters.
func byBroker(headers amqp.Table) (cause string, at time.Time) {
	deaths, _ := headers["x-death"].([]any)
	for _, d := range deaths {
		death, _ := d.(amqp.Table)
		if cause, _ = death["reason"].(string); cause == "delivery_limit" || cause == "rejected" {
			at, _ = death["time"].(time.Time)
			return cause, at
		}
	}
	return "", time.Time{}
}
