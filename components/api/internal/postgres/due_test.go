package postgres

import (
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// walkDue reads every page of a due list.
func walkDue(t testing.TB, s *Store, q DueQuery) []fleet.DueItem {
	t.Helper()
	var items []fleet.DueItem
	for {
		page, err := s.Due(t.Context(), clusters, q)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
		if page.Continue == "" {
			return items
		}
		q.Continue = page.Continue
	}
}

func dueIDs(t testing.TB, s *Store, q DueQuery) []string {
	t.Helper()
	var ids []string
	for _, item := range walkDue(t, s, q) {
		ids = append(ids, item.ID)
	}
	return ids
}

// publishAll records everything that is due as published.
func publishAll(t testing.TB, s *Store) {
	t.Helper()
	backoff := fleet.Backoff{NotReady: 1e12, Ready: 1e12}
	var tokens []string
	for _, item := range walkDue(t, s, DueQuery{Backoff: backoff}) {
		tokens = append(tokens, item.Token)
	}
	if err := s.Published(t.Context(), clusters, tokens, backoff); err != nil {
		t.Fatal(err)
	}
}
