package rest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres"
	"github.com/hyperfleet/hyperfleet/components/api/internal/rest"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// lister is a store whose list holds so many items of a size, and then errs.
type lister struct {
	rest.Store
	items, size int
	err         error
	ended       chan error // what List returned with
}

func (l lister) List(_ context.Context, t fleet.TypeInfo, _ postgres.Scope, _ postgres.ListQuery, each func(postgres.Item) error) (fleet.List, error) {
	spec := []byte(`"` + strings.Repeat("x", l.size) + `"`)
	err := l.err
	for range l.items {
		if broken := each(postgres.Item{Resource: fleet.Resource{Spec: spec}, Labels: []byte("{}"), Status: []byte("{}")}); broken != nil {
			err = broken
			break
		}
	}
	if l.ended != nil {
		l.ended <- err
	}
	return fleet.List{Kind: t.ListKind}, err
}

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
			resp, err := http.Get(b.url + "/v1/clusters")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			if tt.begun && err == nil {
				t.Error("the answer ended as if it were whole")
			}
			if !tt.begun && (err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/problem+json") {
				t.Errorf("answered %d, %v", resp.StatusCode, err)
			}
		})
	}
}

// TestALongListTakesNoMemory lists 64 MiB, which nobody collects.
func TestALongListTakesNoMemory(t *testing.T) {
	b := serve(t, lister{items: 1000, size: 64 << 10}, time.Minute)
	resp, err := http.Get(b.url + "/v1/clusters")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var before, now runtime.MemStats
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
