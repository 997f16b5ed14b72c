package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/store"
)

func mustUpsert(t tester, s store.Store, pois ...store.POI) int {
	t.Helper()
	n, err := s.UpsertPOIs(context.Background(), pois)
	if err != nil {
		t.Fatalf("upsert %d POIs: %v", len(pois), err)
	}
	return n
}

func allPOIs(t tester, s store.Store, limit int, box *store.Box) []store.POI {
	t.Helper()
	return everything(t, limit, func(cursor string) ([]store.POI, string, error) {
		return s.POIsPage(context.Background(), cursor, limit, box)
	})
}

// plain returns POIs without their revisions.
func plain(pois []store.POI) []store.POI {
	pois = slices.Clone(pois)
	for i := range pois {
		pois[i].Revision = 0
	}
	return pois
}

func mustPOI(t tester, s store.Store, id string) store.POI {
	t.Helper()
	p, err := s.POI(context.Background(), id)
	if err != nil {
		t.Fatalf("POI %q: %v", id, err)
	}
	return p
}

func places(t *testing.T, s store.Store) {
	ctx := context.Background()
	cafe := store.POI{ID: "cafe", Name: "Café", Category: "Food > Café", Lat: 52.520008, Lng: 13.404954}
	park := store.POI{ID: "park", Lat: -0.1, Lng: 1.0 / 3, Closed: true, Revision: 99}
	if n := mustUpsert(t, s, cafe, park); n != 2 {
		t.Errorf("%d changed, want 2", n)
	}
	got := mustPOI(t, s, "cafe")
	first := got.Revision
	if got.Revision = 0; got != cafe || first <= 0 {
		t.Errorf("POI %+v with revision %d, want %+v with one above 0", got, first, cafe)
	}
	if got := mustPOI(t, s, "park"); !got.Closed || got.Lng != park.Lng || got.Revision <= first || got.Revision == 99 {
		t.Errorf("POI %+v, want it closed, with a revision of the store's above %d", got, first)
	}
	if n := mustUpsert(t, s, cafe, park); n != 0 || mustPOI(t, s, "cafe").Revision != first {
		t.Errorf("%d changed by the same POIs, revision %d; want 0 and %d", n, mustPOI(t, s, "cafe").Revision, first)
	}
	older := cafe
	older.Name = "Coffee"
	moved := cafe
	moved.Lat = math.Nextafter(cafe.Lat, 90)
	if n := mustUpsert(t, s, older, park, moved); n != 1 {
		t.Errorf("%d changed, want 1: the last of one ID counts", n)
	}
	if got := mustPOI(t, s, "cafe"); got.Lat != moved.Lat || got.Name != cafe.Name || got.Revision <= first {
		t.Errorf("POI %+v, want the last one given, %+v", got, moved)
	}
	if err := s.ClosePOI(ctx, "cafe"); err != nil {
		t.Fatal(err)
	}
	shut := mustPOI(t, s, "cafe")
	if err := s.ClosePOI(ctx, "cafe"); err != nil {
		t.Fatal(err)
	}
	if again := mustPOI(t, s, "cafe"); !shut.Closed || again != shut || shut.Lat != moved.Lat {
		t.Errorf("closed %+v, closed again %+v; want the second to change nothing", shut, again)
	}
	if n := mustUpsert(t, s, moved); n != 1 || mustPOI(t, s, "cafe").Closed {
		t.Errorf("%d changed, POI %+v; want it open again", n, mustPOI(t, s, "cafe"))
	}
	if _, err := s.POI(ctx, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown POI: error %v, want store.ErrNotFound", err)
	}
	if err := s.ClosePOI(ctx, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("close an unknown POI: error %v, want store.ErrNotFound", err)
	}
	if got, want := counts(t, s), (store.Counts{POIs: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

func poiPages(t *testing.T, s store.Store) {
	var want []store.POI
	for i := range 40 {
		want = append(want, store.POI{ID: fmt.Sprintf("p%02d", i), Lat: float64(i % 8), Lng: float64(i / 8), Closed: i%5 == 0})
	}
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled)
	mustUpsert(t, s, shuffled...)
	box := &store.Box{South: 2, West: 1, North: 5, East: 3}
	inside := slices.DeleteFunc(slices.Clone(want), func(p store.POI) bool { return !box.Contains(p.Lat, p.Lng) })
	if len(inside) != 12 {
		t.Fatalf("the box holds %d, the test means 12", len(inside))
	}
	for _, limit := range []int{1, 3, 12, 39, 40, 1000} {
		same(t, fmt.Sprintf("all by %d", limit), plain(allPOIs(t, s, limit, nil)), want)
		same(t, fmt.Sprintf("in the box by %d", limit), plain(allPOIs(t, s, limit, box)), inside)
	}
	// What is added between two pages moves nothing.
	for _, box := range []*store.Box{nil, box} {
		added := 0
		got := everything(t, 3, func(cursor string) ([]store.POI, string, error) {
			for _, id := range []string{"a", "p05x", "p20x", "p39x"} {
				if added++; added < 200 {
					mustUpsert(t, s, store.POI{ID: fmt.Sprint(id, added), Lat: 3, Lng: 2})
				}
			}
			return s.POIsPage(context.Background(), cursor, 3, box)
		})
		if !slices.IsSortedFunc(got, func(a, b store.POI) int { return strings.Compare(a.ID, b.ID) }) {
			t.Error("the pages are out of order")
		}
		old := slices.DeleteFunc(plain(got), func(p store.POI) bool { return len(p.ID) != 3 || p.ID[0] != 'p' })
		if box == nil {
			same(t, "all while others are added", old, want)
		} else {
			same(t, "in the box while others are added", old, inside)
		}
	}
}

// boxEdges tries positions on edges, on the antimeridian and at the poles.
func boxEdges(t *testing.T, s store.Store) {
	pois := []store.POI{
		{ID: "date line, east", Lat: 10, Lng: 180}, {ID: "date line, west", Lat: 10, Lng: -180},
		{ID: "fiji", Lat: -17.7, Lng: 178.1}, {ID: "samoa", Lat: -13.8, Lng: -171.8},
		{ID: "north pole", Lat: 90, Lng: 0}, {ID: "south pole", Lat: -90, Lng: 45},
		{ID: "near the north pole", Lat: 89.9999, Lng: -120}, {ID: "null island", Lat: 0, Lng: 0},
		{ID: "hair above", Lat: math.Nextafter(10, 11), Lng: 20}, {ID: "on the edge", Lat: 10, Lng: 20},
		{ID: "hair below", Lat: math.Nextafter(10, 9), Lng: 20},
	}
	mustUpsert(t, s, pois...)
	tests := []struct {
		name string
		box  store.Box
		want []string
	}{
		{"across the antimeridian", store.Box{South: -20, West: 170, North: 20, East: -170}, []string{"date line, east", "date line, west", "fiji", "samoa"}},
		{"up to the antimeridian", store.Box{South: 0, West: 170, North: 20, East: 180}, []string{"date line, east", "date line, west"}},
		{"from the antimeridian", store.Box{South: -20, West: -180, North: 20, East: -170}, []string{"date line, east", "date line, west", "samoa"}},
		{"the antimeridian alone", store.Box{South: 0, West: 180, North: 20, East: -180}, []string{"date line, east", "date line, west"}},
		{"the antimeridian alone, said otherwise", store.Box{South: 0, West: -180, North: 20, East: -180}, []string{"date line, east", "date line, west"}},
		{"one point", store.Box{South: 10, West: 20, North: 10, East: 20}, []string{"on the edge"}},
		{"upper edge", store.Box{South: 9, West: 19, North: 10, East: 21}, []string{"hair below", "on the edge"}},
		{"lower edge", store.Box{South: 10, West: 19, North: 11, East: 21}, []string{"hair above", "on the edge"}},
		{"the north", store.Box{South: 80, West: -180, North: 90, East: 180}, []string{"near the north pole", "north pole"}},
		{"the south pole", store.Box{South: -90, West: 40, North: -89, East: 50}, []string{"south pole"}},
		{"all but a sliver", store.Box{South: -90, West: 0.1, North: 90, East: -0.1}, []string{"date line, east", "date line, west", "fiji",
			"hair above", "hair below", "near the north pole", "on the edge", "samoa", "south pole"}},
	}
	for _, tc := range tests {
		got := []string{}
		for _, p := range allPOIs(t, s, 2, &tc.box) {
			got = append(got, p.ID)
		}
		same(t, tc.name, got, tc.want)
	}
	if got := len(allPOIs(t, s, 3, &store.Box{South: -90, West: -180, North: 90, East: 180})); got != len(pois) {
		t.Errorf("the whole world has %d POIs, want %d", got, len(pois))
	}
}

// replica is what a follower has seen.
type replica struct {
	pois     map[string]store.POI
	revision int64
}

// catchUp reads changes until there are none.
func (r *replica) catchUp(ctx context.Context, s store.Store) error {
	for {
		pois, last, err := s.POIsSince(ctx, r.revision, 7)
		if err != nil {
			return err
		}
		for _, p := range pois {
			if p.Revision <= r.revision || p.Revision > last {
				return fmt.Errorf("revision %d after %d, up to %d", p.Revision, r.revision, last)
			}
			r.revision, r.pois[p.ID] = p.Revision, p
		}
		if last != r.revision {
			return fmt.Errorf("told to go on at %d after revision %d", last, r.revision)
		}
		if len(pois) == 0 {
			return nil
		}
	}
}

// follower reads changes while many write, as another replica does. It must end with
// the catalog, and must never be given a revision at or below one it has passed.
func follower(t *testing.T, s store.Store) {
	const writers, rounds = 5, 12
	ctx := context.Background()
	stop := make(chan struct{})
	behind := &replica{pois: map[string]store.POI{}}
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- behind.catchUp(ctx, s)
				return
			default:
				if err := behind.catchUp(ctx, s); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	err := together(writers, func(side int) error {
		for i := range rounds {
			batch := make([]store.POI, 6)
			for j := range batch {
				batch[j] = store.POI{ID: fmt.Sprintf("p%d", (side+i*j)%17), Name: fmt.Sprint(side, i, j)}
			}
			if _, err := s.UpsertPOIs(ctx, batch); err != nil {
				return err
			}
			if err := s.ClosePOI(ctx, batch[0].ID); err != nil {
				return err
			}
		}
		return nil
	})
	close(stop)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	catalog := map[string]store.POI{}
	for _, p := range allPOIs(t, s, 100, nil) {
		catalog[p.ID] = p
	}
	if !reflect.DeepEqual(behind.pois, catalog) {
		t.Errorf("the follower has\n%v\nthe catalog\n%v", behind.pois, catalog)
	}
	if pois, last, err := s.POIsSince(ctx, 1<<40, 5); len(pois) != 0 || last != 1<<40 || err != nil {
		t.Errorf("changes since a revision to come: %v, %d, %v; want none", pois, last, err)
	}
}

func aKey(id string) store.Key {
	return store.Key{ID: id, Hash: []byte("0123456789abcdef\x00\xff"), Role: "read"}
}

func keys(t *testing.T, s store.Store) {
	ctx := context.Background()
	full := store.Key{ID: "ops ключ", Hash: make([]byte, store.MaxHash), Role: "admin", Scenes: []string{"map", "ads"},
		Box: &store.Box{South: 1, West: 170, North: 2.5, East: -170}, CreatedMS: 1_700_000_000_123, ExpiresMS: 1_800_000_000_456}
	none := aKey("b")
	none.Scenes = []string{} // no scene, not all
	for _, k := range []store.Key{full, none, aKey("a")} {
		if err := s.PutKey(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	wantKeys(t, s, aKey("a"), none, full)
	narrower := full
	narrower.Role, narrower.Box = "read", nil
	if err := s.PutKey(ctx, narrower); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, aKey("a"), none, narrower)
	if err := s.DeleteKey(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, aKey("a"), narrower)
	if err := s.DeleteKey(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("delete a key twice: error %v, want store.ErrNotFound", err)
	}
}

func wantKeys(t *testing.T, s store.Store, want ...store.Key) {
	t.Helper()
	got, err := s.Keys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("keys\n%+v, want\n%+v", got, want)
	}
}
