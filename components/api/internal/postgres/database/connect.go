package database

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

// How sessions call themselves: those of a serving process, and others.
const (
	ApplicationName = "hyperfleet-api"
	MigratorName    = "hyperfleet-api migrate"
)

// Origin is where connections come from.
type Origin struct {
	URL          string // postgres://…
	PasswordFile string // read for every new connection, in place of the URL's password; "" = none
	Pooler       bool   // a pooler in transaction mode stands between
	Name         string // of the application; "" = hyperfleet-api
}

// Open makes a pool and no connection yet. A pooler knows no settings of ours,
// so they are left out: it sets ours itself, and reads set the others given.
func (o Origin) Open(size int, patience time.Duration, more map[string]string) (*Pool, error) {
	set := maps.Clone(settings)
	maps.Copy(set, more)
	p := &Pool{slots: make(chan struct{}, size), patience: patience}
	if o.Pooler {
		set, p.local = nil, more
	}
	db, err := o.pool(size, set)
	if err != nil {
		return nil, err
	}
	p.DB = db
	p.statements, err = newStatements(db, o.Pooler)
	return p, err
}

// Direct makes connections of the migrator's that pass by any pooler, each a
// session for itself; none yet.
func (o Origin) Direct(size int, set map[string]string) (*sqlx.DB, error) {
	o.Pooler = false
	return o.pool(size, set)
}

func (o Origin) pool(size int, set map[string]string) (*sqlx.DB, error) {
	d := &dialer{Origin: o, set: set}
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
	Origin
	set map[string]string
}

var errURL = errors.New("read the database's URL: it is not a postgres:// URL") // the driver's error may quote the password

// config is the driver's, without the password of the file.
func (d *dialer) config() (pq.Config, error) {
	config, err := pq.NewConfig(d.URL)
	if err != nil {
		return config, errURL
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if config.ApplicationName = d.Name; d.Name == "" { // whatever the URL says: a serving API must be seen
		config.ApplicationName = ApplicationName
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
	config.BinaryParameters = config.BinaryParameters || d.Pooler
	return config, nil
}

// Connect makes one connection.
func (d *dialer) Connect(ctx context.Context) (driver.Conn, error) {
	config, err := d.config()
	if err != nil {
		return nil, err
	}
	if d.PasswordFile != "" {
		text, err := os.ReadFile(d.PasswordFile)
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
