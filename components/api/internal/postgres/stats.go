package postgres

import "database/sql"

// Stats says how each pool of connections is used, by the pool's name.
func (s *Store) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{"main": s.db.Stats(), "due": s.due.Stats()}
}
