package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

const idsSQL = `SELECT id FROM {resources} WHERE deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2`

// RollUp rolls up again one page of resources that no report may reach soon,
// after the required or the registered adapters have changed: at most limit of
// those behind the id after ("" = from the start). It says how many it saw, how
// many of them changed, and behind which id to go on; "" is the end. A deletion
// that only waited for an adapter that takes no part any more ends.
func (s *Store) RollUp(ctx context.Context, t fleet.TypeInfo, after string, limit int) (seen, changed int, next string, err error) {
	names, err := of(t)
	if err != nil {
		return 0, 0, "", err
	}
	if after == "" {
		after = nullID
	}
	var ids []string
	if err := s.statements.read(ctx, &ids, names.sql(idsSQL), after, pageSize(limit)); err != nil {
		return 0, 0, "", outward(ctx, "list "+string(t.Type), err)
	}
	for _, id := range ids {
		did, err := s.rollUp(ctx, t, id)
		if err != nil {
			return 0, 0, "", outward(ctx, "roll up "+t.Kind, err)
		}
		if did {
			changed++
		}
		next = id
	}
	if len(ids) < pageSize(limit) {
		next = ""
	}
	return len(ids), changed, next, nil
}

func (s *Store) rollUp(ctx context.Context, t fleet.TypeInfo, id string) (changed bool, err error) {
	err = s.underLock(ctx, t, AllTenants(), id, func(ctx context.Context, l locked, owner *locked) error {
		in, err := s.gather(ctx, l)
		if err != nil {
			return err
		}
		o := conclude(in)
		if changed = o.over || !alike(o.status, l.Resource.Status); !changed {
			return nil
		}
		_, err = s.settle(ctx, l, owner, o)
		return err
	})
	var known *fleet.Error
	if errors.As(err, &known) && known.Code == fleet.NotFound {
		return false, nil // deleted since it was listed
	}
	return changed, err
}

// alike says whether two roll-ups of the same reports say the same.
func alike(a, b fleet.Status) bool {
	return a.Phase == b.Phase && a.ObservedGeneration == b.ObservedGeneration && slices.EqualFunc(a.Conditions, b.Conditions,
		func(a, b fleet.Condition) bool {
			return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
		})
}
