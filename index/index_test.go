package index

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
)

// toy is two blocks of 5 km, about 60 km apart: a, c, e in the first and b, d in
// the second. Visits: first block 1+7+7, second 20+0, so the second is token 0.
func toy() ([]poi.Place, []int64) {
	return []poi.Place{
		{ID: "a", Name: "Bar", Category: "food > bar", Lat: 40.7000, Lng: -74.0000},
		{ID: "b", Name: "Museum", Category: "sight", Lat: 41.2000, Lng: -73.5000},
		{ID: "c", Category: "food > bar", Lat: 40.7001, Lng: -74.0001},
		{ID: "d", Category: "", Lat: 41.2001, Lng: -73.5001},
		{ID: "e", Category: "sight", Lat: 40.7002, Lng: -74.0002},
	}, []int64{1, 20, 7, 0, 7}
}

func mustBuild(t testing.TB, mode Mode) *Index {
	t.Helper()
	places, visits := toy()
	ix, err := Build(places, visits, Options{Mode: mode, SizeKM: 5})
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

func TestBuildHier(t *testing.T) {
	ix := mustBuild(t, Hier)
	want := [][2]int32{{1, 2}, {0, 0}, {1, 0}, {0, 1}, {1, 1}} // c and e tie: earlier position first
	for p, w := range want {
		b, inner := ix.Token(int32(p))
		if b != w[0] || inner != w[1] {
			t.Errorf("place %d has tokens (%d, %d), want %v", p, b, inner, w)
		}
		if back, ok := ix.POI(b, inner); !ok || back != int32(p) {
			t.Errorf("tokens %v lead to %d, %v; want %d", w, back, ok, p)
		}
	}
	if ix.NumBlocks() != 2 || ix.MaxInner() != 3 || ix.Vocabulary() != 5 {
		t.Errorf("blocks %d, inner %d, vocabulary %d; want 2, 3, 5", ix.NumBlocks(), ix.MaxInner(), ix.Vocabulary())
	}
	if b, ok := ix.BlockAt(40.7003, -74.0003); !ok || b != 1 {
		t.Errorf("block at the bar is %d, %v; want 1", b, ok)
	}
	if b, ok := ix.BlockAt(0, 0); ok {
		t.Errorf("block at 0,0 is %d, want none", b)
	}
	if ix.BlockID(0) != ix.Grid().Block(41.2, -73.5) || ix.BlockID(2) != -1 || ix.BlockID(-1) != -1 {
		t.Errorf("grid keys %v, %v, %v", ix.BlockID(0), ix.BlockID(2), ix.BlockID(-1))
	}
}

func TestBuildFlat(t *testing.T) {
	ix := mustBuild(t, Flat)
	for p := range int32(5) {
		if b, inner := ix.Token(p); b != 0 || inner != p {
			t.Errorf("place %d has tokens (%d, %d), want (0, %d)", p, b, inner, p)
		}
		if back, ok := ix.POI(0, p); !ok || back != p {
			t.Errorf("token %d leads to %d, %v", p, back, ok)
		}
	}
	if ix.NumBlocks() != 1 || ix.MaxInner() != 5 || ix.Vocabulary() != 5 || ix.SizeKM != 0 {
		t.Errorf("blocks %d, inner %d, vocabulary %d, size %v; want 1, 5, 5, 0", ix.NumBlocks(), ix.MaxInner(), ix.Vocabulary(), ix.SizeKM)
	}
	if _, ok := ix.BlockAt(40.7, -74); ok {
		t.Error("a flat index found a block")
	}
}

func TestLookupsOfNothing(t *testing.T) {
	for _, mode := range []Mode{Hier, Flat, Hash} {
		ix := mustBuild(t, mode)
		if p, ok := ix.Lookup("d"); !ok || p != 3 {
			t.Errorf("%s: d is at %d, %v; want 3", mode, p, ok)
		}
		if p, ok := ix.Lookup("nobody"); ok {
			t.Errorf("%s: an unknown id is at %d", mode, p)
		}
		for _, p := range []int32{-1, 5, math.MaxInt32} {
			if b, inner := ix.Token(p); b != -1 || inner != -1 {
				t.Errorf("%s: position %d has tokens (%d, %d)", mode, p, b, inner)
			}
		}
		for _, pair := range [][2]int32{{-1, 0}, {0, -1}, {0, 5}, {2, 0}, {math.MaxInt32, math.MaxInt32}} {
			if p, ok := ix.POI(pair[0], pair[1]); ok {
				t.Errorf("%s: tokens %v lead to %d", mode, pair, p)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	hier := DefaultOptions()
	change := func(f func(p []poi.Place)) []poi.Place {
		places, _ := toy()
		f(places)
		return places
	}
	tests := []struct {
		name   string
		places []poi.Place
		visits []int64
		opt    Options
		kind   error
		want   string
	}{
		{"no places", nil, nil, hier, poi.ErrEmpty, "filters"},
		{"mode", change(func([]poi.Place) {}), nil, Options{Mode: "tree", SizeKM: 5}, poi.ErrBadInput, `"tree"`},
		{"size", change(func([]poi.Place) {}), nil, Options{Mode: Hier, SizeKM: -5}, poi.ErrBadInput, "-5 km"},
		{"visits length", change(func([]poi.Place) {}), []int64{1}, hier, poi.ErrBadInput, "1 visit counts for 5"},
		{"negative visits", change(func([]poi.Place) {}), []int64{1, 1, -4, 1, 1}, hier, poi.ErrBadInput, `"c": -4 visits`},
		{"duplicate", change(func(p []poi.Place) { p[4].ID = "b" }), nil, hier, poi.ErrBadInput, `rows 1 and 4 have the same id "b"`},
		{"empty id", change(func(p []poi.Place) { p[2].ID = "" }), nil, hier, poi.ErrBadInput, "place 2"},
		{"latitude", change(func(p []poi.Place) { p[2].Lat = 97 }), nil, hier, poi.ErrBadInput, "latitude 97"},
		{"NaN", change(func(p []poi.Place) { p[0].Lng = math.NaN() }), nil, hier, poi.ErrBadInput, "NaN"},
		{"long id", change(func(p []poi.Place) { p[0].ID = strings.Repeat("x", 1025) }), nil, hier, poi.ErrBadInput, "1025 bytes"},
		{"long name", change(func(p []poi.Place) { p[0].Name = strings.Repeat("x", 4097) }), nil, hier, poi.ErrBadInput, "4097 bytes"},
		{"long category", change(func(p []poi.Place) { p[0].Category = strings.Repeat("x", 1025) }), nil, hier, poi.ErrBadInput, "1025 bytes"},
	}
	for _, tt := range tests {
		_, err := Build(tt.places, tt.visits, tt.opt)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %v with %q", tt.name, err, tt.kind, tt.want)
		}
	}
}
