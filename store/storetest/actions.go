package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/whereto/whereto/store"
)

// act is an action of a user at a time, without an ID.
func act(user string, ms int64) store.Action {
	return store.Action{User: user, POI: "poi", TimeMS: ms, OffsetMin: 540, Type: "checkin"}
}

func mustAppend(t tester, s store.Store, actions ...store.Action) store.Appended {
	t.Helper()
	done, err := s.Append(context.Background(), actions)
	if err != nil {
		t.Fatalf("append %d actions: %v", len(actions), err)
	}
	return done
}

func allActions(t tester, s store.Store, user string, limit int) []store.Action {
	t.Helper()
	return everything(t, limit, func(cursor string) ([]store.Action, string, error) {
		return s.ActionsPage(context.Background(), user, cursor, limit)
	})
}

func recent(t *testing.T, s store.Store) {
	at := func(id string, ms int64) store.Action {
		a := act("ann", ms)
		a.ID = id
		return a
	}
	standing := at("d", 30)
	standing.HasUser, standing.UserLat, standing.UserLng, standing.OffsetMin = true, -41.29, 174.78, -720
	early := at("before 1970", -5)
	// Arrival is not the order of time; three share a moment, in two batches.
	mustAppend(t, s, at("c", 20), at("a", 10), standing)
	mustAppend(t, s, at("b", 20), early, act("bob", 25))
	mustAppend(t, s, at("0", 20))
	inTime := []store.Action{early, at("a", 10), at("c", 20), at("b", 20), at("0", 20), standing}
	tests := []struct {
		name   string
		before int64
		n      int
		want   []store.Action
	}{
		{"all", 31, 100, inTime},
		{"the moment itself is not before", 30, 100, inTime[:5]},
		{"ties keep the order of arrival", 21, 2, inTime[3:5]},
		{"a tie at the moment", 20, 3, inTime[:2]},
		{"the latest one", 1 << 62, 1, inTime[5:]},
		{"below zero", 0, 5, inTime[:1]},
		{"none so early", -1 << 62, 5, nil},
	}
	for _, tc := range tests {
		got, err := s.Recent(context.Background(), "ann", tc.before, tc.n)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		same(t, tc.name, got, tc.want)
	}
	if got, err := s.Recent(context.Background(), "nobody", 100, 5); err != nil || len(got) != 0 {
		t.Errorf("recent of an unknown user: %v, %v; want none", got, err)
	}
}

