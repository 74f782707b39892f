package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
)

// flights is how many groups are stored at once, and most how large one is: as
// the API's.
const (
	flights = 2
	most    = 256
)

// status is what a cluster's becomes, whatever it was.
const status = `{"phase":"Provisioning","adapters":[{"adapter_name":"dns","phase":"Running","observed_generation":1,"attempt":1,"retry_at":null,"message":"step 1000","last_transition_time":"2026-01-02T03:04:05.000000Z"}],"conditions":[{"type":"Ready","status":"False","reason":"WaitingForAdapters","message":"dns: Running","observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}],"observedGeneration":1,"lastTransitionTime":"2026-01-02T03:04:05.000000Z"}`

// report is one POST that waits for its group.
type report struct {
	id      string
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
	stored  chan error
}

// reports stores POST /{id}/statuses in groups, with nothing to judge.
type reports struct {
	db                 *sql.DB
	lock, latest, save *sql.Stmt
	queue              chan *report
}

func newReports(db *sql.DB) (*reports, error) {
	r := &reports{db: db, queue: make(chan *report, most*flights)}
	for name, into := range map[string]**sql.Stmt{"BARE_LOCK": &r.lock, "BARE_LATEST": &r.latest, "BARE_SAVE": &r.save} {
		var err error
		if *into, err = db.Prepare(os.Getenv(name)); err != nil {
			return nil, err
		}
	}
	for range flights {
		go r.fly()
	}
	return r, nil
}

func (r *reports) serve(w http.ResponseWriter, req *http.Request) {
	in := &report{id: req.PathValue("id"), stored: make(chan error, 1)}
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = json.Unmarshal(body, in)
	}
	if err == nil {
		r.queue <- in
		err = <-in.stored
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

// fly stores what has come meanwhile, one resource once.
func (r *reports) fly() {
	var left []*report
	for {
		group, taken := []*report{}, map[string]bool{}
		var rest []*report
		take := func(in *report) {
			if taken[in.id] {
				rest = append(rest, in)
				return
			}
			taken[in.id] = true
			group = append(group, in)
		}
		for _, in := range left {
			take(in)
		}
		if len(group) == 0 {
			take(<-r.queue)
		}
		for len(group) < most && len(r.queue) > 0 {
			take(<-r.queue)
		}
		left = rest
		err := r.store(group)
		for try := 0; err != nil && try < 3; try++ { // the other flight may have had the same resource
			err = r.store(group)
		}
		for _, in := range group {
			in.stored <- err
		}
	}
}

func (r *reports) store(group []*report) error {
	ctx, at, size := context.Background(), time.Now().UTC().Truncate(time.Microsecond), len(group)
	ids, places, adapters := make(pq.StringArray, size), make(pq.Int64Array, size), make(pq.StringArray, size)
	words, data := make(pq.StringArray, size), make(pq.StringArray, size)
	entries, changes := make([]map[string]any, size), make([]map[string]any, size)
	for i, in := range group {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		ids[i], places[i], adapters[i], words[i], data[i] = in.id, int64(i), "dns", in.Message, string(in.Data)
		entries[i] = map[string]any{"id": id, "subject": in.id, "adapter": "dns", "phase": "Running", "message": in.Message, "data": in.Data,
			"generation": 1, "attempt": 1, "base": 0, "transition": at, "at": at}
		changes[i] = map[string]any{"id": in.id, "status": json.RawMessage(status), "at": at, "reports": 1, "worked": true, "ready": false,
			"phase": "Provisioning", "generation": 1, "transition": at, "wakes": 0, "retries": []string{}}
	}
	made, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	changed, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := drop(tx.StmtContext(ctx, r.lock).QueryContext(ctx, ids)); err != nil {
		return err
	}
	if err := drop(tx.StmtContext(ctx, r.latest).QueryContext(ctx, places, ids, adapters, words, data)); err != nil {
		return err
	}
	if err := drop(tx.StmtContext(ctx, r.save).QueryContext(ctx, string(made), `[]`, string(changed), "ffffffff-ffff-ffff-ffff-ffffffffffff", 16)); err != nil {
		return err
	}
	return tx.Commit()
}

// drop reads rows and forgets them.
func drop(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
