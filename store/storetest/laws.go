package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/store"
)

// model does what a home must do, in memory and in the plainest way.
type model struct {
	actions  []store.Action // in order of arrival
	pois     map[string]store.POI
	revision int64
}

func (m *model) append(actions []store.Action) []bool {
	fresh := make([]bool, len(actions))
	for i, a := range actions {
		fresh[i] = !slices.ContainsFunc(m.actions, func(old store.Action) bool {
			if old.User != a.User || old.ID != a.ID {
				return false
			}
			return a.ID != "" || old.TimeMS == a.TimeMS && old.POI == a.POI && old.Type == a.Type
		})
		if fresh[i] {
			m.actions = append(m.actions, a)
		}
	}
	return fresh
}

// of returns a user's actions, or all if user is empty, by user, time and arrival.
func (m *model) of(user string) []store.Action {
	mine := slices.DeleteFunc(slices.Clone(m.actions), func(a store.Action) bool { return user != "" && a.User != user })
	slices.SortStableFunc(mine, func(a, b store.Action) int {
		if c := strings.Compare(a.User, b.User); c != 0 {
			return c
		}
		return int(a.TimeMS - b.TimeMS)
	})
	return mine
}

func (m *model) recent(user string, before int64, n int) []store.Action {
	mine := slices.DeleteFunc(m.of(user), func(a store.Action) bool { return a.TimeMS >= before })
	return mine[max(0, len(mine)-n):]
}

func (m *model) users(prefix string) []store.User {
	var users []store.User
	for _, a := range m.of("") {
		if !strings.HasPrefix(a.User, prefix) {
			continue
		}
		if len(users) == 0 || users[len(users)-1].User != a.User {
			users = append(users, store.User{User: a.User})
		}
		last := &users[len(users)-1]
		last.Actions, last.LastMS, last.LastOffsetMin = last.Actions+1, a.TimeMS, a.OffsetMin
	}
	return users
}

func (m *model) delete(user string) int {
	before := len(m.actions)
	m.actions = slices.DeleteFunc(m.actions, func(a store.Action) bool { return a.User == user })
	return before - len(m.actions)
}

// put returns how many POIs changed. Its revisions stand for an order, not for numbers.
func (m *model) put(pois []store.POI) int {
	last := map[string]store.POI{}
	for _, p := range pois {
		last[p.ID] = p
	}
	changed := 0
	for i, p := range pois {
		repeated := slices.ContainsFunc(pois[i+1:], func(q store.POI) bool { return q.ID == p.ID })
		old, known := m.pois[p.ID]
		old.Revision = 0
		if repeated || known && old == p {
			continue
		}
		m.revision++
		p.Revision = m.revision
		m.pois[p.ID] = p
		changed++
	}
	return changed
}

func (m *model) close(id string) error {
	p, known := m.pois[id]
	if !known {
		return store.ErrNotFound
	}
	if !p.Closed {
		m.revision++
		p.Closed, p.Revision = true, m.revision
		m.pois[id] = p
	}
	return nil
}

func (m *model) catalog(box *store.Box) []store.POI {
	var pois []store.POI
	for _, p := range m.pois {
		if box == nil || inside(*box, p.Lat, p.Lng) {
			pois = append(pois, p)
		}
	}
	slices.SortFunc(pois, func(a, b store.POI) int { return strings.Compare(a.ID, b.ID) })
	return plain(pois)
}

// inside asks for each way to write a longitude: the antimeridian has two.
func inside(b store.Box, lat, lng float64) bool {
	ways := []float64{lng}
	if lng == 180 || lng == -180 {
		ways = []float64{180, -180}
	}
	return lat >= b.South && lat <= b.North && slices.ContainsFunc(ways, func(x float64) bool {
		if b.West > b.East {
			return x >= b.West || x <= b.East
		}
		return x >= b.West && x <= b.East
	})
}

// FewerCases lowers how many cases the laws draw unless the command line says it, because
// every step waits for a disk. Call it from TestMain.
func FewerCases() error {
	return errors.Join(flag.Set("rapid.checks", "15"), flag.Set("rapid.steps", "20"))
}