func storedOnce(t *testing.T, s store.Store) {
	named := func(user, id string, ms int64) store.Action {
		a := act(user, ms)
		a.ID = id
		return a
	}
	otherPOI, otherType := act("u", 1), act("u", 1)
	otherPOI.POI, otherType.Type = "other", "click"
	first := []store.Action{
		named("u", "1", 1), // new
		named("u", "1", 2), // the same ID, another time
		named("v", "1", 1), // the same ID of another user
		act("u", 1),        // no ID: not the same as the first
		act("u", 1),        // the same again
		otherPOI, otherType,
	}
	got := mustAppend(t, s, first...)
	same(t, "new in the first batch", got.New, []bool{true, false, true, true, false, true, true})
	second := append(slices.Clone(first), act("u", 2), named("u", "2", 1))
	moved := act("v", 7)
	second = append(second, moved)
	moved.OffsetMin, moved.HasUser, moved.UserLat = 60, true, 5 // neither makes it another action
	second = append(second, moved)
	got = mustAppend(t, s, second...)
	same(t, "new in the second batch", got.New, append(make([]bool, len(first)), true, true, true, false))
	if got.Count() != 3 {
		t.Errorf("count of new actions %d, want 3", got.Count())
	}
	if got, want := counts(t, s), (store.Counts{Actions: 8, Users: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	mine := allActions(t, s, "u", 100)
	if mine[0] != first[0] {
		t.Errorf("the first of two with one ID is %+v, want the one that arrived first, %+v", mine[0], first[0])
	}
}

// manySides appends the same actions from many goroutines in batches of other orders.
func manySides(t *testing.T, s store.Store) {
	const sides, n = 8, 60
	actions := make([]store.Action, n)
	for i := range actions {
		actions[i] = act(fmt.Sprintf("user %d", i%7), int64(i/2))
		if i%3 == 0 {
			actions[i].ID = fmt.Sprint(i)
		}
	}
	var fresh atomic.Int64
	err := together(sides, func(side int) error {
		mine := append(slices.Clone(actions[side*n/sides:]), actions[:side*n/sides]...)
		for batch := range slices.Chunk(mine, 5+side) {
			done, err := s.Append(context.Background(), batch)
			if err != nil {
				return err
			}
			fresh.Add(int64(done.Count()))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Load() != n {
		t.Errorf("%d actions were said to be new, want %d", fresh.Load(), n)
	}
	if got, want := counts(t, s), (store.Counts{Actions: n, Users: 7}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if got := len(allActions(t, s, "", 11)); got != n {
		t.Errorf("%d actions listed, want %d", got, n)
	}
}

func actionPages(t *testing.T, s store.Store) {
	var want []store.Action
	for _, user := range []string{"b", "", "c"} { // "" stands for 30 users of one action each
		for i := range 30 {
			a := act(user, int64(i/4)) // ties cross the ends of pages
			a.ID = fmt.Sprint(i)
			if user == "" {
				a = act(fmt.Sprintf("b%02d", i), 1)
			}
			want = append(want, a)
		}
	}
	mustAppend(t, s, want...)
	for _, limit := range []int{1, 7, 30, 89, 90, 91} {
		same(t, fmt.Sprintf("all actions by %d", limit), allActions(t, s, "", limit), want)
		same(t, fmt.Sprintf("actions of c by %d", limit), allActions(t, s, "c", limit), want[60:])
	}
	if got := allActions(t, s, "nobody", 5); len(got) != 0 {
		t.Errorf("an unknown user has %d actions", len(got))
	}
	// Between any two pages actions arrive before, at and after the place in hand.
	known := map[store.Identity]int{}
	for _, a := range want {
		known[a.Identity()] = 0
	}
	extra := 0
	got := everything(t, 4, func(cursor string) ([]store.Action, string, error) {
		for _, user := range []string{"a", "b", "b07x", "c", "d"}[:1+extra%5] {
			for _, ms := range []int64{-1, 3, 5} {
				late := act(user, ms)
				late.ID = fmt.Sprintf("late %d", extra)
				extra++
				if extra < 300 { // the list must come to an end
					mustAppend(t, s, late)
				}
			}
		}
		return s.ActionsPage(context.Background(), "", cursor, 4)
	})
	seen := map[store.Identity]bool{}
	for _, a := range got {
		if seen[a.Identity()] {
			t.Fatalf("%+v came twice", a)
		}
		seen[a.Identity()] = true
		if _, ok := known[a.Identity()]; ok {
			known[a.Identity()]++
		}
	}
	for _, a := range want {
		if known[a.Identity()] != 1 {
			t.Fatalf("%+v came %d times while others were added, want once", a, known[a.Identity()])
		}
	}
}

func userPages(t *testing.T, s store.Store) {
	last := act("ann", 9)
	last.OffsetMin = -300
	tie := last
	tie.OffsetMin, tie.ID = 60, "arrived later"
	mustAppend(t, s, last, tie, act("ann", 3), act("bea", 5), act("an", 1), act("Ann", 1), act("ann\U0010FFFF", 4), act("äb", 2), act("an\x01", 6))
	user := func(name string, n int, lastMS int64, offset int16) store.User {
		return store.User{User: name, Actions: n, LastMS: lastMS, LastOffsetMin: offset}
	}
	want := []store.User{user("Ann", 1, 1, 540), user("an", 1, 1, 540), user("an\x01", 1, 6, 540), user("ann", 3, 9, 60),
		user("ann\U0010FFFF", 1, 4, 540), user("bea", 1, 5, 540), user("äb", 1, 2, 540)}
	tests := []struct {
		prefix string
		want   []store.User
	}{{"", want}, {"an", want[1:5]}, {"ann", want[3:5]}, {"ä", want[6:]}, {"bea", want[5:6]}, {"beat", nil}, {"z", nil}}
	for _, tc := range tests {
		for _, limit := range []int{1, 3, 100} {
			got := everything(t, limit, func(cursor string) ([]store.User, string, error) {
				mustAppend(t, s, act("ann", 3)) // stored before: changes nothing
				return s.UsersPage(context.Background(), tc.prefix, cursor, limit)
			})
			same(t, fmt.Sprintf("users that begin with %q by %d", tc.prefix, limit), got, tc.want)
		}
	}
}

func noTrace(t *testing.T, home Home, s store.Store) {
	const name, id, place, kind = "Zaphod-Beeblebrox", "trace-id-7f3a", "trace-poi-91cc", "trace-type"
	var actions []store.Action
	for i := range 500 { // enough to leave the first page of a file
		a := act(name, int64(i))
		a.ID, a.POI, a.Type = fmt.Sprint(id, i), place, kind
		actions = append(actions, a, act("someone else", int64(i)))
	}
	mustAppend(t, s, actions...)
	traces := []string{name, id, place, kind}
	before := home.Dump(t, s)
	for _, trace := range traces {
		if !bytes.Contains(before, []byte(trace)) {
			t.Fatalf("the dump does not show %q before the deletion: it cannot show that it is gone", trace)
		}
	}
	n, err := s.DeleteUser(context.Background(), name)
	if n != 500 || err != nil {
		t.Fatalf("delete: %d actions, %v; want 500", n, err)
	}
	after := home.Dump(t, s)
	for _, trace := range traces {
		if bytes.Contains(after, []byte(trace)) {
			t.Errorf("%q is left after the deletion", trace)
		}
	}
	if !bytes.Contains(after, []byte("someone else")) {
		t.Error("someone else is gone too")
	}
	if got, want := counts(t, s), (store.Counts{Actions: 500, Users: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if n, err := s.DeleteUser(context.Background(), name); n != 0 || err != nil {
		t.Errorf("delete again: %d, %v; want 0 and no error", n, err)
	}
	// He may come back, and nothing is known of his actions.
	if back := mustAppend(t, s, actions[0]); back.Count() != 1 {
		t.Error("an action is taken for stored after the deletion")
	}
}

// deleteAndAppend keeps adding for one user while he is deleted: counts must agree with
// the lists whatever came first.
func deleteAndAppend(t *testing.T, s store.Store) {
	err := together(6, func(side int) error {
		for i := range 15 {
			if side < 2 {
				if _, err := s.DeleteUser(context.Background(), "u"); err != nil {
					return err
				}
				continue
			}
			if _, err := s.Append(context.Background(), []store.Action{act("u", int64(side*100+i)), act("v", int64(side*100+i))}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := int64(len(allActions(t, s, "u", 100))), int64(len(allActions(t, s, "v", 100)))
	if theirs != 60 {
		t.Errorf("the other user has %d actions, want 60", theirs)
	}
	if got := counts(t, s); got.Actions != mine+theirs {
		t.Errorf("%d actions counted, %d listed", got.Actions, mine+theirs)
	}
}

// texts are names that homes like to spoil.
func texts() []string {
	return []string{"星巴克咖啡", "ü", "u\u0308", "İstanbul", "i", "I", "🏠👩‍👩‍👧", "مقهى", " space ", "tab\tline\nreturn\r",
		"quote'\"`\\", "% _ * ? [a-z]", "(open", "[open", "+", "-", "{hash}", "a:b", "\x01\x02\x7f", "\u200b\u202e", "NULL",
		"\ufeff", "\ufffd", "\U0010FFFF", "a\\0b", "$1 ?1 :x @y", strings.Repeat("長", store.MaxUser), "-1", "0", "1e309", "<b>&amp;</b>"}
}

func allText(t *testing.T, s store.Store) {
	var actions []store.Action
	var pois []store.POI
	for i, text := range texts() {
		a := act(text, int64(i))
		a.POI, a.ID = text, string([]rune(text)[:min(len([]rune(text)), store.MaxActionID)])
		a.Type = string([]rune(text)[:min(len([]rune(text)), store.MaxType)])
		actions = append(actions, a)
		pois = append(pois, store.POI{ID: text, Name: text, Category: text + " > x", Lat: float64(i), Lng: -float64(i)})
	}
	mustAppend(t, s, actions...)
	if again := mustAppend(t, s, actions...); again.Count() != 0 {
		t.Errorf("%d of the same actions were new", again.Count())
	}
	mustUpsert(t, s, pois...)
	slices.SortFunc(actions, func(a, b store.Action) int { return strings.Compare(a.User, b.User) })
	same(t, "actions", allActions(t, s, "", 4), actions)
	for _, a := range actions {
		got, err := s.Recent(context.Background(), a.User, 1000, 5)
		if err != nil {
			t.Fatalf("recent of %q: %v", a.User, err)
		}
		same(t, fmt.Sprintf("recent of %q", a.User), got, []store.Action{a})
	}
	slices.SortFunc(pois, func(a, b store.POI) int { return strings.Compare(a.ID, b.ID) })
	same(t, "POIs", plain(allPOIs(t, s, 4, nil)), pois)
	for _, a := range actions {
		if n, err := s.DeleteUser(context.Background(), a.User); n != 1 || err != nil {
			t.Errorf("delete %q: %d, %v; want 1", a.User, n, err)
		}
	}
}
