package selector

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Shards is what a selector demands of the shard key, where "" stands for a
// resource without that label. The zero Shards demands nothing.
type Shards struct {
	Only bool     // just the values of In (none: nothing matches)
	In   []string // sorted, without duplicates
	Not  []string // not these values; sorted, without duplicates
}

// Split divides sel into what a shard-key column answers exactly and the rest,
// which has to be asked of the labels. A resource matches sel if and only if
// both match it.
func Split(sel labels.Selector, key string) (Shards, labels.Selector) {
	if sel == nil {
		return Shards{}, labels.Everything()
	}
	terms, selectable := sel.Requirements()
	if !selectable {
		return Shards{Only: true}, labels.Nothing()
	}
	var s Shards
	rest := labels.NewSelector()
	for _, term := range terms {
		if term.Key() != key || !s.add(term) {
			rest = rest.Add(term)
		}
	}
	s.In = slices.DeleteFunc(s.In, func(v string) bool { return slices.Contains(s.Not, v) })
	if s.Only {
		s.Not = nil
	}
	return s, rest
}

// add takes up one requirement on the shard key and says whether it needs no
// further asking: the column cannot tell an empty value from none.
func (s *Shards) add(term labels.Requirement) bool {
	values := sorted(term.ValuesUnsorted())
	empty := slices.Contains(values, "")
	switch term.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		s.restrict(values)
		return !empty
	case selection.DoesNotExist:
		s.restrict([]string{""})
		return false
	case selection.NotEquals, selection.NotIn:
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		s.Not = sorted(append(s.Not, values...))
		return !empty
	default:
		return false
	}
}

func (s *Shards) restrict(values []string) {
	if s.Only {
		values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(s.In, v) })
	}
	s.Only, s.In = true, values
}

// Match says whether a shard-key value meets the demand.
func (s Shards) Match(value string) bool {
	if s.Only {
		return slices.Contains(s.In, value)
	}
	return !slices.Contains(s.Not, value)
}

func sorted(values []string) []string {
	slices.Sort(values)
	return slices.Compact(values)
}
