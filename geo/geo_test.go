package geo

import (
	"math"
	"strings"
	"testing"

	"github.com/golang/geo/s2"
	"pgregory.net/rapid"
)

func TestMetres(t *testing.T) {
	half := math.Pi * EarthRadius
	tests := []struct {
		name                   string
		lat1, lng1, lat2, lng2 float64
		want, tol              float64
	}{
		{"same point", 40.7, -74, 40.7, -74, 0, 0},
		{"one degree of the equator", 0, 0, 0, 1, half / 180, 1e-6},
		{"one degree of a meridian", 60, 20, 61, 20, half / 180, 1e-6},
		{"antipodes", 12.5, 30, -12.5, -150, half, 1e-6},
		{"pole to pole", 90, 0, -90, 77, half, 1e-6},
		{"across the antimeridian", 0, 179.5, 0, -179.5, half / 180, 1e-6},
		// A well-known pair, 343.5 to 343.6 km on a sphere.
		{"London to Paris", 51.5074, -0.1278, 48.8566, 2.3522, 343556, 100},
	}
	for _, tt := range tests {
		if got := Metres(tt.lat1, tt.lng1, tt.lat2, tt.lng2); math.Abs(got-tt.want) > tt.tol {
			t.Errorf("%s: got %.3f m, want %.3f", tt.name, got, tt.want)
		}
	}
}

// S2 computes the same distance from unit vectors: an independent oracle.
func TestMetresAgreesWithS2(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat1, lng1 := drawPoint(t, "a", 90)
		lat2, lng2 := drawPoint(t, "b", 90)
		want := float64(s2.LatLngFromDegrees(lat1, lng1).Distance(s2.LatLngFromDegrees(lat2, lng2))) * EarthRadius
		got := Metres(lat1, lng1, lat2, lng2)
		if math.Abs(got-want) > 1e-3+1e-7*want {
			t.Fatalf("got %v, S2 says %v", got, want)
		}
		if back := Metres(lat2, lng2, lat1, lng1); math.Abs(back-got) > 1e-6 {
			t.Fatalf("not symmetric: %v and %v", got, back)
		}
	})
}

func TestMetresApproxError(t *testing.T) {
	for _, c := range []struct{ lat, km, tol float64 }{{60, 100, 1e-4}, {60, 300, 1e-3}, {80, 100, 1e-3}} {
		rapid.Check(t, func(t *rapid.T) {
			lat, lng := drawPoint(t, "a", c.lat)
			bearing := rapid.Float64Range(0, 2*math.Pi).Draw(t, "bearing")
			deg := rapid.Float64Range(0.001, c.km/112).Draw(t, "degrees")
			lat2 := lat + deg*math.Cos(bearing)
			if math.Abs(lat2) > c.lat {
				t.Skip("left the band")
			}
			lng2 := math.Remainder(lng+deg*math.Sin(bearing)/math.Cos(lat*radians), 360)
			want := Metres(lat, lng, lat2, lng2)
			if want > c.km*1000 {
				t.Skip("too far")
			}
			if got := MetresApprox(lat, lng, lat2, lng2); math.Abs(got-want) > c.tol*want+1e-6 {
				t.Fatalf("got %v, want %v: relative error %g", got, want, math.Abs(got-want)/want)
			}
		})
	}
}

func TestValid(t *testing.T) {
	tests := []struct {
		lat, lng float64
		want     string // part of the error; empty: valid
	}{
		{40.7, -74, ""}, {90, 180, ""}, {-90, -180, ""}, {0, 0, ""},
		{139.7, 35.6, "swapped"}, {-91, 100, "latitude -91"}, {200, 10, "latitude 200"},
		{10, 180.5, "longitude 180.5"}, {math.NaN(), 0, "latitude NaN"}, {0, math.Inf(-1), "longitude -Inf"},
	}
	for _, tt := range tests {
		err := Valid(tt.lat, tt.lng)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Valid(%v, %v) = %v, want %q", tt.lat, tt.lng, err, tt.want)
		}
	}
}

func TestCellsNestAndHoldThePoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat, lng := drawPoint(t, "p", 90)
		leaf := s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng))
		cells := Cells(lat, lng)
		for i, c := range cells {
			id := s2.CellID(c)
			if id.Level() != S2Levels()[i] || !id.Contains(leaf) {
				t.Fatalf("grid level %d: cell %v (level %d) does not hold %v,%v", i, id, id.Level(), lat, lng)
			}
			if i > 0 && !s2.CellID(cells[i-1]).Contains(id) {
				t.Fatalf("grid level %d is not nested in %d", i, i-1)
			}
		}
	})
}

// Golden: a change here breaks every saved checkpoint.
func TestCellsAndHashNeverChange(t *testing.T) {
	cells := Cells(40.7580, -73.9855)
	if cells[0] != 0x89c0000000000000 || cells[11] != 0x89c25855a9900000 {
		t.Errorf("cells of Times Square changed: %#x", cells)
	}
	for _, g := range []struct {
		level int
		size  int
		want  int32
	}{{0, 1000, 144}, {11, 1000, 417}, {11, 1 << 20, 438259}, {3, 1, 0}, {3, 0, -1}, {3, math.MaxInt32 + 1, -1}} {
		if got := HashCell(g.level, cells[g.level], g.size); got != g.want {
			t.Errorf("HashCell(%d, cell, %d) = %d, want %d", g.level, g.size, got, g.want)
		}
	}
}

// Chi-square against the uniform law: 4096 neighbouring cells into 64 rows.
func TestHashCellSpreads(t *testing.T) {
	id := s2.CellIDFromLatLng(s2.LatLngFromDegrees(40.7, -74)).Parent(20)
	var n [64]float64
	for range 4096 {
		n[HashCell(11, uint64(id), 64)]++
		id = id.Next()
	}
	var chi float64
	for _, x := range n {
		chi += (x - 64) * (x - 64) / 64
	}
	if chi > 104 { // 63 degrees of freedom, p = 0.001
		t.Errorf("chi-square %.1f over 63 degrees of freedom: hash is uneven", chi)
	}
}

func TestCellEdge(t *testing.T) {
	if e := CellEdge(0); math.Abs(e-1162e3) > 1e3 {
		t.Errorf("coarsest edge %.0f m, want about 1162 km", e)
	}
	if e := CellEdge(GridLevels - 1); math.Abs(e-8.87) > 0.01 {
		t.Errorf("finest edge %.2f m, want about 8.87 m", e)
	}
	if CellEdge(-1) != 0 || CellEdge(GridLevels) != 0 {
		t.Error("edge of a level that does not exist is not 0")
	}
}

func drawPoint(t *rapid.T, name string, maxLat float64) (lat, lng float64) {
	lat = rapid.Float64Range(-maxLat, maxLat).Draw(t, name+" lat")
	lng = rapid.Float64Range(-180, 180).Draw(t, name+" lng")
	return lat, lng
}

func BenchmarkMetres(b *testing.B) {
	for b.Loop() {
		Metres(40.7, -74, 40.8, -73.9)
	}
}

func BenchmarkMetresApprox(b *testing.B) {
	for b.Loop() {
		MetresApprox(40.7, -74, 40.8, -73.9)
	}
}
