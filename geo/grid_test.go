package geo

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawGrid(t *rapid.T) Grid {
	return Grid{SizeKM: rapid.SampledFrom([]float64{0.01, 0.5, 1, 5, 7.3, 50, 400, 2000}).Draw(t, "size")}
}

func (b Bounds) holds(lat, lng float64) bool {
	top := lat < b.North || lat == 90 && b.North == 90
	if lng == 180 {
		lng = -180
	}
	return lat >= b.South && top && lng >= b.West && lng < b.East
}

func TestBlockHoldsItsPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrid(t)
		lat, lng := drawPoint(t, "p", 90)
		id := g.Block(lat, lng)
		if !g.Has(id) || !g.Bounds(id).holds(lat, lng) {
			t.Fatalf("%v,%v is not within %v of block %v", lat, lng, g.Bounds(id), id)
		}
		cLat, cLng := g.Centre(id)
		if back := g.Block(cLat, cLng); back != id {
			t.Fatalf("centre of %v lies in %v", id, back)
		}
		b := g.Bounds(id)
		if back := g.Block(b.South, b.West); back != id {
			t.Fatalf("south-west corner of %v lies in %v", id, back)
		}
	})
}

// The stated spread: for |lat| < 80 and 5 km the width at the middle is within
// 0.05 % of the size, the height within 0.001 %, the edges within 0.3 % of the middle.
func TestBlockSizeSpread(t *testing.T) {
	g := Grid{SizeKM: 5}
	rapid.Check(t, func(t *rapid.T) {
		lat, lng := drawPoint(t, "p", 80)
		b := g.Bounds(g.Block(lat, lng))
		if w := b.WidthKM(); math.Abs(w-5) > 5*0.0005 {
			t.Fatalf("width at latitude %v is %v km", lat, w)
		}
		if h := b.HeightKM(); math.Abs(h-5) > 5*0.00001 {
			t.Fatalf("height is %v km", h)
		}
		for _, at := range []float64{b.South, b.North} {
			edge := Metres(at, b.West, at, b.East) / 1000
			if math.Abs(edge-b.WidthKM()) > 5*0.003 {
				t.Fatalf("edge at %v is %v km, middle %v", at, edge, b.WidthKM())
			}
		}
	})
}

func TestBlockAtTheRims(t *testing.T) {
	g := Grid{SizeKM: 5}
	rows := g.Rows()
	if rows != 4003 || g.Cols(rows/2) != 8006 || g.Cols(0) != 3 || g.Cols(rows-1) != 3 {
		t.Fatalf("rows %d, equator %d, poles %d and %d; want 4003, 8006, 3, 3",
			rows, g.Cols(rows/2), g.Cols(0), g.Cols(rows-1))
	}
	if g.Cols(-1) != 0 || g.Cols(rows) != 0 {
		t.Error("a row beyond the pole has columns")
	}
	same := []struct {
		name                   string
		lat1, lng1, lat2, lng2 float64
	}{
		{"180 is -180", 10, 180, 10, -180},
		{"wrapped east", 10, 190, 10, -170},
		{"wrapped west", 10, -540, 10, 180},
		{"clamped", 95, 20, 90, 20},
		{"a hair west of -180", 10, -180 - 1e-14, 10, -180},
	}
	for _, tt := range same {
		if a, b := g.Block(tt.lat1, tt.lng1), g.Block(tt.lat2, tt.lng2); a != b {
			t.Errorf("%s: %v and %v", tt.name, a, b)
		}
	}
	if r := g.Block(90, 0).Row(); r != rows-1 {
		t.Errorf("north pole is in row %d, want %d", r, rows-1)
	}
	if c := g.Block(0, math.Nextafter(180, 0)).Col(); c != 8005 {
		t.Errorf("just west of the antimeridian is column %d, want 8005", c)
	}
	for _, bad := range []BlockID{g.Block(math.NaN(), 0), g.Block(0, math.Inf(1)), Grid{}.Block(1, 1), Grid{SizeKM: math.NaN()}.Block(1, 1)} {
		if bad != NoBlock {
			t.Errorf("nonsense got block %v", bad)
		}
	}
	if g.Has(NoBlock) || g.Bounds(NoBlock) != (Bounds{}) || g.Neighbours(NoBlock) != nil {
		t.Error("NoBlock has a place on Earth")
	}
}

