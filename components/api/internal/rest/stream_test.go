package rest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/audit"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// lister is a store whose lists hold so many items of a size, and then err.
type lister struct {
	rest.Store
	items, size int
	err         error
	ended       chan error // what List returned with
}

func (l lister) List(_ context.Context, t fleet.TypeInfo, _ tenant.Scope, _ resource.Query, each func(resource.Item) error) (fleet.List, error) {
	spec := []byte(`"` + strings.Repeat("x", l.size) + `"`)
	return fleet.List{Kind: t.ListKind}, l.hand(func() error {
		return each(resource.Item{Resource: fleet.Resource{Spec: spec}, Labels: []byte("{}"), Status: []byte("{}")})
	})
}

func (l lister) Reports(_ context.Context, _ fleet.TypeInfo, _ tenant.Scope, _ string, _ postgres.ReportQuery, each func(fleet.Report) error) (fleet.ReportList, error) {
	message := strings.Repeat("x", l.size)
	return fleet.ReportList{}, l.hand(func() error { return each(fleet.Report{Message: message}) })
}

func (l lister) Audit(_ context.Context, _ tenant.Scope, _ audit.Query, each func(fleet.AuditEntry) error) (fleet.AuditList, error) {
	name := strings.Repeat("x", l.size)
	return fleet.AuditList{}, l.hand(func() error { return each(fleet.AuditEntry{Name: name}) })
}

func (l lister) hand(one func() error) error {
	err := l.err
	for range l.items {
		if broken := one(); broken != nil {
			err = broken
			break
		}
	}
	if l.ended != nil {
		l.ended <- err
	}
	return err
}

// streamed are the paths whose answers may be long.
var streamed = []string{"/v1/clusters", "/v1/clusters/x/statuses", "/v1/audit"}

func TestAListThatFailsIsNeverWhole(t *testing.T) {
	away := &fleet.Error{Code: fleet.Unavailable, Detail: "away"}
	for name, tt := range map[string]struct {
		items int
		err   error
		begun bool
	}{
		"before its first item":           {0, away, false},
		"while nothing was sent":          {10, away, false},
		"once it has begun":               {1000, away, true},
		"by a defect, once it has begun":  {1000, errors.New("hunter2"), true},
		"out of time, once it has begun":  {1000, context.DeadlineExceeded, true},
		"in a way that is the user's own": {1000, fleet.Errorf(fleet.BadRequest, "x"), true},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, lister{items: tt.items, size: 1000, err: tt.err}, time.Minute)
			for _, path := range streamed {
				resp, err := http.Get(b.url + path)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				_, err = io.Copy(io.Discard, resp.Body)
				if tt.begun && err == nil {
					t.Errorf("%s: the answer ended as if it were whole", path)
				}
				if !tt.begun && (err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/problem+json") {
					t.Errorf("%s: answered %d, %v", path, resp.StatusCode, err)
				}
			}
		})
	}
}

// TestALongListTakesNoMemory lists 64 MiB, which nobody collects.
func TestALongListTakesNoMemory(t *testing.T) {
	b := serve(t, lister{items: 1000, size: 64 << 10}, time.Minute)
	for _, path := range streamed {
		t.Run(path, func(t *testing.T) { listLong(t, b.url+path) })
	}
}

func listLong(t *testing.T, url string) {
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var before, now runtime.MemStats
	runtime.GC() // nothing of the lists before
	runtime.ReadMemStats(&before)
	total, most := 0, uint64(0)
	chunk := make([]byte, 1<<20)
	for err == nil {
		var n int
		n, err = io.ReadFull(resp.Body, chunk)
		if total += n; total>>20%4 == 0 {
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
		}
	}
	if total < 1000*64<<10 || most > before.HeapInuse+24<<20 {
		t.Errorf("%d MiB were listed (%v) while the heap grew by %d MiB", total>>20, err, (most-before.HeapInuse)>>20)
	}
}

// TestAReaderThatStopsIsCutOff: the database does not wait for it for ever.
func TestAReaderThatStopsIsCutOff(t *testing.T) {
	ended := make(chan error, 1)
	b := serve(t, lister{items: 1000, size: 400 << 10, ended: ended}, time.Second)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/clusters HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("everything was sent to nobody")
		}
	case <-time.After(time.Minute):
		t.Fatal("the list waits for its reader")
	}
}

// patient is an answer that notes when its reader's time began to run.
type patient struct {
	*httptest.ResponseRecorder
	running bool
}

func (p *patient) SetWriteDeadline(at time.Time) error {
	p.running = !at.IsZero()
	return nil
}

// counting is a store that looks at the answer before its first item, as if it
// counted, and after it.
type counting struct {
	rest.Store
	answer        *patient
	before, after bool
}

func (c *counting) List(_ context.Context, _ fleet.TypeInfo, _ tenant.Scope, _ resource.Query, each func(resource.Item) error) (fleet.List, error) {
	c.before = c.answer.running
	err := each(resource.Item{Labels: []byte("{}"), Status: []byte("{}")})
	c.after = c.answer.running
	return fleet.List{}, err
}

// TestAReadersTimeRunsFromTheFirstItem: a slow count is none of its time.
func TestAReadersTimeRunsFromTheFirstItem(t *testing.T) {
	store := &counting{answer: &patient{ResponseRecorder: httptest.NewRecorder()}}
	b := serve(t, store, time.Minute)
	b.handler.ServeHTTP(store.answer, httptest.NewRequest(http.MethodGet, "/v1/clusters?count=true", nil))
	if store.before || !store.after || store.answer.running {
		t.Errorf("it ran before the first item: %t, after: %t, at the end: %t", store.before, store.after, store.answer.running)
	}
}

func TestCountsAreWhatAWholeWalkSees(t *testing.T) {
	b := newBed(t)
	for i := range 5 {
		b.create(fmt.Sprintf("c-%d", i), fmt.Sprintf(`"odd":"%d"`, i%2))
	}
	page := want[fleet.List](b, 200, "GET", "/v1/clusters?count=true&limit=2&labels=odd:0", "")
	if page.Total == nil || *page.Total != 3 || len(page.Items) != 2 || page.Continue == "" {
		t.Fatalf("%+v", page)
	}
	rest := want[fleet.List](b, 200, "GET", "/v1/clusters?count=true&limit=2&labels=odd:0&continue="+page.Continue, "")
	if rest.Total == nil || *rest.Total != 3 || len(rest.Items) != 1 || rest.Continue != "" {
		t.Errorf("%+v", rest)
	}
	if none := want[fleet.List](b, 200, "GET", "/v1/clusters?labels=odd:0", ""); none.Total != nil {
		t.Errorf("a total that nobody asked for: %d", *none.Total)
	}
	if empty := want[fleet.List](b, 200, "GET", "/v1/clusters?count=true&name=nobody", ""); empty.Total == nil || *empty.Total != 0 || empty.Items == nil {
		t.Errorf("%+v", empty)
	}
}
