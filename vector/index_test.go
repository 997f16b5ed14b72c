package vector

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/golang/geo/s2"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// oracle is a search by the definitions, in float64 and degrees.
func oracle(s *Set, cosine bool, query []float32, k int, a Area, grid geo.Grid) []Hit {
	type scored struct {
		row   int32
		score float64
	}
	var all []scored
	for i := range s.IDs {
		if !inArea(s, i, a, grid) {
			continue
		}
		var dot, qq, xx float64
		for j, x := range s.Row(i) {
			dot += float64(query[j]) * float64(x)
			qq += float64(query[j]) * float64(query[j])
			xx += float64(x) * float64(x)
		}
		if cosine {
			dot /= math.Sqrt(qq) * math.Sqrt(xx)
		}
		all = append(all, scored{int32(i), dot})
	}
	slices.SortFunc(all, func(x, y scored) int {
		return cmp.Or(cmp.Compare(y.score, x.score), cmp.Compare(x.row, y.row))
	})
	var out []Hit
	for _, x := range all[:min(k, len(all))] {
		out = append(out, Hit{Row: x.row, ID: s.IDs[x.row], Score: float32(x.score)})
	}
	return out
}

func inArea(s *Set, i int, a Area, grid geo.Grid) bool {
	if a.Keep != nil && !a.Keep(int32(i)) {
		return false
	}
	if !s.HasPositions() {
		return true
	}
	lat, lng := s.Lat[i], s.Lng[i]
	if b := a.Box; b != nil {
		in := func(x float64) bool {
			if b.West <= b.East {
				return b.West <= x && x <= b.East
			}
			return x >= b.West || x <= b.East
		}
		// 180 and -180 are one meridian.
		if lat < b.South || lat > b.North || !in(lng) && !(math.Abs(lng) == 180 && in(-lng)) {
			return false
		}
	}
	if c := a.Circle; c != nil && geo.Metres(c.Lat, c.Lng, lat, lng) > c.Metres {
		return false
	}
	if a.Blocks != nil && !slices.Contains(a.Blocks, grid.Block(lat, lng)) {
		return false
	}
	if a.Cells != nil && !slices.ContainsFunc(a.Cells, func(c s2.CellID) bool {
		return c.Contains(s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng)))
	}) {
		return false
	}
	return true
}

// drawPoint prefers the corners of the map: poles, antimeridian, equator, and a
// coarse lattice, so that points lie exactly on edges.
func drawPoint(t *rapid.T, name string) (lat, lng float64) {
	lat = rapid.OneOf(rapid.SampledFrom([]float64{-90, -89.99, 0, 40, 89.99, 90}), rapid.Float64Range(-90, 90)).Draw(t, name+" lat")
	lng = rapid.OneOf(rapid.SampledFrom([]float64{-180, -179.99, 0, 10, 179.99, 180}), rapid.Float64Range(-180, 180)).Draw(t, name+" lng")
	return lat, lng
}

func drawSet(t *rapid.T) *Set {
	s := &Set{Dim: rapid.IntRange(1, 19).Draw(t, "dim")}
	for i := range rapid.IntRange(1, 60).Draw(t, "n") {
		s.IDs = append(s.IDs, fmt.Sprint("p", i))
		for range s.Dim {
			// Whole numbers: sums are exact in float32, so that ties are real ties.
			s.Data = append(s.Data, float32(rapid.IntRange(-2, 2).Draw(t, "x")))
		}
		lat, lng := drawPoint(t, "row")
		s.Lat, s.Lng = append(s.Lat, lat), append(s.Lng, lng)
	}
	return s
}

func drawArea(t *rapid.T, s *Set, grid geo.Grid) Area {
	var a Area
	lat, lng := drawPoint(t, "first")
	lat2, lng2 := drawPoint(t, "second")
	if rapid.Bool().Draw(t, "box") {
		a.Box = &Box{South: min(lat, lat2), North: max(lat, lat2), West: lng, East: lng2}
	}
	if rapid.Bool().Draw(t, "circle") {
		a.Circle = &Circle{lat2, lng, rapid.SampledFrom([]float64{0, 1, 5000, 3e5, 5e6, 1.5e7, 2.1e7}).Draw(t, "metres")}
	}
	if rapid.Bool().Draw(t, "blocks") {
		a.Blocks = []geo.BlockID{grid.Block(lat, lng)}
		for range rapid.IntRange(0, 20).Draw(t, "more blocks") {
			i := rapid.IntRange(0, len(s.IDs)-1).Draw(t, "block of")
			a.Blocks = append(a.Blocks, grid.Block(s.Lat[i], s.Lng[i]))
		}
	}
	if rapid.Bool().Draw(t, "cells") {
		a.Cells = []s2.CellID{s2.CellIDFromFace(rapid.IntRange(0, 5).Draw(t, "face")),
			s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng2)).Parent(rapid.IntRange(0, 30).Draw(t, "level"))}
	}
	if rapid.Bool().Draw(t, "keep") {
		odd := rapid.Int32Range(0, 1).Draw(t, "odd")
		a.Keep = func(row int32) bool { return row%2 == odd }
	}
	return a
}

