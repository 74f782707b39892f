package pgdev

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
)

// shared is the server of a test process. Tests of one package have nothing to
// hand a server through but the package, hence the one variable.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	inMain atomic.Bool
	names  atomic.Int64

	roles    sync.Once
	rolesErr error
}

// Main is the body of a TestMain: it runs the tests of a package that uses
// [Database] and stops the server that they shared.
func Main(m *testing.M) { os.Exit(Run(m.Run)) }

// Run is [Main] for packages that share more than this: it runs the tests, stops
// the server that they shared and returns the exit code.
func Run(tests func() int) (code int) {
	shared.inMain.Store(true)
	code = tests()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the tests' PostgreSQL:", err)
			code = 1
		}
	}
	return code
}

// Found says whether the machine has a PostgreSQL, fetched ones included.
func Found() bool { return find() != "" }

// Need skips t on a machine without PostgreSQL: tests fetch nothing.
func Need(t testing.TB) {
	t.Helper()
	if !Found() {
		t.Skipf("PostgreSQL was not found (%s); %s", searched, installHint())
	}
}

// Database returns the URL of a fresh, empty database on the test process's
// server, which the first call starts. The database is dropped when the test
// ends. It skips as [Need] does.
func Database(t testing.TB) string {
	t.Helper()
	if !shared.inMain.Load() {
		t.Fatal("pgdev.Database needs: func TestMain(m *testing.M) { pgdev.Main(m) }")
	}
	Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shared.once.Do(func() { shared.server, shared.err = Start(ctx, Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.URL(newDatabase(ctx, t))
}

// Roles are the URLs of one database for two roles, neither a superuser.
type Roles struct {
	Owner       string // owns the database
	Application string // may connect, and what the owner grants to the role ApplicationRole
}

// ApplicationRole is the name of the role of [Roles].Application.
const ApplicationRole = "application"

const ownerRole = "migrator"

// DatabaseRoles is [Database] as a production has it: for a role that owns the
// database, and for one that was granted nothing yet.
func DatabaseRoles(t testing.TB) Roles {
	t.Helper()
	whole, err := url.Parse(Database(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	shared.roles.Do(func() { shared.rolesErr = shared.server.makeRoles(ctx) })
	if shared.rolesErr != nil {
		t.Fatal(shared.rolesErr)
	}
	name := strings.TrimPrefix(whole.Path, "/")
	if err := shared.server.exec(ctx, "ALTER DATABASE "+pq.QuoteIdentifier(name)+" OWNER TO "+ownerRole); err != nil {
		t.Fatal(err)
	}
	as := func(role string) string {
		u := *whole
		u.User = url.UserPassword(role, shared.server.password)
		return u.String()
	}
	return Roles{Owner: as(ownerRole), Application: as(ApplicationRole)}
}

// AsOwner returns the address of [Roles].Application with its owner's role.
func AsOwner(application string) (string, error) {
	u, err := url.Parse(application)
	if err != nil {
		return "", errors.New("read a database's URL: it is none")
	}
	password, _ := u.User.Password()
	u.User = url.UserPassword(ownerRole, password)
	return u.String(), nil
}

// makeRoles makes the roles of [DatabaseRoles], with the superuser's password.
func (s *Server) makeRoles(ctx context.Context) error {
	for _, role := range []string{ownerRole, ApplicationRole} {
		if err := s.exec(ctx, "CREATE ROLE "+role+" LOGIN PASSWORD "+pq.QuoteLiteral(s.password)); err != nil {
			return fmt.Errorf("create role %s: %w", role, err)
		}
	}
	return nil
}

// newDatabase makes a database that is dropped when the test ends.
func newDatabase(ctx context.Context, t testing.TB) string {
	t.Helper()
	name := databaseName(t.Name(), shared.names.Add(1))
	if err := shared.server.CreateDatabase(ctx, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := shared.server.dropDatabase(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return name
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// databaseName is readable, unique by its number, and short enough for PostgreSQL (63 bytes).
func databaseName(test string, number int64) string {
	name := notInNames.ReplaceAllString(strings.ToLower(test), "_")
	return fmt.Sprintf("t%d_%.40s", number, name)
}
