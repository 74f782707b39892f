package postgres

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// hammer sends requests from so many workers for a while and returns how many
// were answered as they should, in a second.
func (x *bench) hammer(workers, status int, request func(worker, i int) *http.Request) float64 {
	x.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	turn := benchTime(x.B, "BENCH_TURN", 5*time.Second)
	ctx, cancel := context.WithTimeout(x.Context(), turn)
	defer cancel()
	var answered atomic.Int64
	var group sync.WaitGroup
	begun := time.Now()
	for w := range workers {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				resp, err := client.Do(request(w, i).WithContext(ctx))
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != status {
					x.Errorf("answered %s", resp.Status)
					return
				}
				answered.Add(1)
			}
		})
	}
	group.Wait()
	return float64(answered.Load()) / time.Since(begun).Seconds()
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
