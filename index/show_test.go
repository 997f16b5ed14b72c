package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

func TestStatsByHand(t *testing.T) {
	// Tombstones a and b: block 0 keeps d of {b, d}, block 1 keeps c, e, new of 4.
	s := tombstoned(t, Hier).Stats()
	if s.Places != 4 || s.Tombstones != 2 || s.Blocks != 2 || s.EmptyBlocks != 0 || s.MaxInner != 4 || s.Vocabulary != 6 {
		t.Errorf("counts: %+v", s)
	}
	if s.Occupancy != (Spread{Min: 1, Mean: 2, Max: 3}) || s.Quantiles != (Quantiles{P25: 1, P50: 1, P75: 3, P90: 3, P99: 3}) {
		t.Errorf("occupancy: %+v, %+v", s.Occupancy, s.Quantiles)
	}
	for _, x := range []Spread{s.WidthKM, s.HeightKM} {
		if x.Min > x.Mean || x.Mean > x.Max || math.Abs(x.Mean-5) > 0.005 {
			t.Errorf("block size: %+v, want about 5 km", x)
		}
	}
	var b strings.Builder
	if err := s.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 live, 2 tombstones", "6 = 2 blocks + 4 inner", "median 1", "block width"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, b.String())
		}
	}
	if err := s.WriteText(&fullDisk{}); err == nil {
		t.Error("a full disk went unnoticed")
	}
}

func TestStatsOfFlatAndEmpty(t *testing.T) {
	s := mustBuild(t, Flat).Stats()
	if s.Blocks != 1 || s.Vocabulary != 5 || s.Occupancy.Max != 5 || s.WidthKM != (Spread{}) {
		t.Errorf("flat: %+v", s)
	}
	var b strings.Builder
	if err := s.WriteText(&b); err != nil || !strings.Contains(b.String(), "5 tokens") || strings.Contains(b.String(), "width") {
		t.Errorf("flat text, %v:\n%s", err, b.String())
	}
	places, _ := toy()
	for i := range places {
		places[i].Closed = true
	}
	ix, err := Build(places, nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if s := ix.Stats(); s.Places != 0 || s.EmptyBlocks != 2 || s.Quantiles != (Quantiles{}) {
		t.Errorf("all closed: %+v", s)
	}
}

func TestGeoJSON(t *testing.T) {
	ix := tombstoned(t, Hier)
	var b bytes.Buffer
	if err := ix.WriteGeoJSON(&b, Layers{Blocks: true, Places: true}); err != nil {
		t.Fatal(err)
	}
	fc, err := geojson.UnmarshalFeatureCollection(b.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	if len(fc.Features) != 2+4 {
		t.Fatalf("%d features, want 2 blocks and 4 live places", len(fc.Features))
	}
	second := fc.Features[1]
	ring := second.Geometry.(orb.Polygon)[0]
	if len(ring) != 5 || !ring.Closed() || ring.Orientation() != orb.CCW {
		t.Errorf("ring %v is not a closed counter-clockwise rectangle", ring)
	}
	if !ring.Bound().Contains(orb.Point{-74, 40.7}) {
		t.Errorf("block %v does not hold its places at -74, 40.7", ring)
	}
	if second.Properties["block"] != 1.0 || second.Properties["places"] != 3.0 || second.Properties["slots"] != 4.0 ||
		second.Properties["key"] != ix.BlockID(1).String() {
		t.Errorf("block properties %v", second.Properties)
	}
	place := fc.Features[2] // c: the first live one
	if place.Geometry != (orb.Point{-74.0001, 40.7001}) || place.Properties["poi"] != "c" ||
		place.Properties["block"] != 1.0 || place.Properties["inner"] != 0.0 || place.Properties["position"] != 2.0 {
		t.Errorf("place %v %v", place.Geometry, place.Properties)
	}
}

func TestGeoJSONLayers(t *testing.T) {
	only := func(p int32) bool { return p == 3 }
	tests := []struct {
		mode   Mode
		layers Layers
		want   int // features; -1 for an error
	}{
		{Hier, Layers{Blocks: true}, 2},
		{Hier, Layers{Places: true}, 5},
		{Hier, Layers{Blocks: true, Places: true, Keep: only}, 2},
		{Hier, Layers{Places: true, Keep: func(int32) bool { return false }}, 0},
		{Hier, Layers{}, -1},
		{Flat, Layers{Blocks: true, Places: true}, 5},
		{Flat, Layers{Blocks: true}, -1},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		err := mustBuild(t, tt.mode).WriteGeoJSON(&b, tt.layers)
		if tt.want < 0 {
			if !errors.Is(err, poi.ErrBadInput) {
				t.Errorf("%s %+v: %v", tt.mode, tt.layers, err)
			}
			continue
		}
		var fc struct {
			Type     string            `json:"type"`
			Features []json.RawMessage `json:"features"`
		}
		if e := json.Unmarshal(b.Bytes(), &fc); err != nil || e != nil || fc.Type != "FeatureCollection" || fc.Features == nil || len(fc.Features) != tt.want {
			t.Errorf("%s %+v: %d features, want %d (%v, %v)", tt.mode, tt.layers, len(fc.Features), tt.want, err, e)
		}
	}
}

func TestSynthetic(t *testing.T) {
	places, visits := Synthetic(5000, 3)
	again, _ := Synthetic(5000, 3)
	other, _ := Synthetic(5000, 4)
	if len(places) != 5000 || len(visits) != 5000 {
		t.Fatalf("%d places, %d visits", len(places), len(visits))
	}
	differs := 0
	for i, p := range places {
		if p != again[i] {
			t.Fatalf("place %d is %v and then %v", i, p, again[i])
		}
		if p.Lat != other[i].Lat {
			differs++
		}
		if err := geo.Valid(p.Lat, p.Lng); err != nil || visits[i] < 0 {
			t.Fatalf("place %d: %v, %d visits", i, err, visits[i])
		}
	}
	if differs < 4900 {
		t.Errorf("seeds 3 and 4 share %d places", 5000-differs)
	}
	n := 0
	for range SyntheticSeq(1000, 3) {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("the stream went on to %d", n)
	}
}

func TestBenchBuild(t *testing.T) {
	rows, err := BenchBuild([]int{500, 4000})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	for i, r := range rows {
		if r.N != []int{500, 4000}[i] || r.Vocabulary != r.Blocks+r.MaxInner || r.MaxInner < r.N/r.Blocks ||
			r.PeakBytes < r.HeapBytes || r.HeapBytes == 0 || r.Seconds <= 0 {
			t.Errorf("row %+v", r)
		}
	}
	if _, err := BenchBuild([]int{0}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no places: %v", err)
	}
}

func BenchmarkBuild(b *testing.B) {
	places, visits := Synthetic(100_000, 1)
	for b.Loop() {
		if _, err := Build(places, visits, DefaultOptions()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	places, visits := Synthetic(100_000, 1)
	ix, err := Build(places, visits, DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		ix.Lookup(places[i].ID)
		if i++; i == len(places) {
			i = 0
		}
	}
}
