package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// grace is how long requests that run may go on once a server must stop. A
// process has 10 s in all.
const grace = 8 * time.Second

// Serve serves h on ln until ctx ends, then takes no more requests and lets those
// that run finish, for at most 8 s; if it has to cut some off, it says so in its
// error. It closes ln. Requests' contexts do not end with ctx.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	return serve(ctx, ln, h, log, grace)
}

func serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger, grace time.Duration) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    http.DefaultMaxHeaderBytes, // who sends a token of 1 MiB is to hear that it is not one
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(patience)
	if err != nil {
		err = fmt.Errorf("requests on %s ran on after %s and were cut off: %w", ln.Addr(), grace, errors.Join(err, server.Close()))
	}
	<-ended //nolint:errcheck // it says that the server was shut down
	return err
}
