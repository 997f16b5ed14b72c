package vectortest

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"slices"

	"github.com/golang/geo/s2"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/vector"
)

// FewerCases lowers how many cases the laws draw unless the command line says it, for
// homes that take their time. Call it from TestMain.
func FewerCases() error {
	return flag.Set("rapid.checks", "25")
}

// oracle is a search by the definitions, in float64 and degrees.
func oracle(s *vector.Set, cosine bool, query []float32, k int, a vector.Area, grid geo.Grid) []vector.Hit {
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
	var out []vector.Hit
	for _, x := range all[:min(k, len(all))] {
		out = append(out, vector.Hit{Row: x.row, ID: s.IDs[x.row], Score: float32(x.score)})
	}
	return out
}

func inArea(s *vector.Set, i int, a vector.Area, grid geo.Grid) bool {
	if a.Rows != nil && !slices.Contains(a.Rows, int32(i)) {
		return false
	}
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

func drawSet(t *rapid.T) *vector.Set {
	s := &vector.Set{Dim: rapid.IntRange(1, 19).Draw(t, "dim")}
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

func drawArea(t *rapid.T, s *vector.Set, grid geo.Grid) vector.Area {
	var a vector.Area
	lat, lng := drawPoint(t, "first")
	lat2, lng2 := drawPoint(t, "second")
	if rapid.Bool().Draw(t, "box") {
		a.Box = &vector.Box{South: min(lat, lat2), North: max(lat, lat2), West: lng, East: lng2}
	}
	if rapid.Bool().Draw(t, "circle") {
		a.Circle = &vector.Circle{Lat: lat2, Lng: lng, Metres: rapid.SampledFrom([]float64{0, 1, 5000, 3e5, 5e6, 1.5e7, 2.1e7}).Draw(t, "metres")}
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
	if rapid.Bool().Draw(t, "rows") {
		a.Rows = rapid.SliceOf(rapid.Int32Range(0, int32(len(s.IDs)-1))).Draw(t, "rows of it")
	}
	if rapid.Bool().Draw(t, "keep") {
		odd := rapid.Int32Range(0, 1).Draw(t, "odd")
		a.Keep = func(row int32) bool { return row%2 == odd }
	}
	return a
}

// Exact returns a law: a search equals the oracle to the last hit, ties included, in any
// area.
func Exact(home Home) func(*rapid.T) {
	ctx := context.Background()
	return func(t *rapid.T) {
		s := drawSet(t)
		size := rapid.SampledFrom([]float64{1, 5, 100, 2000}).Draw(t, "block")
		x, err := home.Open(ctx, s, vector.IndexOptions{BlockKM: size})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, x)
		for range rapid.IntRange(1, 8).Draw(t, "searches") {
			query := make([]float32, s.Dim)
			for j := range query {
				query[j] = float32(rapid.IntRange(-3, 3).Draw(t, "q"))
			}
			k := rapid.IntRange(1, 70).Draw(t, "k")
			area := drawArea(t, s, x.Grid())
			got, err := x.Search(ctx, query, k, area)
			if err != nil {
				t.Fatal(err)
			}
			if want := oracle(s, false, query, k, area, x.Grid()); !slices.Equal(got, want) {
				t.Fatalf("%+v\nwant %+v", got, want)
			}
		}
	}
}

// rounding is what a Searcher's scores may differ by from exact ones.
const rounding = 1e-5

// ExactCosine returns a law: scores are the oracle's but for rounding, and so is the k-th
// best.
func ExactCosine(home Home) func(*rapid.T) {
	ctx := context.Background()
	return func(t *rapid.T) {
		s := drawSet(t)
		for i := range s.IDs {
			s.Row(i)[0] += 0.5 // no row of zeros
		}
		x, err := home.Open(ctx, s, vector.IndexOptions{Measure: vector.Cosine})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, x)
		for range rapid.IntRange(1, 8).Draw(t, "searches") {
			query := make([]float32, s.Dim)
			for j := range query {
				query[j] = float32(rapid.Float64Range(0.1, 3).Draw(t, "q"))
			}
			all := oracle(s, true, query, len(s.IDs), vector.Area{}, x.Grid())
			want := map[int32]float32{}
			for _, h := range all {
				want[h.Row] = h.Score
			}
			k := rapid.IntRange(1, len(s.IDs)).Draw(t, "k")
			got, err := x.Search(ctx, query, k, vector.Area{})
			if err != nil || len(got) != k {
				t.Fatalf("%d hits, %v", len(got), err)
			}
			for i, h := range got {
				if math.Abs(float64(h.Score-want[h.Row])) > rounding || math.Abs(float64(h.Score-all[i].Score)) > rounding {
					t.Fatalf("hit %d is %+v, want %v, the oracle's is %+v", i, h, want[h.Row], all[i])
				}
			}
		}
	}
}
