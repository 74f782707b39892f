package pgdev

import (
	"database/sql"
	"testing"
)

func TestRolesHaveNoMoreThanTheyShould(t *testing.T) {
	t.Parallel()
	roles := DatabaseRoles(t)
	owner, err := AsOwner(roles.Application)
	if err != nil || owner != roles.Owner {
		t.Errorf("owner of %v: %v, %v", roles.Application, owner, err)
	}
	execute(t, roles.Owner, "CREATE TABLE t (n int)")
	for url, want := range map[string]string{roles.Owner: "0 false", roles.Application: ""} {
		db, err := sql.Open("postgres", url)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		err = db.QueryRowContext(t.Context(), `SELECT count(*) || ' ' || (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) FROM t`).Scan(&got)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