// The search equals the oracle to the last hit, ties included, in any area.
func TestSearchIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t)
		size := rapid.SampledFrom([]float64{1, 5, 100, 2000}).Draw(t, "block")
		ix, err := NewIndex(s, IndexOptions{BlockKM: size})
		if err != nil {
			t.Fatal(err)
		}
		query := make([]float32, s.Dim)
		for j := range query {
			query[j] = float32(rapid.IntRange(-3, 3).Draw(t, "q"))
		}
		k := rapid.IntRange(1, 70).Draw(t, "k")
		area := drawArea(t, s, ix.Grid())
		got, err := ix.Search(query, k, area)
		if err != nil {
			t.Fatal(err)
		}
		if want := oracle(s, false, query, k, area, ix.Grid()); !slices.Equal(got, want) {
			t.Fatalf("%+v\nwant %+v", got, want)
		}
	})
}

// Cosine needs room for rounding: scores are the oracle's to 1e-6 and so is the
// k-th best.
func TestCosineIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSet(t)
		for i := range s.IDs {
			s.Row(i)[0] += 0.5 // no row of zeros
		}
		ix, err := NewIndex(s, IndexOptions{Measure: Cosine})
		if err != nil {
			t.Fatal(err)
		}
		query := make([]float32, s.Dim)
		for j := range query {
			query[j] = float32(rapid.Float64Range(0.1, 3).Draw(t, "q"))
		}
		all := oracle(s, true, query, len(s.IDs), Area{}, ix.Grid())
		want := map[int32]float32{}
		for _, h := range all {
			want[h.Row] = h.Score
		}
		k := rapid.IntRange(1, len(s.IDs)).Draw(t, "k")
		got, err := ix.Search(query, k, Area{})
		if err != nil || len(got) != k {
			t.Fatalf("%d hits, %v", len(got), err)
		}
		for i, h := range got {
			if math.Abs(float64(h.Score-want[h.Row])) > 1e-6 || math.Abs(float64(h.Score-all[i].Score)) > 1e-6 {
				t.Fatalf("hit %d is %+v, want %v, the oracle's is %+v", i, h, want[h.Row], all[i])
			}
		}
	})
}

