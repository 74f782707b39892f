package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const auditColumns = `id, at, principal, request_id, action, tenant, resource_type, resource_id, name, generation_before, generation_after`

const (
	auditSQL = `INSERT INTO audit (` + auditColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

	// notedSQL notes what a statement writes, if it says that it wrote anything.
	notedSQL = `
		WITH written AS (%s),
		noted AS (
			INSERT INTO audit (` + auditColumns + `)
			SELECT $%d::uuid, $%d::timestamptz, $%d::text, $%d::text, $%d::text, '', $%d::text, $%[8]d::text, $%[8]d::text, NULL, NULL
			WHERE EXISTS (SELECT FROM written))
		SELECT * FROM written`
)

// Author is who asks for a write, for the audit.
type Author struct {
	Principal string
	RequestID string
	Admin     bool // a user: what only workloads write otherwise is noted too
}

type authorKey struct{}

// NewContext returns ctx with the author of what is written under it.
func NewContext(ctx context.Context, a Author) context.Context {
	return context.WithValue(ctx, authorKey{}, a)
}

// AuthorOf is who [NewContext] said writes; nobody without that.
func AuthorOf(ctx context.Context) Author {
	a, _ := ctx.Value(authorKey{}).(Author)
	return a
}

// Subject is the resource that a write is about.
type Subject struct{ Tenant, ID, Name string }

// Note notes a write to a resource in the transaction of the write itself.
// Generation 0 is none.
func Note(ctx context.Context, x *database.Tx, at time.Time, did fleet.Action, r Subject, before, after int64) error {
	id, err := database.NewID(at)
	if err != nil {
		return err
	}
	by := AuthorOf(ctx)
	err = x.Exec(ctx, auditSQL, id, at, by.Principal, by.RequestID, string(did), r.Tenant, string(x.Info.Type), r.ID, r.Name,
		generation(before), generation(after))
	if err != nil {
		return fmt.Errorf("note the write in the audit: %w", err)
	}
	return nil
}

func generation(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// Noted adds to a statement about a shard or an adapter, which has no tenant and
// no generation, that it is noted in the audit.
func Noted(ctx context.Context, at time.Time, did fleet.Action, kind, name, text string, args []any) (string, []any, error) {
	id, err := database.NewID(at)
	if err != nil {
		return "", nil, err
	}
	by, n := AuthorOf(ctx), len(args)
	return fmt.Sprintf(notedSQL, text, n+1, n+2, n+3, n+4, n+5, n+6, n+7),
		append(args[:n:n], id, at, by.Principal, by.RequestID, string(did), kind, name), nil
}

// Log is what users wrote.
type Log struct{ db *database.Pool }

// New keeps what is told of writes in db.
func New(db *database.Pool) *Log { return &Log{db} }

// Query says which entries of the audit are asked for.
type Query struct {
	Principal    string // "" = anybody's; so for the others
	Action       fleet.Action
	ResourceType string
	ResourceID   string
	Since        *time.Time // at or after
	Until        *time.Time // before
	Limit        int        // at most so many; 0 = 100, never more than 1000
	Continue     string     // from the list before
}

func (q Query) fingerprint(sc tenant.Scope) string {
	moment := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return fleet.At(*t).String()
	}
	return page.Fingerprint("audit", sc.Name(), q.Principal, q.Action, q.ResourceType, q.ResourceID, moment(q.Since), moment(q.Until))
}

// auditRow is an entry as its table holds it.
type auditRow struct {
	ID           string    `db:"id"`
	At           time.Time `db:"at"`
	Principal    string    `db:"principal"`
	RequestID    string    `db:"request_id"`
	Action       string    `db:"action"`
	Tenant       string    `db:"tenant"`
	ResourceType string    `db:"resource_type"`
	ResourceID   string    `db:"resource_id"`
	Name         string    `db:"name"`
	Before       *int64    `db:"generation_before"`
	After        *int64    `db:"generation_after"`
}

func (r auditRow) entry() fleet.AuditEntry {
	return fleet.AuditEntry{
		ID: r.ID, At: fleet.At(r.At), Principal: r.Principal, RequestID: r.RequestID, Action: fleet.Action(r.Action), Tenant: r.Tenant,
		ResourceType: r.ResourceType, ResourceID: r.ResourceID, Name: r.Name, GenerationBefore: r.Before, GenerationAfter: r.After,
	}
}

// Audit reads one page of what users did, newest first. It hands over and
// returns as List does.
func (l *Log) Audit(ctx context.Context, sc tenant.Scope, q Query, each func(fleet.AuditEntry) error) (fleet.AuditList, error) {
	out := fleet.AuditList{Kind: "AuditList"}
	query := q.fingerprint(sc)
	from, err := page.Read(q.Continue, query)
	if err != nil {
		return out, err
	}
	asOf, err := l.db.Clock(ctx)
	if err != nil {
		return out, database.Outward(ctx, "read the audit", err)
	}
	out.AsOf = fleet.At(asOf)
	limit := page.Size(q.Limit)
	text, args := q.sql(sc, from, limit+1)
	p := page.Rows[auditRow]{Limit: limit, ID: func(r auditRow) string { return r.ID }, Each: func(r auditRow) error { return each(r.entry()) }}
	err = p.Walk(ctx, l.db, text, args)
	out.Continue = p.Next(query)
	return out, p.Outward(ctx, "read the audit", err)
}

// sql bounds times by ids as well, so that only their partitions are read.
func (q Query) sql(sc tenant.Scope, from page.Place, limit int) (string, []any) {
	if from.ID == "" {
		from.ID = database.MaxID
	}
	args := []any{from.ID}
	conditions := []string{"id < $1::uuid"}
	where := func(text string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(text, len(args)))
	}
	if all, tenants := sc.Predicate(); !all {
		where("tenant = ANY($%d::text[])", tenants)
	}
	for _, equal := range [][2]string{
		{"principal = $%d::text", q.Principal}, {"action = $%d::text", string(q.Action)},
		{"resource_type = $%d::text", q.ResourceType}, {"resource_id = $%d::text", q.ResourceID},
	} {
		if equal[1] != "" {
			where(equal[0], equal[1])
		}
	}
	if q.Since != nil {
		where("at >= $%[1]d::timestamptz AND id >= first_id($%[1]d::timestamptz)", *q.Since)
	}
	if q.Until != nil {
		where("at < $%[1]d::timestamptz AND id < first_id($%[1]d::timestamptz + interval '1 millisecond')", *q.Until)
	}
	args = append(args, limit)
	return "SELECT " + auditColumns + " FROM audit WHERE " + strings.Join(conditions, " AND ") + fmt.Sprintf(" ORDER BY id DESC LIMIT $%d", len(args)), args
}
