package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

// database is the name of the database in the private PostgreSQL.
const database = "hyperfleet"

// stack is everything that one run holds.
type stack struct {
	cfg         Config
	dir         *dataDir
	api, admin  net.Listener
	postgres    *pgdev.Server // nil with a database of the user's
	databaseURL service.Secret
	log         *slog.Logger
	timeline    *timeline
	logFile     *os.File
	registry    *prometheus.Registry
	health      *service.Health
	brokers     *broker.Drivers
	issuer      *issuer
	token       string         // of an admin, for the user
	client      *client.Client // of the demo
	baseURL     string
	transport   *http.Transport
}

// Run runs the whole of HyperFleet until ctx ends, then stops it in the order
// in which its parts need one another. A private PostgreSQL, the ports and a
// temporary data directory are given back before it returns.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s := &stack{cfg: cfg, registry: prometheus.NewRegistry(), health: service.NewHealth()}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	return s.run(ctx)
}

// open takes what can be refused: first ports and directory, where every
// problem is named at once, then the database.
func (s *stack) open(ctx context.Context) error {
	problem := s.listen(ctx)
	var err error
	if s.dir, err = openDataDir(s.cfg.DataDir); problem != nil || err != nil {
		return errors.Join(problem, err)
	}
	s.logFile, err = os.OpenFile(s.dir.join("hyperfleet.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log file: %w", err)
	}
	s.timeline = newTimeline(s.cfg.Out, slog.NewJSONHandler(s.logFile, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.log = slog.New(s.timeline)
	s.brokers = s.openBrokers()
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	s.baseURL = urlOf(s.api)
	s.transport = &http.Transport{MaxIdleConnsPerHost: 64}
	if s.issuer, err = openIssuer(s.dir); err != nil {
		return err
	}
	if s.token, err = s.issuer.token("dev-admin", holder{Role: "admin"}); err != nil {
		return err
	}
	demo := client.Bearer(s.transport, s.issuer.tokens("demo", holder{Role: "editor"}))
	if s.client, err = client.New(s.baseURL, demo, requestTimeout); err != nil {
		return fmt.Errorf("make the API client: %w", err)
	}
	return writeEnv(s.dir.join("dev.env"), []variable{
		{"HYPERFLEET_URL", s.baseURL},
		{"DATABASE_URL", s.databaseURL.Reveal()},
		{"HYPERFLEET_TOKEN", s.token},
	})
}

// listen takes both ports, so that a port in use is said before anything starts.
func (s *stack) listen(ctx context.Context) error {
	adminAddr, err := nextPort(s.cfg.Listen)
	if err != nil {
		return err
	}
	for _, l := range []struct {
		addr string
		to   *net.Listener
	}{{s.cfg.Listen, &s.api}, {adminAddr, &s.admin}} {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", l.addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; choose another port with --listen (make dev PORT=9000)", l.addr, err)
		}
		*l.to = ln
	}
	return nil
}

// urlOf is where this machine reaches a listener, also one on every interface.
func urlOf(ln net.Listener) string {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if ok && addr.IP.IsUnspecified() {
		return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
	}
	return "http://" + ln.Addr().String()
}

func (s *stack) openDatabase(ctx context.Context) error {
	if s.cfg.DatabaseURL.Reveal() != "" {
		s.databaseURL = s.cfg.DatabaseURL
		return nil
	}
	fmt.Fprintln(s.cfg.Out, "Starting a private PostgreSQL ...")
	pg, err := pgdev.Start(ctx, pgdev.Options{DataDir: s.dir.join("postgres"), Durable: !s.dir.temporary, Log: s.cfg.Out})
	if err != nil {
		return fmt.Errorf("start a private PostgreSQL (or give your own with --database-url): %w", err)
	}
	s.postgres = pg
	if err := pg.CreateDatabase(ctx, database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	s.databaseURL = service.Secret(pg.URL(database))
	return nil
}

// close gives back what open took, in the opposite order.
func (s *stack) close() error {
	var problems []error
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	if s.postgres != nil {
		problems = append(problems, s.postgres.Stop())
	}
	if s.logFile != nil {
		problems = append(problems, s.logFile.Close())
	}
	if s.dir != nil {
		problems = append(problems, s.dir.close())
	}
	for _, ln := range []net.Listener{s.api, s.admin} {
		if ln == nil {
			continue
		}
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
