package postgres

import (
	"context"
	"errors"

	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/database"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/page"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/resource"
	"github.com/hyperfleet/hyperfleet/components/api/internal/postgres/tenant"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const idsSQL = `SELECT id FROM {resources} WHERE deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2`

// RollUp rolls up again one page of resources that no report may reach soon,
// after the required or the registered adapters have changed: at most limit of
// those behind the id after ("" = from the start). It says how many it saw, how
// many of them changed, and behind which id to go on; "" is the end. A deletion
// that only waited for an adapter that takes no part any more ends.
func (s *Desk) RollUp(ctx context.Context, t fleet.TypeInfo, after string, limit int) (seen, changed int, next string, err error) {
	names, err := database.TablesFor(t)
	if err != nil {
		return 0, 0, "", err
	}
	if after == "" {
		after = database.NullID
	}
	var ids []string
	if err := s.db.Read(ctx, &ids, names.SQL(idsSQL), after, page.Size(limit)); err != nil {
		return 0, 0, "", database.Outward(ctx, "list "+string(t.Type), err)
	}
	for _, id := range ids {
		did, err := s.rollUp(ctx, t, id)
		if err != nil {
			return 0, 0, "", database.Outward(ctx, "roll up "+t.Kind, err)
		}
		if did {
			changed++
		}
		next = id
	}
	if len(ids) < page.Size(limit) {
		next = ""
	}
	return len(ids), changed, next, nil
}

func (s *Desk) rollUp(ctx context.Context, t fleet.TypeInfo, id string) (changed bool, err error) {
	err = s.under.UnderLock(ctx, t, tenant.All(), id, func(ctx context.Context, l resource.Locked, owner *resource.Locked) error {
		in, err := s.under.Gather(ctx, l)
		if err != nil {
			return err
		}
		o := resource.Conclude(in)
		if changed = o.Over || !resource.Alike(o.Status, l.Resource.Status); !changed {
			return nil
		}
		_, err = s.under.Settle(ctx, l, owner, o)
		return err
	})
	var known *fleet.Error
	if errors.As(err, &known) && known.Code == fleet.NotFound {
		return false, nil // deleted since it was listed
	}
	return changed, err
}
