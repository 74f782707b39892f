package postgres

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// hammer sends requests from so many workers for a while and returns how many
// were answered as they should, in a second. Each worker has a connection of its
// own and does all the work of it: http.Client, with two goroutines more for
// each, would take most of what is to be measured.
func (x *bench) hammer(workers, status int, request func(worker, i int) *http.Request) float64 {
	x.Helper()
	turn := benchTime(x.B, "BENCH_TURN", 5*time.Second)
	ctx, cancel := context.WithTimeout(x.Context(), turn)
	defer cancel()
	var answered atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for w := range workers {
		group.Go(func() {
			var c *connection
			for i := 0; ctx.Err() == nil; i++ {
				r := request(w, i)
				if c == nil {
					var err error
					if c, err = dial(ctx, r.URL.Host); err != nil {
						x.Error(err)
						return
					}
					defer c.Close() // a benchmark's
				}
				got, err := c.do(r)
				if err != nil || got != status {
					x.Errorf("answered %d, %v", got, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	group.Wait()
	return float64(answered.Load()) / time.Since(begun).Seconds()
}

// connection is a client's, which is kept alive.
type connection struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer
}

func dial(ctx context.Context, host string) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	return &connection{conn, bufio.NewReader(conn), bufio.NewWriter(conn)}, err
}

// do sends a request, reads the answer to its end and says its status.
func (c *connection) do(r *http.Request) (int, error) {
	if err := r.Write(c.out); err != nil {
		return 0, err
	}
	if err := c.out.Flush(); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.in, r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() // read to its end
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (x *bench) request(method, url, body string) *http.Request {
	r, err := http.NewRequestWithContext(x.Context(), method, url, strings.NewReader(body))
	if err != nil {
		panic(err) // a URL of ours
	}
	r.Header.Set("Authorization", "Bearer "+x.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}
