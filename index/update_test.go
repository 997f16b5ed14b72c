package index

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
	"pgregory.net/rapid"
)

func TestUpdateByHand(t *testing.T) {
	for _, mode := range []Mode{Hier, Flat} {
		ix := mustBuild(t, mode)
		before := ix.Fingerprint()
		places, _ := toy()
		b, c, d, e := places[1], places[2], places[3], places[4]
		b.Closed = true            // closed by mark; a is closed by absence
		c.Lat, c.Lng = 35.6, 139.7 // moved to another block
		d.Name = "renamed"         // edited in place
		busy := poi.Place{ID: "busy", Lat: 40.7, Lng: -74}
		calm := poi.Place{ID: "calm", Lat: 40.7, Lng: -74}
		far := poi.Place{ID: "far", Lat: -33.86, Lng: 151.2}
		next, ch, err := ix.Update([]poi.Place{e, calm, far, d, c, busy, b}, []int64{0, 1, 0, 0, 0, 9, 0})
		if err != nil {
			t.Fatal(err)
		}
		want := Changes{Added: 3, Closed: 2, Moved: 1, Edited: 2, Positions: []int32{4, 5, 6, 3, 2, 7, 1}}
		if mode == Flat {
			want.Moved = 0
		}
		if ch.String() != want.String() || !slices.Equal(ch.Positions, want.Positions) {
			t.Errorf("%s: changes %v %v, want %v %v", mode, ch, ch.Positions, want, want.Positions)
		}
		tokens := map[string][2]int32{"a": {1, 2}, "c": {1, 0}, "e": {1, 1}, "busy": {1, 3}, "calm": {1, 4}, "far": {2, 0}}
		if mode == Flat {
			tokens = map[string][2]int32{"a": {0, 0}, "c": {0, 2}, "e": {0, 4}, "calm": {0, 5}, "far": {0, 6}, "busy": {0, 7}}
		}
		for id, w := range tokens {
			p, _ := next.Lookup(id)
			if blk, inner := next.Token(p); blk != w[0] || inner != w[1] {
				t.Errorf("%s: %s has tokens (%d, %d), want %v", mode, id, blk, inner, w)
			}
		}
		for _, id := range []string{"a", "b"} {
			p, ok := next.Lookup(id)
			blk, inner := next.Token(p)
			if _, live := next.POI(blk, inner); !ok || live || !next.Places[p].Closed || next.Trie().Has(blk, inner) {
				t.Errorf("%s: tombstone %s: known %v, live %v, closed %v", mode, id, ok, live, next.Places[p].Closed)
			}
		}
		if ix.Places[0].Closed || ix.Places[3].Name != "" || ix.Fingerprint() != before || len(ix.Places) != 5 {
			t.Errorf("%s: Update changed its receiver", mode)
		}
		again, ch, err := next.Update(next.Places[:7:7], nil) // busy goes, a and b stay tombstones
		if err != nil || ch.Closed != 1 || ch.Added+ch.Reopened+ch.Edited != 0 {
			t.Errorf("%s: second update: %v, %v", mode, ch, err)
		}
		a := places[0]
		last, ch, err := again.Update([]poi.Place{a}, nil)
		if err != nil || ch.Reopened != 1 {
			t.Errorf("%s: reopening: %v, %v", mode, ch, err)
		}
		if p, ok := last.POI(last.Token(0)); !ok || p != 0 || last.Trie().Len() != 1 {
			t.Errorf("%s: the reopened place is not the only live one", mode)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	ix := mustBuild(t, Hier)
	places, _ := toy()
	fresh := poi.Place{ID: "new", Lat: 1, Lng: 1}
	tests := []struct {
		name   string
		places []poi.Place
		kind   error
		want   string
	}{
		{"nothing", nil, poi.ErrEmpty, "no places"},
		{"known id twice", []poi.Place{places[0], places[1], places[0]}, poi.ErrBadInput, `rows 0 and 2 have the same id "a"`},
		{"new id twice", []poi.Place{places[0], fresh, places[1], fresh}, poi.ErrBadInput, `rows 1 and 3 have the same id "new"`},
	}
	for _, tt := range tests {
		_, _, err := ix.Update(tt.places, nil)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %v with %q", tt.name, err, tt.kind, tt.want)
		}
	}
}

// Whatever the sequence of updates, every assignment ever made stays, the two
// directions agree, and the trie is exactly the live places.
func TestUpdateKeepsAllAssignments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{Mode: rapid.SampledFrom([]Mode{Hier, Flat, Hash}).Draw(t, "mode"), SizeKM: 5}
		ix, err := Build(drawPlaces(t), nil, opt)
		if err != nil {
			t.Fatal(err)
		}
		type tokens struct{ p, block, inner int32 }
		given := map[string]tokens{}
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			places := drawPlaces(t)
			visits := make([]int64, len(places))
			for i := range visits {
				visits[i] = rapid.Int64Range(0, 5).Draw(t, "visits")
			}
			next, ch, err := ix.Update(places, visits)
			if err != nil {
				t.Fatal(err)
			}
			if len(next.Places) != len(ix.Places)+ch.Added {
				t.Fatalf("round %d: %d places after %d and %v", round, len(next.Places), len(ix.Places), ch)
			}
			for i, p := range ch.Positions {
				if next.Places[p] != places[i] {
					t.Fatalf("row %d is %v, position %d holds %v", i, places[i], p, next.Places[p])
				}
			}
			ix = next
			for id, want := range given {
				p, ok := ix.Lookup(id)
				b, inner := ix.Token(p)
				if got := (tokens{p, b, inner}); !ok || got != want {
					t.Fatalf("round %d: %s was %v and is %v", round, id, want, got)
				}
			}
			taken := map[[2]int32]string{}
			live := 0
			for p := range int32(len(ix.Places)) {
				place := ix.Places[p]
				b, inner := ix.Token(p)
				if other, dup := taken[[2]int32{b, inner}]; dup {
					t.Fatalf("%s and %s have the same tokens", other, place.ID)
				}
				taken[[2]int32{b, inner}] = place.ID
				given[place.ID] = tokens{p, b, inner}
				back, ok := ix.POI(b, inner)
				if ok == place.Closed || ok && back != p || ix.Trie().Has(b, inner) == place.Closed {
					t.Fatalf("place %v: POI %d %v, in the trie %v", place, back, ok, ix.Trie().Has(b, inner))
				}
				if ok {
					live++
				}
				inInput := slices.ContainsFunc(places, func(x poi.Place) bool { return x.ID == place.ID && !x.Closed })
				if inInput == place.Closed {
					t.Fatalf("place %v: in the input and open %v", place, inInput)
				}
			}
			if ix.Trie().Len() != live {
				t.Fatalf("%d pairs in the trie, %d live places", ix.Trie().Len(), live)
			}
		}
	})
}

