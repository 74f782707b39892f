package service

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// server runs serve with a handler that says when it was entered and leaves when told.
type server struct {
	url     string
	stop    context.CancelFunc
	ended   chan error
	entered chan struct{}
	leave   chan struct{}
}

func startServer(t *testing.T, grace time.Duration) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &server{url: "http://" + ln.Addr().String(), stop: stop, ended: make(chan error, 1), entered: make(chan struct{}), leave: make(chan struct{})}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.entered <- struct{}{}
		select {
		case <-s.leave:
			_, _ = io.WriteString(w, "finished")
		case <-r.Context().Done():
		}
	})
	go func() { s.ended <- serve(ctx, ln, h, slog.New(slog.DiscardHandler), grace) }()
	return s
}

func fetch(url string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestARequestThatRunsIsFinished(t *testing.T) {
	t.Parallel()
	s := startServer(t, time.Hour)
	answer := make(chan string, 1)
	go func() {
		body, err := fetch(s.url)
		if err != nil {
			body = err.Error()
		}
		answer <- body
	}()
	<-s.entered
	s.stop()
	for { // the listener closes, and only then does the request end
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	close(s.leave)
	if got := <-answer; got != "finished" {
		t.Errorf("the request ended with %q", got)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestARequestThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	s := startServer(t, time.Millisecond)
	go func() { _, _ = fetch(s.url) }()
	<-s.entered
	s.stop()
	if err := <-s.ended; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Serve = %v", err)
	}
}

func TestAListenerThatFailsEndsTheServer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := Serve(t.Context(), ln, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}
