// Package storetest is the one suite that every home of a store must pass: what package
// store promises, tried on a real home, and compared with a model of a few lines that
// keeps everything in memory.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/store"
)

// Home makes stores of one kind.
type Home struct {
	// Open returns a new and empty store. The suite closes it.
	Open func(testing.TB) store.Store
	// Dump returns every byte the store keeps of its content, names of keys included.
	Dump func(testing.TB, store.Store) []byte
}

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Run tries every promise on the home.
func Run(t *testing.T, home Home) {
	for _, test := range []struct {
		name string
		try  func(*testing.T, store.Store)
	}{
		{"recent actions", recent},
		{"an action is stored once", storedOnce},
		{"the same actions from many sides", manySides},
		{"actions page by page", actionPages},
		{"users page by page", userPages},
		{"a deleted user leaves no trace", func(t *testing.T, s store.Store) { noTrace(t, home, s) }},
		{"deletions and additions at once", deleteAndAppend},
		{"all kinds of text", allText},
		{"POIs", places},
		{"POIs page by page", poiPages},
		{"edges of boxes", boxEdges},
		{"a follower misses no change", follower},
		{"keys", keys},
		{"bad input", badInput},
		{"bad cursors", badCursors},
		{"a context that ended", endedContext},
		{"an empty batch", emptyBatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := home.Open(t)
			defer closeStore(t, s)
			test.try(t, s)
		})
	}
	t.Run("after it is closed", func(t *testing.T) {
		s := home.Open(t)
		closeStore(t, s)
		for name, call := range calls(s) {
			if err := call(context.Background()); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s of a closed store: error %v, want store.ErrUnavailable", name, err)
			}
		}
	})
}

func closeStore(t tester, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close %s: %v", s.Name(), err)
	}
}

// calls has one valid call of each method.
func calls(s store.Store) map[string]func(context.Context) error {
	one := store.Action{User: "u", POI: "p", Type: "checkin"}
	return map[string]func(context.Context) error{
		"Append":      func(ctx context.Context) error { _, err := s.Append(ctx, []store.Action{one}); return err },
		"Recent":      func(ctx context.Context) error { _, err := s.Recent(ctx, "u", 1, 1); return err },
		"ActionsPage": func(ctx context.Context) error { _, _, err := s.ActionsPage(ctx, "", "", 1); return err },
		"UsersPage":   func(ctx context.Context) error { _, _, err := s.UsersPage(ctx, "", "", 1); return err },
		"DeleteUser":  func(ctx context.Context) error { _, err := s.DeleteUser(ctx, "u"); return err },
		"UpsertPOIs":  func(ctx context.Context) error { _, err := s.UpsertPOIs(ctx, []store.POI{{ID: "p"}}); return err },
		"POI":         func(ctx context.Context) error { _, err := s.POI(ctx, "p"); return err },
		"POIsPage":    func(ctx context.Context) error { _, _, err := s.POIsPage(ctx, "", 1, nil); return err },
		"POIs in box": func(ctx context.Context) error {
			_, _, err := s.POIsPage(ctx, "", 1, &store.Box{North: 1, East: 1})
			return err
		},
		"ClosePOI":  func(ctx context.Context) error { return s.ClosePOI(ctx, "p") },
		"POIsSince": func(ctx context.Context) error { _, _, err := s.POIsSince(ctx, 0, 1); return err },
		"PutKey":    func(ctx context.Context) error { return s.PutKey(ctx, aKey("k")) },
		"Keys":      func(ctx context.Context) error { _, err := s.Keys(ctx); return err },
		"DeleteKey": func(ctx context.Context) error { return s.DeleteKey(ctx, "k") },
		"Counts":    func(ctx context.Context) error { _, err := s.Counts(ctx); return err },
		"Ping":      s.Ping,
	}
}

func endedContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range calls(s) {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context: error %v, want context.Canceled", name, err)
		}
	}
	if got, want := counts(t, s), (store.Counts{}); got != want {
		t.Errorf("calls with a cancelled context left %+v, want nothing", got)
	}
	if err := s.Ping(context.Background()); err != nil {
		t.Errorf("ping afterwards: %v", err)
	}
}

func emptyBatch(t *testing.T, s store.Store) {
	done, err := s.Append(context.Background(), nil)
	if err != nil || done.Count() != 0 {
		t.Errorf("append nothing: %+v, %v", done, err)
	}
	if n, err := s.UpsertPOIs(context.Background(), nil); n != 0 || err != nil {
		t.Errorf("upsert nothing: %d, %v", n, err)
	}
}