// Inner tokens follow visits and block tokens follow total visits, in a build.
func TestBuildOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := drawPlaces(t)
		visits := make([]int64, len(places))
		for i := range visits {
			visits[i] = rapid.Int64Range(0, 3).Draw(t, "visits")
		}
		ix, err := Build(places, visits, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		total := make([]int64, ix.NumBlocks())
		for p := range int32(len(places)) {
			b, inner := ix.Token(p)
			total[b] += visits[p]
			if ix.Grid().Block(places[p].Lat, places[p].Lng) != ix.BlockID(b) {
				t.Fatalf("place %d lies outside its block", p)
			}
			if inner > 0 {
				if q := ix.at(b, inner-1); visits[q] < visits[p] || visits[q] == visits[p] && q > p {
					t.Fatalf("inner %d has %d visits at %d, the one before %d at %d", inner, visits[p], p, visits[q], q)
				}
			}
		}
		if !slices.IsSortedFunc(total, func(x, y int64) int { return int(y - x) }) {
			t.Fatalf("block totals %v do not fall", total)
		}
	})
}

// drawPlaces draws places with ids out of a small set, so that updates meet,
// in about ten blocks.
func drawPlaces(t *rapid.T) []poi.Place {
	ids := rapid.SliceOfNDistinct(rapid.IntRange(0, 30), 1, 20, rapid.ID[int]).Draw(t, "ids")
	places := make([]poi.Place, len(ids))
	for i, id := range ids {
		places[i] = poi.Place{ID: fmt.Sprintf("p%d", id), Name: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "name"),
			Category: rapid.SampledFrom([]string{"", "food", "food > bar"}).Draw(t, "category"),
			Lat:      40 + 0.05*float64(rapid.IntRange(0, 3).Draw(t, "lat")),
			Lng:      179.95 + 0.05*float64(rapid.IntRange(0, 1).Draw(t, "lng")),
			Closed:   rapid.IntRange(0, 4).Draw(t, "closed") == 0}
	}
	return places
}

func TestBuildIsDeterministic(t *testing.T) {
	places, visits := Synthetic(3000, 7)
	seen := map[string]bool{}
	for range 3 {
		ix, err := Build(slices.Clone(places), visits, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		seen[ix.Fingerprint()] = true
		same, ch, err := ix.Update(places, visits)
		if err != nil || ch.Added+ch.Closed+ch.Reopened+ch.Edited != 0 || same.Fingerprint() != ix.Fingerprint() {
			t.Fatalf("an update with the same places: %v, %v", ch, err)
		}
	}
	if len(seen) != 1 {
		t.Errorf("fingerprints differ: %v", slices.Collect(maps.Keys(seen)))
	}
}
