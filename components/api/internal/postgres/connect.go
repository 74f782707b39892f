package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Settings of every connection. A statement of ours is short, so compiling it
// or waiting long for it never pays; nor may it keep its snapshot for long.
var settings = map[string]string{
	"statement_timeout":                   "10s",
	"lock_timeout":                        "10s",
	"idle_in_transaction_session_timeout": "30s",
	"jit":                                 "off",
}

// Settings of the connections for the due query, whose indexes are made for
// its one plan. Statistics that are old, or rows that were not vacuumed yet,
// would have PostgreSQL sort and fetch instead, most of all under load.
var dueSettings = map[string]string{
	"enable_bitmapscan": "off",
	"enable_seqscan":    "off",
	"plan_cache_mode":   "force_generic_plan",
}

// How sessions call themselves: those of a serving process, and others.
const (
	applicationName = "hyperfleet-api"
	migratorName    = "hyperfleet-api migrate"
)

// origin is where connections come from.
type origin struct {
	url          string
	passwordFile string
	pooler       bool
	name         string // of the application; "" = hyperfleet-api
}

// pool makes no connection yet. A pooler knows no settings of ours, so they are
// left out: it sets the first itself, and the due query sets its own.
func (o origin) pool(size int, set ...map[string]string) (*sqlx.DB, error) {
	d := &dialer{origin: o, set: map[string]string{}}
	if !o.pooler {
		for _, some := range set {
			maps.Copy(d.set, some)
		}
	}
	if _, err := d.config(); err != nil {
		return nil, err
	}
	db := sqlx.NewDb(sql.OpenDB(d), "postgres") // so that placeholders stay $1, $2, …
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	return db, nil
}

// dialer connects anew with what the password file says by then, and to
// whichever of the URL's hosts answers.
type dialer struct {
	origin
	set map[string]string
}

var errURL = errors.New("read the database's URL: it is not a postgres:// URL") // the driver's error may quote the password

// config is the driver's, without the password of the file.
func (d *dialer) config() (pq.Config, error) {
	config, err := pq.NewConfig(d.url)
	if err != nil {
		return config, errURL
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if config.ApplicationName = d.name; d.name == "" { // whatever the URL says: a serving API must be seen
		config.ApplicationName = applicationName
	}
	if len(config.Multi) > 0 && config.TargetSessionAttrs == "" {
		config.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	if config.Runtime == nil {
		config.Runtime = map[string]string{}
	}
	config.Runtime["timezone"] = "UTC"
	maps.Copy(config.Runtime, d.set)
	// In transaction mode a statement must be parsed, bound and run in one go.
	config.BinaryParameters = config.BinaryParameters || d.pooler
	return config, nil
}

// Connect makes one connection.
func (d *dialer) Connect(ctx context.Context) (driver.Conn, error) {
	config, err := d.config()
	if err != nil {
		return nil, err
	}
	if d.passwordFile != "" {
		text, err := os.ReadFile(d.passwordFile)
		if err != nil {
			return nil, fmt.Errorf("read the database's password file: %w", err)
		}
		config.Password = strings.TrimRight(string(text), "\r\n")
	}
	connector, err := pq.NewConnectorConfig(config)
	if err != nil {
		return nil, errURL
	}
	return connector.Connect(ctx)
}

// Driver is what database/sql asks for.
func (*dialer) Driver() driver.Driver { return &pq.Driver{} }