func badCursors(t *testing.T, s store.Store) {
	ctx := context.Background()
	mustAppend(t, s, act("a", 1), act("a", 2), act("b", 1), act("b", 2))
	mustUpsert(t, s, store.POI{ID: "p"}, store.POI{ID: "q"})
	_, actions, err1 := s.ActionsPage(ctx, "a", "", 1)
	_, users, err2 := s.UsersPage(ctx, "", "", 1)
	_, pois, err3 := s.POIsPage(ctx, "", 1, nil)
	if err := errors.Join(err1, err2, err3); err != nil || actions == "" || users == "" || pois == "" {
		t.Fatalf("cursors %q, %q, %q, error %v; want one of each", actions, users, pois, err)
	}
	tests := []struct {
		name string
		call func() error
	}{
		{"not a cursor", func() error { _, _, err := s.ActionsPage(ctx, "a", "x", 1); return err }},
		{"of another user", func() error { _, _, err := s.ActionsPage(ctx, "b", actions, 1); return err }},
		{"of one user for all", func() error { _, _, err := s.ActionsPage(ctx, "", actions, 1); return err }},
		{"of users for actions", func() error { _, _, err := s.ActionsPage(ctx, "", users, 1); return err }},
		{"of actions for users", func() error { _, _, err := s.UsersPage(ctx, "", actions, 1); return err }},
		{"of all users for a prefix", func() error { _, _, err := s.UsersPage(ctx, "a", users, 1); return err }},
		{"of users for POIs", func() error { _, _, err := s.POIsPage(ctx, users, 1, nil); return err }},
		{"of all POIs for a box", func() error { _, _, err := s.POIsPage(ctx, pois, 1, &store.Box{North: 1}); return err }},
		{"cut short", func() error { _, _, err := s.POIsPage(ctx, pois[:len(pois)-2], 1, nil); return err }},
	}
	for _, tc := range tests {
		if err := tc.call(); !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("a cursor %s: error %v, want store.ErrBadCursor", tc.name, err)
		}
	}
}

func badInput(t *testing.T, s store.Store) {
	ctx := context.Background()
	good := act("u", 1)
	bad := good
	bad.User = ""
	huge := make([]store.Action, store.MaxBatch+1)
	for i := range huge {
		huge[i] = act("u", int64(i))
	}
	tests := []struct {
		name string
		call func() error
	}{
		{"one bad action of two", func() error { _, err := s.Append(ctx, []store.Action{good, bad}); return err }},
		{"a batch too large", func() error { _, err := s.Append(ctx, huge); return err }},
		{"a bad POI", func() error { _, err := s.UpsertPOIs(ctx, []store.POI{{ID: "p"}, {ID: "q", Lat: 91}}); return err }},
		{"POIs too many", func() error { _, err := s.UpsertPOIs(ctx, make([]store.POI, store.MaxBatch+1)); return err }},
		{"a key without a role", func() error { k := aKey("k"); k.Role = ""; return s.PutKey(ctx, k) }},
		{"recent of nobody", func() error { _, err := s.Recent(ctx, "", 1, 1); return err }},
		{"recent zero", func() error { _, err := s.Recent(ctx, "u", 1, 0); return err }},
		{"recent too many", func() error { _, err := s.Recent(ctx, "u", 1, store.MaxRecent+1); return err }},
		{"actions, no limit", func() error { _, _, err := s.ActionsPage(ctx, "", "", 0); return err }},
		{"users, too many", func() error { _, _, err := s.UsersPage(ctx, "", "", store.MaxPage+1); return err }},
		{"users, bad prefix", func() error { _, _, err := s.UsersPage(ctx, "a\x00", "", 1); return err }},
		{"POIs, too many", func() error { _, _, err := s.POIsPage(ctx, "", store.MaxPage+1, nil); return err }},
		{"POIs, box upside down", func() error { _, _, err := s.POIsPage(ctx, "", 1, &store.Box{South: 2, North: 1}); return err }},
		{"POIs since, no limit", func() error { _, _, err := s.POIsSince(ctx, 0, 0); return err }},
		{"delete nobody", func() error { _, err := s.DeleteUser(ctx, ""); return err }},
		{"POI without ID", func() error { _, err := s.POI(ctx, ""); return err }},
		{"close a POI that cannot be", func() error { return s.ClosePOI(ctx, "a\xff") }},
		{"delete a key that cannot be", func() error { return s.DeleteKey(ctx, "") }},
	}
	for _, tc := range tests {
		if err := tc.call(); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: error %v, want poi.ErrBadInput", tc.name, err)
		}
	}
	if got, want := counts(t, s), (store.Counts{}); got != want {
		t.Errorf("bad input left %+v, want nothing", got)
	}
}

func counts(t tester, s store.Store) store.Counts {
	t.Helper()
	c, err := s.Counts(context.Background())
	if err != nil {
		t.Fatalf("counts: %v", err)
	}
	return c
}

// everything collects all pages of a list. No page may be larger than asked for, none
// but the last may be empty, and the list must end.
func everything[T any](t tester, limit int, page func(cursor string) ([]T, string, error)) []T {
	t.Helper()
	var all []T
	cursor := ""
	for {
		rows, next, err := page(cursor)
		if err != nil {
			t.Fatalf("page after %d rows: %v", len(all), err)
		}
		if len(rows) > limit || len(rows) == 0 && next != "" {
			t.Fatalf("a page of %d rows, limit %d, next %q", len(rows), limit, next)
		}
		all = append(all, rows...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

// together runs n functions at once and returns their errors.
func together(n int, do func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { errs[i] = do(i) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

func same[T comparable](t tester, what string, got, want []T) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s: %d rows, want %d; row %d is\n%s, want\n%s", what, len(got), len(want), i, at(got, i), at(want, i))
		}
	}
}

func at[T any](rows []T, i int) string {
	if i >= len(rows) {
		return "missing"
	}
	return fmt.Sprintf("%+v", rows[i])
}
