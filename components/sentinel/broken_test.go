package sentinel

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/stub"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// ill is an API that answers every question what is due in its own way, until
// it is healed.
type ill struct {
	*api
	answer func(*http.Request) (*http.Response, error)
	healed atomic.Bool
}

func (i *ill) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && r.URL.Path == "/v1/clusters" && !i.healed.Load() {
		return i.answer(r)
	}
	return i.api.RoundTrip(r)
}

// cut ends before it should.
type cut struct{ io.Reader }

func (c cut) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (cut) Close() error { return nil }

const nothingDue = `{"kind":"DueList","items":[],"asOf":"2026-01-02T03:04:05.000000Z"}`

// TestNoBrokenAnswerOfTheAPIReadsAsNothingDue: what answers in the API's place
// would have nothing due, if it were believed.
func TestNoBrokenAnswerOfTheAPIReadsAsNothingDue(t *testing.T) {
	answers := func(status int, media, body string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {media}},
				Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}
	}
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"500": answers(500, "application/json", nothingDue),
		"429": answers(429, "application/problem+json", `{"code":"rate_limited"}`),
		"no answer in time": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"a truncated body": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
				Body: cut{bytes.NewReader([]byte(nothingDue))}, Request: r}, nil
		},
		"another content type": answers(200, "text/html", nothingDue),
		"another document":     answers(200, "application/json", `{"status":"ok"}`),
	} {
		t.Run(name, func(t *testing.T) {
			b, a := stub.New(), &ill{api: newAPI(), answer: answer}
			d := deps(b, a)
			in := b.Subscriber("hyperfleet.clusters.changed.v1", "sub", broker.Limits{})
			cfg := regions(t)
			cfg.APITimeout = 100 * time.Millisecond
			s, err := New(cfg, d)
			if err != nil {
				t.Fatal(err)
			}
			admin := service.AdminHandler(d.Health, d.Registry.(*prometheus.Registry))
			ctx, cancel := context.WithCancel(t.Context())
			ended, received := make(chan error, 2), make(chan bool, 100)
			go func() { ended <- s.Run(ctx) }()
			go func() {
				ended <- in.Receive(ctx, func(context.Context, broker.Delivery) broker.Outcome { received <- true; return broker.Ack() })
			}()
			const failed = `hyperfleet_sentinel_poll_errors_total{resource_type="clusters",shard="us-east"} `
			for deadline := time.Now().Add(ceiling); ; time.Sleep(10 * time.Millisecond) {
				metrics := get(admin, "/metrics")
				if strings.Contains(metrics, failed) && !strings.Contains(metrics, failed+"0\n") && !strings.Contains(metrics, failed+"1\n") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("no poll fails:\n%s", metrics)
				}
			}
			if metrics := get(admin, "/metrics"); !strings.Contains(metrics, `hyperfleet_sentinel_last_successful_poll_timestamp_seconds{resource_type="clusters",shard="us-east"} 0`+"\n") {
				t.Error("a poll counts as good")
			}
			if text := get(admin, "/readyz?verbose"); !strings.Contains(text, "[-] shard us-east: the API has not answered yet") {
				t.Errorf("ready: %s", text)
			}
			a.healed.Store(true)
			for range 2 { // one of each region
				select {
				case <-received:
				case <-time.After(ceiling):
					t.Fatal("nothing is published by itself afterwards")
				}
			}
			cancel()
			for range 2 {
				if err := <-ended; err != nil {
					t.Errorf("ended with %v", err)
				}
			}
		})
	}
}