// Places round the antimeridian and the poles, worked out by hand.
func TestAreasAtTheRims(t *testing.T) {
	s := &Set{Dim: 1, IDs: []string{"fiji west", "fiji east", "180", "-180", "north pole", "near pole", "south pole", "null island"},
		Data: []float32{1, 1, 1, 1, 1, 1, 1, 1},
		Lat:  []float64{-17, -17, -17, -17, 90, 89.9, -90, 0}, Lng: []float64{179.5, -179.5, 180, -180, 0, -100, 50, 0}}
	ix, err := NewIndex(s, IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		area Area
		want []string
	}{
		"everything":          {Area{}, s.IDs},
		"no block":            {Area{Blocks: []geo.BlockID{}}, nil},
		"no cell":             {Area{Cells: []s2.CellID{}}, nil},
		"across":              {Area{Box: &Box{-20, 179, -10, -179}}, []string{"fiji west", "fiji east", "180", "-180"}},
		"up to the meridian":  {Area{Box: &Box{-20, 179, -10, 180}}, []string{"fiji west", "180", "-180"}},
		"from the meridian":   {Area{Box: &Box{-20, -180, -10, -179}}, []string{"fiji east", "180", "-180"}},
		"the meridian alone":  {Area{Box: &Box{-20, 180, -10, -180}}, []string{"180", "-180"}},
		"all longitudes":      {Area{Box: &Box{-20, -180, 0, 180}}, []string{"fiji west", "fiji east", "180", "-180", "null island"}},
		"one point":           {Area{Box: &Box{0, 0, 0, 0}}, []string{"null island"}},
		"circle across":       {Area{Circle: &Circle{-17, 179.9, 60_000}}, []string{"fiji west", "180", "-180"}},
		"circle over pole":    {Area{Circle: &Circle{89.95, 80, 20_000}}, []string{"north pole", "near pole"}},
		"a point of the pole": {Area{Circle: &Circle{-90, -50, 0.001}}, []string{"south pole"}},
		"circle of no radius": {Area{Circle: &Circle{0, 0, 0}}, []string{"null island"}},
		"the whole sphere":    {Area{Circle: &Circle{10, 10, 1e9}}, s.IDs},
		"box and circle":      {Area{Box: &Box{-20, 179, -10, -179}, Circle: &Circle{-17, -179.5, 1000}}, []string{"fiji east"}},
	} {
		got, err := ix.Search([]float32{1}, 100, c.area)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var ids []string
		for _, h := range got {
			ids = append(ids, h.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %q, want %q", name, ids, c.want)
		}
	}
}

func TestSearchRefuses(t *testing.T) {
	s := testSet(1, 10, 3, true)
	ix, err := NewIndex(s, IndexOptions{Measure: Cosine})
	if err != nil {
		t.Fatal(err)
	}
	nowhere, err := NewIndex(testSet(1, 10, 3, false), IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	query := []float32{1, 2, 3}
	for name, run := range map[string]func() ([]Hit, error){
		"short query":       func() ([]Hit, error) { return ix.Search(query[:2], 1, Area{}) },
		"no k":              func() ([]Hit, error) { return ix.Search(query, 0, Area{}) },
		"NaN":               func() ([]Hit, error) { return ix.Search([]float32{1, float32(math.NaN()), 0}, 1, Area{}) },
		"no direction":      func() ([]Hit, error) { return ix.Search(make([]float32, 3), 1, Area{}) },
		"south above north": func() ([]Hit, error) { return ix.Search(query, 1, Area{Box: &Box{2, 0, 1, 0}}) },
		"box off the Earth": func() ([]Hit, error) { return ix.Search(query, 1, Area{Box: &Box{0, 0, 91, 0}}) },
		"negative radius":   func() ([]Hit, error) { return ix.Search(query, 1, Area{Circle: &Circle{0, 0, -1}}) },
		"infinite radius":   func() ([]Hit, error) { return ix.Search(query, 1, Area{Circle: &Circle{0, 0, math.Inf(1)}}) },
		"centre off":        func() ([]Hit, error) { return ix.Search(query, 1, Area{Circle: &Circle{0, 181, 1}}) },
		"no such block":     func() ([]Hit, error) { return ix.Search(query, 1, Area{Blocks: []geo.BlockID{geo.NoBlock}}) },
		"no such cell":      func() ([]Hit, error) { return ix.Search(query, 1, Area{Cells: []s2.CellID{0}}) },
		"no positions":      func() ([]Hit, error) { return nowhere.Search(query, 1, Area{Circle: &Circle{0, 0, 1}}) },
	} {
		if hits, err := run(); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v, %v", name, hits, err)
		}
	}
	hits, err := nowhere.Search(query, 3, Area{Keep: func(row int32) bool { return row > 7 }})
	if err != nil || len(hits) != 2 {
		t.Errorf("Keep without positions: %v, %v", hits, err)
	}
	s.Data[0], s.Data[1], s.Data[2] = 0, 0, 0
	for name, opt := range map[string]IndexOptions{"zero row": {Measure: Cosine}, "measure": {Measure: 7}, "block": {BlockKM: -1}} {
		if _, err := NewIndex(s, opt); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The index keeps its own copy: what happens to the set afterwards is no matter.
func TestIndexOwnsItsVectors(t *testing.T) {
	s := testSet(5, 30, 4, true)
	ix, err := NewIndex(s, IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	query := []float32{1, -1, 2, 0}
	before, err := ix.Search(query, 5, Area{})
	if err != nil {
		t.Fatal(err)
	}
	clear(s.Data)
	clear(s.IDs)
	clear(s.Lat)
	if after, err := ix.Search(query, 5, Area{}); err != nil || !slices.Equal(before, after) {
		t.Errorf("%v, %v; before %v", after, err, before)
	}
}

// BenchmarkSearch measures a million vectors of 64 numbers on one core: all of
// them, one city, and one neighbourhood of it.
func BenchmarkSearch(b *testing.B) {
	const n, dim = 1_000_000, 64
	rng := rand.New(rand.NewPCG(1, 2))
	s := &Set{Dim: dim, IDs: make([]string, n), Data: make([]float32, n*dim), Lat: make([]float64, n), Lng: make([]float64, n)}
	for i := range n {
		s.IDs[i] = fmt.Sprint(i)
		city := float64(i % 20)
		s.Lat[i], s.Lng[i] = city+0.1*rng.NormFloat64(), 3*city+0.1*rng.NormFloat64()
	}
	for i := range s.Data {
		s.Data[i] = float32(rng.NormFloat64())
	}
	ix, err := NewIndex(s, IndexOptions{Measure: Cosine})
	if err != nil {
		b.Fatal(err)
	}
	query := slices.Clone(s.Row(12345))
	for _, c := range []struct {
		name string
		area Area
	}{{"all", Area{}}, {"city", Area{Circle: &Circle{5, 15, 40_000}}}, {"5km", Area{Circle: &Circle{5, 15, 5000}}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ix.Search(query, 100, c.area); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
