package pgdev

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/lib/pq"
)

// superuser is the role that owns a server. It is no account of the machine.
const superuser = "hyperfleet"

// Options say how a server runs. The zero value is a temporary one.
type Options struct {
	DataDir string    // where it keeps everything; "" = a temporary directory, removed by Stop
	Port    int       // TCP port on 127.0.0.1; 0 = a free one
	Log     io.Writer // told what takes long (fetching, recovery); nil = nobody. The server's own log is DataDir/postgres.log
	Durable bool      // survive a crash of the machine (fsync), at a cost in speed
}

// Server is a PostgreSQL that runs.
type Server struct {
	room     *room
	port     int
	password string
	proc     *process

	stop    sync.Once
	stopErr error
}

// Start starts a server and returns once it accepts connections. ctx bounds the
// start alone; the server runs until Stop, or until this process ends in
// whatever way. A data directory that exists is used again, and one that another
// process uses is refused.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	bin, err := Binaries(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	acc, err := serverAccount()
	if err != nil {
		return nil, err
	}
	if err := acc.canReach(bin); err != nil {
		return nil, fmt.Errorf("run the PostgreSQL in %s: %w", bin, err)
	}
	r, err := openRoom(o.DataDir, acc)
	if err != nil {
		return nil, err
	}
	s, err := r.start(ctx, bin, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), r.close())
	}
	return s, nil
}

// start brings a server up in r.
func (r *room) start(ctx context.Context, bin string, o Options) (*Server, error) {
	if err := r.evictOrphan(ctx, o.Log); err != nil {
		return nil, err
	}
	password, err := r.initialise(ctx, bin, o.Durable)
	if err != nil {
		return nil, err
	}
	s := &Server{room: r, password: password}
	s.proc, s.port, err = r.launch(ctx, bin, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// URL returns the address of a database of this server, with the password in it.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     "127.0.0.1:" + strconv.Itoa(s.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDatabase makes an empty database unless there is one of that name.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	err := s.exec(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE template0")
	if pqErr := (*pq.Error)(nil); errors.As(err, &pqErr) && pqErr.Code == "42P04" { // duplicate_database
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// dropDatabase removes a database and ends whatever is connected to it.
func (s *Server) dropDatabase(ctx context.Context, name string) error {
	if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name)+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

// exec runs one statement on a connection of its own: such statements are rare,
// and an open pool would have to be closed before the server stops.
func (s *Server) exec(ctx context.Context, statement string) error {
	db, err := sql.Open("postgres", s.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// Done is closed when the server has exited, by itself or by Stop.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// Err says why the server exited, with the end of its log. It is nil while the
// server runs and after an orderly exit.
func (s *Server) Err() error {
	select {
	case <-s.proc.done:
	default:
		return nil
	}
	if s.proc.err == nil {
		return nil
	}
	return fmt.Errorf("PostgreSQL exited: %w%s", s.proc.err, s.room.logTail())
}

// Stop shuts the server down: orderly, then ever less so, within 9 s. It removes
// a temporary data directory. Later calls return what the first one did.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		s.proc.shutdown()
		s.stopErr = s.room.close()
	})
	return s.stopErr
}

// Kill ends every process of the server as a crash of its machine would, and
// returns when the server has exited. Stop must still follow; Start with the
// same DataDir recovers.
func (s *Server) Kill() error {
	all := []int{s.proc.pid}
	if syscall.Kill(s.proc.pid, syscall.SIGSTOP) == nil { // it must start none while they are counted
		all = append(all, children(s.proc.pid)...)
	}
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill PostgreSQL: %w", err)
		}
	}
	<-s.proc.done
	return nil
}

// Binaries returns the directory with PostgreSQL's programs, after fetching them
// where the machine has none. log is told about a fetch.
func Binaries(ctx context.Context, log io.Writer) (string, error) {
	if dir := find(); dir != "" {
		return dir, nil
	}
	dir, err := fetch(ctx, log)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL was not found on this machine (%s), and fetching it failed: %w; %s", searched, err, installHint())
	}
	return filepath.Join(dir, "bin"), nil
}

// exists says whether path is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
