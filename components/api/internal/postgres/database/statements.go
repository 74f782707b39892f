package database

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jmoiron/sqlx"
)

// maxStatements bounds what a pool keeps prepared: selectors of many shapes
// must not fill the server's memory. What was used longest ago goes first.
const maxStatements = 256

// statements are prepared once per pool; database/sql prepares them again on
// each connection that comes to use them.
type statements struct {
	db         *sqlx.DB
	unprepared bool // a pooler stands between: nothing is kept

	mu     sync.Mutex
	kept   *simplelru.LRU[string, *statement]
	wanted map[string]bool // ran inside a transaction before they were prepared
}

// statement is closed by the last who lets go of it; being kept counts as one.
type statement struct {
	*sqlx.Stmt
	holders int
}

// stmt is nil where there is no statement: the text runs as it is.
func (s *statement) stmt() *sqlx.Stmt {
	if s == nil {
		return nil
	}
	return s.Stmt
}

func newStatements(db *sqlx.DB, unprepared bool) (*statements, error) {
	kept, err := simplelru.NewLRU[string, *statement](maxStatements, nil)
	return &statements{db: db, unprepared: unprepared, kept: kept, wanted: map[string]bool{}}, err
}

// take prepares text unless that is done, for one use that ends with release;
// nil for what runs unprepared. It needs a connection, so it must not be called
// by who holds one.
func (s *statements) take(ctx context.Context, text string) (*statement, error) {
	if s.unprepared || text == "" {
		return nil, nil //nolint:nilnil // see above
	}
	if found := s.find(text); found != nil {
		return found, nil
	}
	stmt, err := s.db.PreparexContext(ctx, text)
	if err != nil {
		return nil, err
	}
	taken, gone := s.keep(text, &statement{Stmt: stmt, holders: 2})
	s.release(gone)
	return taken, nil
}

// release lets go. What cannot be told to the server was told to a connection
// that is no more, and has forgotten it.
func (s *statements) release(used *statement) {
	if used == nil {
		return
	}
	s.mu.Lock()
	used.holders--
	last := used.holders == 0
	s.mu.Unlock()
	if last {
		_ = used.Close()
	}
}

func (s *statements) find(text string) *statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.kept.Get(text)
	if ok {
		found.holders++
	}
	return found
}

// keep returns what is kept of text from now on, and what has to go for it.
func (s *statements) keep(text string, fresh *statement) (taken, gone *statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, ok := s.kept.Get(text); ok { // another caller was faster
		other.holders++
		fresh.holders = 1
		return other, fresh
	}
	if s.kept.Len() == maxStatements {
		_, gone, _ = s.kept.RemoveOldest()
	}
	s.kept.Add(text, fresh)
	return fresh, gone
}

// inside looks for a statement of a transaction, and has it prepared before the
// next one begins: a transaction that waited for a second connection to prepare
// on could wait for ever. What is closed meanwhile the transaction prepares on
// its own connection.
func (s *statements) inside(text string) *sqlx.Stmt {
	if s.unprepared {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.kept.Get(text)
	if !ok {
		s.wanted[text] = true
		return nil
	}
	return found.Stmt
}

// prepareWanted prepares what transactions asked for. It needs a connection, so
// it must not be called by who holds one. What cannot be prepared says so where
// it is run: it concerns nobody else's transaction.
func (s *statements) prepareWanted(ctx context.Context) {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = map[string]bool{}
	s.mu.Unlock()
	for text := range wanted {
		if prepared, err := s.take(ctx, text); err == nil {
			s.release(prepared)
		}
	}
}
