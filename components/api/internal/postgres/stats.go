package postgres

import (
	"context"
	"database/sql"
)

const versionSQL = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`

// Stats says how each pool of connections is used, by the pool's name.
func (s *Store) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{"main": s.db.Stats(), "due": s.due.Stats()}
}

// Version is the newest migration that was applied.
func (s *Store) Version(ctx context.Context) (int64, error) {
	var version []int64
	if err := s.statements.read(ctx, &version, versionSQL); err != nil {
		return 0, outward(ctx, "read the schema's version", err)
	}
	return version[0], nil
}
