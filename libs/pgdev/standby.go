package pgdev

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Standby starts a hot standby of s, in a directory where nothing is yet. It
// follows by streaming, asynchronously unless s is told otherwise
// (synchronous_standby_names), takes the same passwords, and reads only until
// [Server.Promote].
func (s *Server) Standby(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	bin, err := Binaries(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	r, err := openRoom(o.DataDir, s.room.acc)
	if err != nil {
		return nil, err
	}
	standby := &Server{room: r, password: s.password}
	if err = r.copy(ctx, bin, s); err == nil {
		standby.proc, standby.port, err = r.launch(ctx, bin, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a standby of PostgreSQL: %w", err), r.close())
	}
	return standby, nil
}

// copy takes a base backup of a server that runs, made to follow it.
func (r *room) copy(ctx context.Context, bin string, from *Server) error {
	if exists(r.data()) {
		return fmt.Errorf("data directory %s has a server already", r.dir)
	}
	if err := os.WriteFile(r.path("password"), []byte(from.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the database's password: %w", err)
	}
	fresh, err := r.freshData()
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_basebackup"), "--pgdata="+fresh, "--write-recovery-conf", "--checkpoint=fast", "--no-sync", //nolint:gosec // a program that was looked for
		"--host=127.0.0.1", "--port="+strconv.Itoa(from.port), "--username="+superuser)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = append(environment(), "PGPASSWORD="+from.password), fresh, r.acc.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, strings.ReplaceAll(lastLines(string(out)), from.password, "***"))
	}
	if err := os.Rename(fresh, r.data()); err != nil {
		return fmt.Errorf("put data directory in place: %w", err)
	}
	return nil
}

// Promote makes a standby take writes, and returns once it does.
func (s *Server) Promote(ctx context.Context) error {
	db, err := sql.Open("postgres", s.URL("postgres"))
	if err != nil {
		return err
	}
	var done bool
	err = db.QueryRowContext(ctx, `SELECT pg_promote()`).Scan(&done)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("promote PostgreSQL: %w", err)
	}
	if !done {
		return fmt.Errorf("promote PostgreSQL: it did not end its recovery in time%s", s.room.logTail())
	}
	return nil
}