// Golden: saved indexes carry these keys.
func TestBlockKeysNeverChange(t *testing.T) {
	for _, tt := range []struct {
		lat, lng, size float64
		row, col       int
	}{{40.7580, -73.9855, 5, 2907, 1786}, {-33.8688, 151.2093, 5, 1248, 6116}, {35.6812, 139.7671, 1, 13975, 28880}} {
		id := Grid{SizeKM: tt.size}.Block(tt.lat, tt.lng)
		if id.Row() != tt.row || id.Col() != tt.col || id != BlockID(int64(tt.row)<<32+int64(tt.col)) {
			t.Errorf("block of %v,%v at %v km is %v, want %d/%d", tt.lat, tt.lng, tt.size, id, tt.row, tt.col)
		}
	}
}

func TestNeighboursLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Grid{SizeKM: rapid.SampledFrom([]float64{1, 5, 50, 400, 2000}).Draw(t, "size")}
		lat, lng := drawPoint(t, "p", 90)
		id := g.Block(lat, lng)
		all := g.Neighbours(id)
		if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || slices.Contains(all, id) {
			t.Fatalf("neighbours of %v are not ascending, distinct and other: %v", id, all)
		}
		for _, other := range all {
			if !g.Has(other) || !slices.Contains(g.Neighbours(other), id) {
				t.Fatalf("%v has neighbour %v but not the other way", id, other)
			}
		}
		// Step just over each edge: only the block itself or a neighbour may be there.
		b := g.Bounds(id)
		const hair = 1e-9
		for _, p := range [][2]float64{
			{lat, b.West - hair}, {lat, b.East + hair}, {b.South - hair, lng}, {b.North + hair, lng},
			{b.South - hair, b.West - hair}, {b.North + hair, b.East + hair},
			{b.South - hair, b.East + hair}, {b.North + hair, b.West - hair},
		} {
			if near := g.Block(p[0], p[1]); near != id && !slices.Contains(all, near) {
				t.Fatalf("%v, a step from %v, lies in %v, not a neighbour", p, id, near)
			}
		}
	})
}

func TestNeighboursAtTheRims(t *testing.T) {
	g := Grid{SizeKM: 5}
	if n := g.Neighbours(g.Block(0, -180)); !slices.Contains(n, g.Block(0, 179.99)) {
		t.Errorf("no neighbour across the antimeridian: %v", n)
	}
	for size := MinSizeKM; size <= MaxSizeKM; size *= 1.01 {
		if g := (Grid{SizeKM: size}); g.Cols(0) != 3 || g.Cols(g.Rows()-1) != 3 {
			t.Fatalf("polar rows of a %v km grid have %d and %d blocks, want 3", size, g.Cols(0), g.Cols(g.Rows()-1))
		}
	}
	pole := g.Neighbours(g.Block(90, 0))
	for _, lng := range []float64{-179, 179} {
		if !slices.Contains(pole, g.Block(90, lng)) {
			t.Errorf("blocks at the pole do not meet: %v lacks longitude %v", pole, lng)
		}
	}
	if n := len(g.Neighbours(g.Block(40.7, -74))); n < 6 || n > 8 {
		t.Errorf("%d neighbours in New York, want 6 to 8", n)
	}
}

func TestGridValidate(t *testing.T) {
	for size, ok := range map[float64]bool{5: true, 0.01: true, 2000: true, 0: false, -5: false, 2001: false, 0.009: false} {
		if err := (Grid{SizeKM: size}).Validate(); (err == nil) != ok {
			t.Errorf("size %v: %v", size, err)
		}
	}
}

func BenchmarkBlock(b *testing.B) {
	g := Grid{SizeKM: 5}
	for b.Loop() {
		g.Block(40.7580, -73.9855)
	}
}
