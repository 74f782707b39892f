// Command bare answers GET /{id} with a cluster's row and nothing more: the least
// that net/http and lib/pq can do, to which the API is compared.
package main

import (
	"database/sql"
	"log"
	"net/http"
	"os"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	get, err := db.Prepare(os.Getenv("BARE_SQL"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		rows, err := get.QueryContext(r.Context(), r.URL.Path[1:], false, true, "{}")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer rows.Close()
		names, _ := rows.Columns()
		values := make([]sql.RawBytes, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		w.Header().Set("Content-Type", "application/json")
		for rows.Next() {
			if err := rows.Scan(into...); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			for _, v := range values {
				_, _ = w.Write(v)
			}
		}
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), nil)) //nolint:gosec // a benchmark's
}
