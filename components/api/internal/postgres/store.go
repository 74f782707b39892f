package postgres

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Defaults of a [Config].
const (
	DefaultMaxConns = 16
	DefaultShardKey = "region"
	DefaultAcquire  = 5 * time.Second
)

// Config is how a [Store] reaches its database and judges what it stores.
type Config struct {
	URL          string                          // postgres://…
	PasswordFile string                          // read for every new connection, in place of the URL's password; "" = none
	Pooler       bool                            // a pooler in transaction mode stands between: see [Open]
	Role         string                          // the application's, to which Migrate grants what it needs; "" = nobody
	MaxConns     int                             // at most so many connections, but 2 at least; 0 = 16
	Acquire      time.Duration                   // how long to wait for a free connection; 0 = 5 s
	ShardKey     string                          // label that leads the schedule's index; "" = region
	Required     map[fleet.ResourceType][]string // adapters that must be Complete for a resource to be Ready
	Log          *slog.Logger                    // nil = silent
}

// Store is the API's database. Its methods may be called at the same time.
type Store struct {
	db         *sqlx.DB
	due        *sqlx.DB // connections that plan for the due query
	origin     origin
	role       string
	shardKey   string
	required   map[fleet.ResourceType][]string
	log        *slog.Logger
	statements *statements // of db
	dueQueries *statements // of due
	spread     spread
	ranges     atomic.Pointer[ranges] // partitions as last seen
	groups     map[fleet.ResourceType]*groups
	covering   chan struct{} // full while a coverage is computed
}

// Open prepares pools of connections and makes none yet: whether the database
// answers is seen by Migrate, Await and Ping. Its error never shows the URL.
//
// With c.Pooler nothing is prepared and nothing set per session, since every
// transaction may be another server's: README.md says what the pooler must set.
func Open(_ context.Context, c Config) (*Store, error) {
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	if c.Acquire <= 0 {
		c.Acquire = DefaultAcquire
	}
	if c.ShardKey == "" {
		c.ShardKey = DefaultShardKey
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	from := origin{url: c.URL, passwordFile: c.PasswordFile, pooler: c.Pooler}
	forDue := max(1, c.MaxConns/4)
	db, err := from.pool(max(1, c.MaxConns-forDue), settings)
	if err != nil {
		return nil, err
	}
	due, err := from.pool(forDue, settings, dueSettings)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{
		db: db, due: due, origin: from, role: c.Role, shardKey: c.ShardKey, required: c.Required, log: c.Log,
		statements: newStatements(db, c), dueQueries: newStatements(due, c),
		groups: map[fleet.ResourceType]*groups{}, covering: make(chan struct{}, 1),
	}
	s.dueQueries.local = dueSettings
	for _, t := range fleet.Types() {
		s.groups[t.Type] = &groups{store: func(ctx context.Context, group []*submission) error { return s.together(ctx, t, group) }}
	}
	return s, nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return outward(ctx, "ping the database", err)
	}
	return nil
}

// Close waits for what is being stored and gives all connections back.
func (s *Store) Close() error {
	for _, g := range s.groups {
		g.wait()
	}
	var problems []error
	for _, pool := range []interface{ Close() error }{s.db, s.due} {
		if err := pool.Close(); !away(err) { // what the server has closed already cannot be told goodbye
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}