// Machine returns a law: whatever calls follow each other, the home and the model agree.
func Machine(t *testing.T, home Home) func(*rapid.T) {
	ctx := context.Background()
	user := rapid.SampledFrom([]string{"a", "ab", "b", "ü"})
	id := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"})
	when := rapid.Int64Range(-2, 6)
	action := rapid.Custom(func(t *rapid.T) store.Action {
		a := store.Action{User: user.Draw(t, "user"), POI: id.Draw(t, "poi"), TimeMS: when.Draw(t, "time"),
			OffsetMin: rapid.Int16Range(-1080, 1080).Draw(t, "offset"), Type: rapid.SampledFrom([]string{"", "click"}).Draw(t, "type")}
		if rapid.Bool().Draw(t, "has id") {
			a.ID = id.Draw(t, "id")
		}
		if a.HasUser = rapid.Bool().Draw(t, "has position"); a.HasUser {
			a.UserLat, a.UserLng = rapid.Float64Range(-90, 90).Draw(t, "lat"), rapid.Float64Range(-180, 180).Draw(t, "lng")
		}
		return a
	})
	place := rapid.Custom(func(t *rapid.T) store.POI {
		return store.POI{ID: id.Draw(t, "id"), Name: id.Draw(t, "name"), Lat: rapid.Float64Range(0, 2).Draw(t, "lat"),
			Lng: 1, Closed: rapid.Bool().Draw(t, "closed")}
	})
	return func(rt *rapid.T) {
		s, m := home.Open(t), &model{pois: map[string]store.POI{}}
		defer closeStore(rt, s)
		limit := rapid.IntRange(1, 5).Draw(rt, "page size")
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				batch := rapid.SliceOfN(action, 1, 8).Draw(t, "actions")
				same(t, "new actions", mustAppend(t, s, batch...).New, m.append(batch))
			},
			"recent": func(t *rapid.T) {
				who, before, n := user.Draw(t, "user"), when.Draw(t, "before"), rapid.IntRange(1, 9).Draw(t, "n")
				got, err := s.Recent(ctx, who, before, n)
				if err != nil {
					t.Fatalf("recent: %v", err)
				}
				same(t, "recent", got, m.recent(who, before, n))
			},
			"delete": func(t *rapid.T) {
				who := user.Draw(t, "user")
				got, err := s.DeleteUser(ctx, who)
				if want := m.delete(who); got != want || err != nil {
					t.Fatalf("delete %q: %d, %v; want %d", who, got, err, want)
				}
			},
			"upsert": func(t *rapid.T) {
				batch := rapid.SliceOfN(place, 1, 8).Draw(t, "pois")
				if got, want := mustUpsert(t, s, batch...), m.put(batch); got != want {
					t.Fatalf("%d POIs changed, want %d", got, want)
				}
			},
			"close": func(t *rapid.T) {
				which := id.Draw(t, "id")
				if got, want := s.ClosePOI(ctx, which), m.close(which); !errors.Is(got, want) {
					t.Fatalf("close %q: error %v, want %v", which, got, want)
				}
			},
			"": func(t *rapid.T) { agree(t, s, m, limit, user.Draw(t, "user")) },
		})
	}
}

// agree compares everything that can be listed.
func agree(t *rapid.T, s store.Store, m *model, limit int, who string) {
	same(t, "all actions", allActions(t, s, "", limit), m.of(""))
	same(t, "actions of "+who, allActions(t, s, who, limit), m.of(who))
	for _, prefix := range []string{"", who} {
		got := everything(t, limit, func(cursor string) ([]store.User, string, error) {
			return s.UsersPage(context.Background(), prefix, cursor, limit)
		})
		same(t, fmt.Sprintf("users that begin with %q", prefix), got, m.users(prefix))
	}
	same(t, "POIs", plain(allPOIs(t, s, limit, nil)), m.catalog(nil))
	var changes []store.POI
	for revision := int64(0); ; {
		pois, last, err := s.POIsSince(context.Background(), revision, limit)
		if err != nil {
			t.Fatalf("changes: %v", err)
		}
		if revision = last; len(pois) == 0 {
			break
		}
		changes = append(changes, pois...)
	}
	inOrder := m.catalog(nil)
	slices.SortFunc(inOrder, func(a, b store.POI) int { return int(m.pois[a.ID].Revision - m.pois[b.ID].Revision) })
	same(t, "changes", plain(changes), inOrder)
	want := store.Counts{Actions: int64(len(m.actions)), Users: int64(len(m.users(""))), POIs: int64(len(m.pois))}
	if got := counts(t, s); got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
}

// Boxes returns a law: a box holds what a plain filter finds in it. All cases share one
// store, so that the later ones search among many.
func Boxes(t *testing.T, home Home) func(*rapid.T) {
	s, m := home.Open(t), &model{pois: map[string]store.POI{}}
	t.Cleanup(func() { closeStore(t, s) })
	edge := func(most float64) *rapid.Generator[float64] {
		return rapid.OneOf(rapid.Float64Range(-most, most), rapid.SampledFrom([]float64{-most, most, 0, most - 1, 1 - most}),
			rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) * most / 3 }))
	}
	lat, lng := edge(90), edge(180)
	place := rapid.Custom(func(t *rapid.T) store.POI {
		return store.POI{ID: fmt.Sprint(rapid.IntRange(0, 400).Draw(t, "id")), Lat: lat.Draw(t, "lat"), Lng: lng.Draw(t, "lng")}
	})
	return func(rt *rapid.T) {
		batch := rapid.SliceOfN(place, 1, 20).Draw(rt, "pois")
		if got, want := mustUpsert(rt, s, batch...), m.put(batch); got != want {
			rt.Fatalf("%d POIs changed, want %d", got, want)
		}
		box := store.Box{West: lng.Draw(rt, "west"), East: lng.Draw(rt, "east")}
		box.South, box.North = lat.Draw(rt, "lat"), lat.Draw(rt, "lat")
		if box.South > box.North {
			box.South, box.North = box.North, box.South
		}
		limit := rapid.IntRange(20, 60).Draw(rt, "page size")
		same(rt, fmt.Sprintf("%+v", box), plain(allPOIs(rt, s, limit, &box)), m.catalog(&box))
	}
}
