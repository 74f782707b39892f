package brokertest

import (
	"bytes"
	"context"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

var content = []theme{
	{name: "an event survives byte for byte, its attributes too", test: survives},
	{name: "an event of one mebibyte survives", test: large},
	{name: "binary data survives", test: binary},
	{name: "what a handler does to its event changes no other delivery", test: isolated},
}

// passed sends e through h and returns what comes out.
func passed(t *testing.T, h *bench, e event.Event) event.Event {
	t.Helper()
	got := make(chan event.Event, 1)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), e)
	return next(t, got, "the event")
}

func same(t *testing.T, got, want event.Event) {
	t.Helper()
	if !bytes.Equal(got.Data(), want.Data()) {
		t.Fatalf("data of %d bytes came back as %d: %.200q, want %.200q", len(want.Data()), len(got.Data()), got.Data(), want.Data())
	}
	a, err := got.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	b, err := want.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Fatalf("got  %.1000s\nwant %.1000s", a, b)
	}
}

func survives(t *testing.T, h *bench) {
	e := sample("0190-é-\"quoted\"", "subject/with?odd#chars")
	e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	e.SetDataSchema("https://example.com/schema")
	e.DataEncoded = []byte(`{"n":12345678901234567890,"s":"\u00e9 <&> \u2028","nested":{"a":[1,2.50,null,true]},"empty":""}`)
	same(t, passed(t, h, e), e)
}

func large(t *testing.T, h *bench) {
	e := sample("large", "s")
	const size = 1 << 20
	data := make([]byte, 0, size)
	data = append(data, `{"x":"`...)
	for i := 0; len(data) < size-2; i++ {
		data = append(data, byte('a'+i%26))
	}
	e.DataEncoded = append(data, `"}`...)
	same(t, passed(t, h, e), e)
}

func binary(t *testing.T, h *bench) {
	e := sample("binary", "s")
	e.SetDataContentType("application/octet-stream")
	e.DataEncoded, e.DataBase64 = make([]byte, 256), true
	for i := range e.DataEncoded {
		e.DataEncoded[i] = byte(i)
	}
	same(t, passed(t, h, e), e)
}

func isolated(t *testing.T, h *bench) {
	e := sample("a", "s")
	got := make(chan event.Event, 2)
	receive(t, h.Subscriber(topic, subscription, broker.Limits{}), func(_ context.Context, d broker.Delivery) broker.Outcome {
		got <- d.Event.Clone()
		clear(d.Event.DataEncoded)
		d.Event.SetID("spoilt")
		if d.Attempt == 1 {
			return broker.Retry(0)
		}
		return broker.Ack()
	})
	publish(t, h.Publisher(topic), e)
	for range 2 {
		same(t, next(t, got, "a delivery"), e)
	}
}
