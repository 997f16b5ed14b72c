// Package vectortest is the one suite that every vector.Searcher must pass: what the
// interface promises, tried on a real one and compared with a scan in float64 by the
// definitions.
package vectortest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/golang/geo/s2"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/vector"
)

// Home makes searchers of one kind.
type Home struct {
	// Open makes a searcher of a set. The suite closes it.
	Open func(context.Context, *vector.Set, vector.IndexOptions) (vector.Searcher, error)
}

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func (h Home) open(t tester, s *vector.Set, opt vector.IndexOptions) vector.Searcher {
	t.Helper()
	x, err := h.Open(context.Background(), s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func closed(t tester, x vector.Searcher) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// Run tries every promise on the home; the laws Exact and ExactCosine are tried apart.
func Run(t *testing.T, home Home) {
	for _, test := range []struct {
		name string
		try  func(*testing.T, Home)
	}{
		{"areas at the rims", rims},
		{"what is refused", refusals},
		{"a set of its own", ownSet},
		{"vectors of rows", vectors},
		{"equal scores", ties},
		{"few rows that Keep lets pass", rareKeep},
		{"many rows", manyRows},
		{"many at once", atOnce},
		{"two sets at once", twoSets},
		{"one set twice", sameSet},
		{"a context that ended", endedContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.try(t, home) })
	}
}

// Set has n rows of dim small numbers and a half, scattered over the Earth if positions
// are wanted.
func Set(seed uint64, n, dim int, positions bool) *vector.Set {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &vector.Set{Dim: dim}
	for i := range n {
		s.IDs = append(s.IDs, fmt.Sprintf("é\t%d", i))
		for range dim {
			s.Data = append(s.Data, float32(rng.IntN(9)-4)+0.5)
		}
		if positions {
			s.Lat = append(s.Lat, 180*rng.Float64()-90)
			s.Lng = append(s.Lng, 360*rng.Float64()-180)
		}
	}
	return s
}

// Cities returns n random vectors for benchmarks, with positions around twenty cities.
func Cities(n, dim int) *vector.Set {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &vector.Set{Dim: dim, IDs: make([]string, n), Data: make([]float32, n*dim), Lat: make([]float64, n), Lng: make([]float64, n)}
	for i := range n {
		s.IDs[i] = fmt.Sprint(i)
		city := float64(i % 20)
		s.Lat[i], s.Lng[i] = city+0.1*rng.NormFloat64(), 3*city+0.1*rng.NormFloat64()
	}
	for i := range s.Data {
		s.Data[i] = float32(rng.NormFloat64())
	}
	return s
}

// search must succeed.
func search(t tester, x vector.Searcher, query []float32, k int, within vector.Area) []vector.Hit {
	t.Helper()
	hits, err := x.Search(context.Background(), query, k, within)
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func rowsOf(hits []vector.Hit) []int32 {
	var out []int32
	for _, h := range hits {
		out = append(out, h.Row)
	}
	return out
}

func box(south, west, north, east float64) *vector.Box {
	return &vector.Box{South: south, West: west, North: north, East: east}
}

func circle(lat, lng, metres float64) *vector.Circle {
	return &vector.Circle{Lat: lat, Lng: lng, Metres: metres}
}

// rims has places round the antimeridian and the poles, worked out by hand.
func rims(t *testing.T, home Home) {
	s := &vector.Set{Dim: 1, IDs: []string{"fiji west", "fiji east", "180", "-180", "north pole", "near pole", "south pole", "null island"},
		Data: []float32{1, 1, 1, 1, 1, 1, 1, 1},
		Lat:  []float64{-17, -17, -17, -17, 90, 89.9, -90, 0}, Lng: []float64{179.5, -179.5, 180, -180, 0, -100, 50, 0}}
	x := home.open(t, s, vector.IndexOptions{})
	defer closed(t, x)
	for name, c := range map[string]struct {
		area vector.Area
		want []string
	}{
		"everything":          {vector.Area{}, s.IDs},
		"no block":            {vector.Area{Blocks: []geo.BlockID{}}, nil},
		"no cell":             {vector.Area{Cells: []s2.CellID{}}, nil},
		"across":              {vector.Area{Box: box(-20, 179, -10, -179)}, []string{"fiji west", "fiji east", "180", "-180"}},
		"up to the meridian":  {vector.Area{Box: box(-20, 179, -10, 180)}, []string{"fiji west", "180", "-180"}},
		"from the meridian":   {vector.Area{Box: box(-20, -180, -10, -179)}, []string{"fiji east", "180", "-180"}},
		"the meridian alone":  {vector.Area{Box: box(-20, 180, -10, -180)}, []string{"180", "-180"}},
		"all longitudes":      {vector.Area{Box: box(-20, -180, 0, 180)}, []string{"fiji west", "fiji east", "180", "-180", "null island"}},
		"no row":              {vector.Area{Rows: []int32{}}, nil},
		"rows in a box":       {vector.Area{Rows: []int32{7, 1, 0, 1}, Box: box(-20, 179, -10, -179)}, []string{"fiji west", "fiji east"}},
		"one point":           {vector.Area{Box: box(0, 0, 0, 0)}, []string{"null island"}},
		"circle across":       {vector.Area{Circle: circle(-17, 179.9, 60_000)}, []string{"fiji west", "180", "-180"}},
		"circle over pole":    {vector.Area{Circle: circle(89.95, 80, 20_000)}, []string{"north pole", "near pole"}},
		"a point of the pole": {vector.Area{Circle: circle(-90, -50, 0.001)}, []string{"south pole"}},
		"circle of no radius": {vector.Area{Circle: circle(0, 0, 0)}, []string{"null island"}},
		"the whole sphere":    {vector.Area{Circle: circle(10, 10, 1e9)}, s.IDs},
		"box and circle":      {vector.Area{Box: box(-20, 179, -10, -179), Circle: circle(-17, -179.5, 1000)}, []string{"fiji east"}},
	} {
		got := search(t, x, []float32{1}, 100, c.area)
		var ids []string
		for _, h := range got {
			ids = append(ids, h.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %q, want %q", name, ids, c.want)
		}
	}
}

func refusals(t *testing.T, home Home) {
	ctx := context.Background()
	s := Set(1, 10, 3, true)
	x := home.open(t, s, vector.IndexOptions{Measure: vector.Cosine})
	defer closed(t, x)
	nowhere := home.open(t, Set(1, 10, 3, false), vector.IndexOptions{})
	defer closed(t, nowhere)
	query := []float32{1, 2, 3}
	for name, c := range map[string]struct {
		query []float32
		k     int
		area  vector.Area
	}{
		"short query":       {query[:2], 1, vector.Area{}},
		"long query":        {[]float32{1, 2, 3, 4}, 1, vector.Area{}},
		"no k":              {query, 0, vector.Area{}},
		"NaN":               {[]float32{1, float32(math.NaN()), 0}, 1, vector.Area{}},
		"no direction":      {make([]float32, 3), 1, vector.Area{}},
		"south above north": {query, 1, vector.Area{Box: box(2, 0, 1, 0)}},
		"box off the Earth": {query, 1, vector.Area{Box: box(0, 0, 91, 0)}},
		"negative radius":   {query, 1, vector.Area{Circle: circle(0, 0, -1)}},
		"infinite radius":   {query, 1, vector.Area{Circle: circle(0, 0, math.Inf(1))}},
		"centre off":        {query, 1, vector.Area{Circle: circle(0, 181, 1)}},
		"no such block":     {query, 1, vector.Area{Blocks: []geo.BlockID{geo.NoBlock}}},
		"no such cell":      {query, 1, vector.Area{Cells: []s2.CellID{0}}},
		"no such row":       {query, 1, vector.Area{Rows: []int32{3, 10}}},
		"a row below":       {query, 1, vector.Area{Rows: []int32{-1}}},
	} {
		if hits, err := x.Search(ctx, c.query, c.k, c.area); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v, %v", name, hits, err)
		}
	}
	if hits, err := nowhere.Search(ctx, query, 1, vector.Area{Circle: circle(0, 0, 1)}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("no positions: %v, %v", hits, err)
	}
	for _, row := range []int32{-1, 10} {
		if v, err := x.Vectors(ctx, 0, row); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("the vector of row %d: %v, %v", row, v, err)
		}
	}
	hits := search(t, nowhere, query, 3, vector.Area{Keep: func(row int32) bool { return row > 7 }})
	if len(hits) != 2 {
		t.Errorf("Keep without positions: %v", hits)
	}
	s.Data[0], s.Data[1], s.Data[2] = 0, 0, 0
	for name, opt := range map[string]vector.IndexOptions{"zero row": {Measure: vector.Cosine}, "measure": {Measure: 7}, "block": {BlockKM: -1}} {
		if _, err := home.Open(ctx, s, opt); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := home.Open(ctx, &vector.Set{Dim: 1}, vector.IndexOptions{}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no rows: %v", err)
	}
}

// ownSet: what happens to the set afterwards is no matter.
func ownSet(t *testing.T, home Home) {
	s := Set(5, 30, 4, true)
	x := home.open(t, s, vector.IndexOptions{})
	defer closed(t, x)
	query := []float32{1, -1, 2, 0}
	before := search(t, x, query, 5, vector.Area{})
	if x.Len() != 30 || x.Dim() != 4 || x.Grid().SizeKM != vector.DefaultBlockKM {
		t.Errorf("%d rows of %d on a grid of %v km", x.Len(), x.Dim(), x.Grid().SizeKM)
	}
	clear(s.Data)
	clear(s.IDs)
	clear(s.Lat)
	if after := search(t, x, query, 5, vector.Area{}); !slices.Equal(before, after) {
		t.Errorf("%v; before %v", after, before)
	}
}

// vectors come back to the last bit, in the order asked for, of length one under Cosine.
func vectors(t *testing.T, home Home) {
	s := Set(6, 40, 5, false)
	s.Data[3], s.Data[4] = float32(math.Pi), 1e-30
	for _, m := range []vector.Measure{vector.Inner, vector.Cosine} {
		x := home.open(t, s, vector.IndexOptions{Measure: m})
		rows := []int32{7, 0, 39, 7}
		got, err := x.Vectors(context.Background(), rows...)
		if err != nil || len(got) != len(rows) {
			t.Fatalf("%d vectors, %v", len(got), err)
		}
		for i, row := range rows {
			want := make([]float32, s.Dim)
			m.Fit(want, s.Row(int(row)))
			if !slices.Equal(got[i], want) {
				t.Errorf("row %d is %v, want %v", row, got[i], want)
			}
		}
		closed(t, x)
	}
}

// ties: all rows score the same, so that they come by row, however many are left out.
func ties(t *testing.T, home Home) {
	s := Set(7, 3000, 3, true)
	for i := range s.Data {
		s.Data[i] = float32(i%3) - 1
	}
	x := home.open(t, s, vector.IndexOptions{})
	defer closed(t, x)
	var want []int32
	for row := int32(5); len(want) < 100; row += 11 {
		want = append(want, row)
	}
	hits := search(t, x, []float32{1, 2, 3}, 100, vector.Area{Keep: func(row int32) bool { return row%11 == 5 }})
	if got := rowsOf(hits); !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// rareKeep: those that pass are the worst, the last of thousands.
func rareKeep(t *testing.T, home Home) {
	s := Set(8, 40_000, 1, false)
	for i := range s.Data {
		s.Data[i] = float32(i)
	}
	x := home.open(t, s, vector.IndexOptions{})
	defer closed(t, x)
	hits := search(t, x, []float32{1}, 5, vector.Area{Keep: func(row int32) bool { return row < 3 }})
	if got := rowsOf(hits); !slices.Equal(got, []int32{2, 1, 0}) {
		t.Errorf("rows %v", got)
	}
	all := search(t, x, []float32{-1}, 1<<20, vector.Area{})
	for i, h := range all {
		if int(h.Row) != i || h.ID != s.IDs[i] {
			t.Fatalf("hit %d is %+v", i, h)
		}
	}
	if len(all) != len(s.IDs) {
		t.Errorf("%d rows when more than all are asked for", len(all))
	}
}

// manyRows compares real numbers with the oracle, in areas and without.
func manyRows(t *testing.T, home Home) {
	rng := rand.New(rand.NewPCG(9, 9))
	s := Set(9, 5000, 48, true)
	for i := range s.Data {
		s.Data[i] = float32(rng.NormFloat64())
	}
	x := home.open(t, s, vector.IndexOptions{Measure: vector.Cosine})
	defer closed(t, x)
	for name, area := range map[string]vector.Area{
		"all":    {},
		"box":    {Box: box(-30, 120, 60, -100)},
		"circle": {Circle: circle(48, 11, 2e6)},
		"cells":  {Cells: []s2.CellID{s2.CellIDFromFace(2), s2.CellIDFromFace(0).ChildBegin().ChildBegin()}},
		"keep":   {Keep: func(row int32) bool { return row%50 == 0 }},
	} {
		query := s.Row(17)
		got := search(t, x, query, 20, area)
		want := oracle(s, true, query, 20, area, x.Grid())
		if !slices.Equal(rowsOf(got), rowsOf(want)) {
			t.Errorf("%s: rows %v, want %v", name, rowsOf(got), rowsOf(want))
		}
		for i := range min(len(got), len(want)) {
			if math.Abs(float64(got[i].Score-want[i].Score)) > rounding {
				t.Errorf("%s: score %d is %v, want %v", name, i, got[i].Score, want[i].Score)
			}
		}
	}
}

func atOnce(t *testing.T, home Home) {
	s := Set(10, 500, 6, true)
	x := home.open(t, s, vector.IndexOptions{Measure: vector.Cosine})
	defer closed(t, x)
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for i := g; i < 40; i += 8 {
				want := oracle(s, true, s.Row(i), 1, vector.Area{Rows: []int32{int32(i), int32(i + 1)}}, x.Grid())
				got, err := x.Search(context.Background(), s.Row(i), 1, vector.Area{Rows: []int32{int32(i), int32(i + 1)}})
				if err != nil || !slices.Equal(rowsOf(got), rowsOf(want)) {
					t.Errorf("like row %d: %v, %v; want %v", i, got, err, want)
				}
			}
		})
	}
	wait.Wait()
}
