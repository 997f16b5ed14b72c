package region

import (
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

func mustNew(t interface {
	Helper()
	Fatal(...any)
}, p Parts) *Area {
	t.Helper()
	a, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// square is a ring around a point, half a side in degrees.
func square(lat, lng, half float64) [][]float64 {
	wrap := func(x float64) float64 { return math.Remainder(x, 360) }
	return [][]float64{{wrap(lng - half), lat - half}, {wrap(lng + half), lat - half}, {wrap(lng + half), lat + half}, {wrap(lng - half), lat + half}, {wrap(lng - half), lat - half}}
}

func reversed(ring [][]float64) [][]float64 {
	out := make([][]float64, len(ring))
	for i := range ring {
		out[len(ring)-1-i] = ring[i]
	}
	return out
}

func TestContains(t *testing.T) {
	type at struct {
		lat, lng float64
		in       bool
	}
	arctic := [][]float64{{0, 80}, {90, 80}, {180, 80}, {-90, 80}, {0, 80}}
	tests := []struct {
		name  string
		parts Parts
		at    []at
	}{
		{"nothing given is the Earth", Parts{}, []at{{0, 0, true}, {90, 0, true}, {-45, 180, true}, {math.NaN(), 0, false}, {91, 0, false}}},
		{"circle of 1 km", Parts{Circle: &Circle{40.7, -74, 1000}},
			[]at{{40.7, -74, true}, {40.7089, -74, true}, {40.7091, -74, false}, {40.7, -73.9881, false}, {40.7, -73.9882, true}}},
		{"circle over a pole", Parts{Circle: &Circle{89.99, 10, 5000}}, []at{{90, -120, true}, {89.98, -170, true}, {89.9, 10, false}}},
		{"circle over the antimeridian", Parts{Circle: &Circle{-17, 179.99, 5000}}, []at{{-17, -179.99, true}, {-17, 179.95, true}, {-17, -179.9, false}}},
		{"circle over everything", Parts{Circle: &Circle{10, 10, 20_100_000}}, []at{{-10, -170, true}, {90, 0, true}}},
		{"circle over half", Parts{Circle: &Circle{0, 0, 10_100_000}}, []at{{0, 90.7, true}, {0, -91, false}, {90, 5, true}}},
		{"box with its edges", Parts{Box: &Box{40, -75, 41, -73}}, []at{{40, -75, true}, {41, -73, true}, {40.5, -74, true}, {40.5, -72.999, false}, {41.001, -74, false}}},
		{"box over the antimeridian", Parts{Box: &Box{-20, 170, -10, -170}}, []at{{-15, 180, true}, {-15, -180, true}, {-15, 170, true}, {-15, 169, false}, {-15, -169, false}, {-15, 0, false}}},
		{"box up to the antimeridian", Parts{Box: &Box{-20, 170, -10, 180}}, []at{{-15, 180, true}, {-15, -180, true}, {-15, -179.99, false}}},
		{"box of all longitudes", Parts{Box: &Box{-20, -180, -10, 180}}, []at{{-15, 180, true}, {-15, 0, true}, {-15, -180, true}, {-21, 0, false}}},
		{"box of the antimeridian alone", Parts{Box: &Box{-20, 180, -10, -180}}, []at{{-15, 180, true}, {-15, -180, true}, {-15, 179, false}}},
		{"box of one point", Parts{Box: &Box{5, 6, 5, 6}}, []at{{5, 6, true}, {5, 6.0001, false}}},
		{"box at a pole", Parts{Box: &Box{80, 10, 90, 20}}, []at{{90, -100, true}, {85, 15, true}, {85, 25, false}}},
		{"polygon", Parts{Polygon: square(40.7, -74, 0.1)}, []at{{40.7, -74, true}, {40.79, -73.91, true}, {40.7, -73.89, false}, {40.59, -74, false}}},
		{"polygon that turns the other way", Parts{Polygon: reversed(square(40.7, -74, 0.1))}, []at{{40.7, -74, true}, {40.7, -73.89, false}, {0, 0, false}}},
		{"polygon over the antimeridian", Parts{Polygon: square(-17, 180, 1)}, []at{{-17, 179.5, true}, {-17, -179.5, true}, {-17, 178.5, false}, {-17, 0, false}}},
		{"polygon around a pole", Parts{Polygon: arctic}, []at{{90, 33, true}, {85, 45, true}, {81, 0, true}, {70, 0, false}, {-90, 0, false}}},
		// The chord of 90 degrees of longitude passes nearer to the pole than latitude 80.
		{"its edges are shortest ways", Parts{Polygon: arctic}, []at{{82, 45, false}, {83, 45, true}}},
		{"polygon with a corner at a pole", Parts{Polygon: [][]float64{{0, 60}, {90, 60}, {17, 90}, {0, 60}}}, []at{{80, 45, true}, {80, -45, false}}},
		{"polygon with points twice in a row", Parts{Polygon: [][]float64{{0, 0}, {0, 0}, {1, 0}, {1, 1}, {1, 1}, {0, 1}, {0, 0}, {0, 0}}}, []at{{0.5, 0.5, true}, {2, 0.5, false}}},
		{"all parts must hold", Parts{Circle: &Circle{40.7, -74, 5000}, Box: &Box{40, -75, 40.7, -73}, Polygon: square(40.7, -74.05, 0.05)},
			[]at{{40.699, -74.001, true}, {40.701, -74.001, false}, {40.699, -73.999, false}, {40.69, -74.09, false}}},
	}
	for _, tt := range tests {
		a := mustNew(t, tt.parts)
		for _, p := range tt.at {
			if got := a.Contains(p.lat, p.lng); got != p.in {
				t.Errorf("%s: %v, %v: got %v, want %v", tt.name, p.lat, p.lng, got, p.in)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	many := make([][]float64, MaxVertices+1)
	for i := range many {
		angle := 2 * math.Pi * float64(i%MaxVertices) / MaxVertices
		many[i] = []float64{math.Cos(angle), math.Sin(angle)}
	}
	ring := func(p ...float64) Parts {
		var out [][]float64
		for i := 0; i < len(p); i += 2 {
			out = append(out, p[i:i+2:i+2])
		}
		return Parts{Polygon: out}
	}
	tests := []struct {
		name  string
		parts Parts
		field string
		says  string
	}{
		{"latitude of the centre", Parts{Circle: &Circle{91, 0, 10}}, "lat", "latitude 91"},
		{"no latitude", Parts{Circle: &Circle{nan, 0, 10}}, "lat", "NaN"},
		{"longitude of the centre", Parts{Circle: &Circle{1, 190, 10}}, "lng", "longitude 190"},
		{"no radius", Parts{Circle: &Circle{1, 1, 0}}, "area.radius_m", "0 is not"},
		{"radius below zero", Parts{Circle: &Circle{1, 1, -5}}, "area.radius_m", "-5"},
		{"radius without end", Parts{Circle: &Circle{1, 1, inf}}, "area.radius_m", "Inf"},
		{"radius not a number", Parts{Circle: &Circle{1, 1, nan}}, "area.radius_m", "NaN"},
		{"box upside down", Parts{Box: &Box{10, 0, 5, 1}}, "area.bbox", "south 10 is above north 5"},
		{"box off the Earth", Parts{Box: &Box{-100, 0, 5, 1}}, "area.bbox.south", "-100"},
		{"box too far east", Parts{Box: &Box{0, 0, 5, 181}}, "area.bbox.east", "181"},
		{"empty ring", Parts{Polygon: [][]float64{}}, "area.polygon", "0 points"},
		{"three points", ring(0, 0, 1, 1, 0, 0), "area.polygon", "3 points"},
		{"too many points", Parts{Polygon: many}, "area.polygon", "1001 points, at most 1000"},
		{"not closed", ring(0, 0, 1, 0, 1, 1, 0, 1), "area.polygon[3]", "[0, 0]"},
		{"one number", Parts{Polygon: [][]float64{{0, 0}, {1}, {1, 1}, {0, 0}}}, "area.polygon[1]", "1 numbers"},
		{"three numbers", Parts{Polygon: [][]float64{{0, 0}, {1, 0}, {1, 1, 5}, {0, 0}}}, "area.polygon[2]", "3 numbers"},
		{"latitude first", ring(0, 0, 0, 120, 1, 120, 0, 0), "area.polygon[1]", "[lng, lat]"},
		{"not finite", ring(0, 0, inf, 0, 1, 1, 0, 0), "area.polygon[1]", "finite"},
		{"two points", ring(0, 0, 1, 1, 1, 1, 0, 0), "area.polygon", "only 2 different"},
		{"there and back", ring(0, 0, 1, 1, 2, 2, 1, 1, 0, 0), "area.polygon[3]", "passes here already at point 1"},
		{"a line", ring(5, 0, 5, 1, 5, 2, 5, 0), "area.polygon", "square metres"},
		{"all longitudes drawn flat", ring(-180, 80, 180, 80, 180, 90, -180, 90, -180, 80), "area.polygon", "area.bbox"},
		{"bow tie", ring(0, 0, 1, 1, 1, 0, 0, 1, 0, 0), "area.polygon", "edge from point 0 to 1 meets the edge from point 2 to 3"},
		{"bow tie over the antimeridian", ring(179, 0, -179, 1, -179, 0, 179, 1, 179, 0), "area.polygon", "crosses itself"},
		{"last edge crosses", ring(0, 0, 4, 0, 4, 4, 2, -1, 0, 0), "area.polygon", "crosses itself"},
		{"figure of eight through a point", ring(0, 0, 1, 1, 2, 0, 2, 2, 1, 1, 0, 2, 0, 0), "area.polygon[4]", "already at point 1"},
		{"antipodes", ring(0, 0, 180, 0, 90, 45, 0, 0), "area.polygon[0]", "no shortest way"},
		{"a square of 10 cm", Parts{Polygon: square(0, 0, 5e-7)}, "area.polygon", "square metres"},
	}
	for _, tt := range tests {
		_, err := New(tt.parts)
		var field *FieldError
		switch {
		case !errors.As(err, &field) || !errors.Is(err, poi.ErrBadInput):
			t.Errorf("%s: error %v, want a FieldError that wraps poi.ErrBadInput", tt.name, err)
		case field.Field != tt.field || !strings.Contains(err.Error(), tt.says):
			t.Errorf("%s: %v, want field %s and %q", tt.name, err, tt.field, tt.says)
		}
	}
}

func TestBounds(t *testing.T) {
	tests := []struct {
		name  string
		parts Parts
		want  []geo.Bounds
	}{
		{"the Earth", Parts{}, []geo.Bounds{{South: -90, West: -180, North: 90, East: 180}}},
		{"box", Parts{Box: &Box{1, 2, 3, 4}}, []geo.Bounds{{South: 1, West: 2, North: 3, East: 4}}},
		{"box over the antimeridian", Parts{Box: &Box{-20, 170, -10, -160}}, []geo.Bounds{{South: -20, West: 170, North: -10, East: 180}, {South: -20, West: -180, North: -10, East: -160}}},
		{"two halves", Parts{Box: &Box{-20, 170, 10, -160}, Circle: &Circle{0, 180, math.Pi / 180 * geo.EarthRadius}}, []geo.Bounds{{South: -1, West: 179, North: 1, East: 180}, {South: -1, West: -180, North: 1, East: -179}}},
		{"pole", Parts{Circle: &Circle{90, 0, math.Pi / 180 * geo.EarthRadius}}, []geo.Bounds{{South: 89, West: -180, North: 90, East: 180}}},
		{"nothing in common", Parts{Box: &Box{1, 2, 3, 4}, Polygon: square(10, 10, 1)}, nil},
	}
	for _, tt := range tests {
		got := mustNew(t, tt.parts).Bounds()
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			continue
		}
		for i, w := range tt.want {
			for k, d := range [...]float64{got[i].South - w.South, got[i].West - w.West, got[i].North - w.North, got[i].East - w.East} {
				if math.Abs(d) > 1e-6 {
					t.Errorf("%s: box %d side %d: %+v, want %+v", tt.name, i, k, got[i], w)
				}
			}
		}
	}
}

func checkBounds(t interface{ Fatalf(string, ...any) }, bounds []geo.Bounds) {
	if len(bounds) > 2 {
		t.Fatalf("%d bounds: %+v", len(bounds), bounds)
	}
	for _, b := range bounds {
		if !(b.West < b.East && b.South < b.North) || geo.Valid(b.South, b.West) != nil || geo.Valid(b.North, b.East) != nil {
			t.Fatalf("bounds %+v are not a box", b)
		}
	}
}

func inBounds(bounds []geo.Bounds, lat, lng float64) bool {
	for _, b := range bounds {
		if lat >= b.South && lat <= b.North && lng >= b.West && lng <= b.East {
			return true
		}
	}
	return false
}

// drawLatLng favours the awkward places of the Earth.
func drawLatLng(t *rapid.T, name string) (lat, lng float64) {
	lat = rapid.OneOf(rapid.Float64Range(-90, 90), rapid.SampledFrom([]float64{-90, -89.9999, 0, 89.9999, 90})).Draw(t, name+" lat")
	lng = rapid.OneOf(rapid.Float64Range(-180, 180), rapid.SampledFrom([]float64{-180, -179.9999, 0, 179.9999, 180})).Draw(t, name+" lng")
	return lat, lng
}

// drawRing is a star around a point: never crossing itself as long as it stays small.
func drawRing(t *rapid.T, lat, lng float64) [][]float64 {
	n := rapid.IntRange(3, 40).Draw(t, "corners")
	size := rapid.Float64Range(0.01, 8).Draw(t, "size in degrees")
	var out [][]float64
	for i := range n {
		angle := 2 * math.Pi * (float64(i) + rapid.Float64Range(0, 0.9).Draw(t, "turn")) / float64(n)
		r := size * rapid.Float64Range(0.3, 1).Draw(t, "reach")
		pLat, pLng := step(lat, lng, angle, r)
		out = append(out, []float64{pLng, pLat})
	}
	return append(out, out[0])
}

// step goes from a point in a direction by degrees of arc.
func step(lat, lng, bearing, arc float64) (float64, float64) {
	const rad = math.Pi / 180
	s := math.Sin(lat*rad)*math.Cos(arc*rad) + math.Cos(lat*rad)*math.Sin(arc*rad)*math.Cos(bearing)
	toLat := math.Asin(max(-1, min(1, s)))
	dLng := math.Atan2(math.Sin(bearing)*math.Sin(arc*rad)*math.Cos(lat*rad), math.Cos(arc*rad)-math.Sin(lat*rad)*s)
	return toLat / rad, math.Remainder(lng+dLng/rad, 360)
}

func drawParts(t *rapid.T) (p Parts, lat, lng float64) {
	lat, lng = drawLatLng(t, "centre")
	kinds := rapid.IntRange(1, 7).Draw(t, "kinds")
	if kinds&1 != 0 {
		p.Circle = &Circle{lat, lng, rapid.OneOf(rapid.Float64Range(1, 50_000), rapid.Float64Range(1, 20_100_000)).Draw(t, "radius")}
	}
	if kinds&2 != 0 {
		h, w := rapid.Float64Range(0, 20).Draw(t, "height"), rapid.Float64Range(0, 40).Draw(t, "width")
		p.Box = &Box{South: max(-90, lat-h), West: math.Remainder(lng-w, 360), North: min(90, lat+h), East: math.Remainder(lng+w, 360)}
	}
	if kinds&4 != 0 && math.Abs(lat) < 89 {
		p.Polygon = drawRing(t, lat, lng)
	}
	return p, lat, lng
}

// drawNear draws points of which many lie in or near an area around lat, lng.
func drawNear(t *rapid.T, lat, lng float64) (float64, float64) {
	if rapid.Bool().Draw(t, "anywhere") {
		return drawLatLng(t, "point")
	}
	return step(lat, lng, rapid.Float64Range(0, 2*math.Pi).Draw(t, "bearing"), rapid.Float64Range(0, 10).Draw(t, "arc"))
}

func TestContainedPointsAreInBounds(t *testing.T) {
	held := 0
	rapid.Check(t, func(t *rapid.T) {
		p, lat, lng := drawParts(t)
		a, err := New(p)
		if err != nil {
			t.Skip(err) // some stars around a pole or a point fold
		}
		checkBounds(t, a.Bounds())
		for range 20 {
			x, y := drawNear(t, lat, lng)
			if !a.Contains(x, y) {
				continue
			}
			held++
			if !inBounds(a.Bounds(), x, y) {
				t.Fatalf("%v, %v is in the area, not in its bounds %+v", x, y, a.Bounds())
			}
		}
	})
	if held < 50 {
		t.Errorf("only %d points lay in areas: the test draws too far away", held)
	}
}

// A ring and the same ring further east hold the same points, further east.
func TestRingIsTheSameAcrossTheAntimeridian(t *testing.T) {
	held := 0
	rapid.Check(t, func(t *rapid.T) {
		lat := rapid.Float64Range(-70, 70).Draw(t, "lat")
		ring := drawRing(t, lat, 0)
		by := rapid.SampledFrom([]float64{180, 176, -178, 90}).Draw(t, "by")
		moved := make([][]float64, len(ring))
		for i, p := range ring {
			moved[i] = []float64{math.Remainder(p[0]+by, 360), p[1]}
		}
		a, b := mustNew(t, Parts{Polygon: ring}), mustNew(t, Parts{Polygon: moved})
		for range 20 {
			x, y := step(lat, 0, rapid.Float64Range(0, 2*math.Pi).Draw(t, "bearing"), rapid.Float64Range(0, 10).Draw(t, "arc"))
			if got, want := b.Contains(x, math.Remainder(y+by, 360)), a.Contains(x, y); got != want {
				t.Fatalf("%v, %v: %v here, %v further east", x, y, want, got)
			} else if want {
				held++
			}
		}
	})
	if held < 50 {
		t.Errorf("only %d points lay in rings", held)
	}
}

// The even-odd rule on a flat map is right for small rings, away from their edges.
func TestRingAgreesWithAFlatMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat := rapid.Float64Range(-60, 60).Draw(t, "lat")
		lng := rapid.Float64Range(-170, 170).Draw(t, "lng")
		n := rapid.IntRange(3, 60).Draw(t, "corners")
		var ring [][]float64
		for i := range n {
			angle := 2 * math.Pi * (float64(i) + rapid.Float64Range(0, 0.9).Draw(t, "turn")) / float64(n)
			r := 0.02 * rapid.Float64Range(0.3, 1).Draw(t, "reach")
			ring = append(ring, []float64{lng + r*math.Cos(angle), lat + r*math.Sin(angle)})
		}
		ring = append(ring, ring[0])
		a := mustNew(t, Parts{Polygon: ring})
		for range 20 {
			x := lat + rapid.Float64Range(-0.025, 0.025).Draw(t, "up")
			y := lng + rapid.Float64Range(-0.025, 0.025).Draw(t, "right")
			want, clear := flat(ring, x, y)
			if got := a.Contains(x, y); clear && got != want {
				t.Fatalf("%v, %v: got %v, want %v", x, y, got, want)
			}
		}
	})
}

// flat is the even-odd rule; clear says that no edge is within some metres.
func flat(ring [][]float64, lat, lng float64) (in, clear bool) {
	clear = true
	for i := range len(ring) - 1 {
		x1, y1, x2, y2 := ring[i][0], ring[i][1], ring[i+1][0], ring[i+1][1]
		if (y1 > lat) != (y2 > lat) && lng < (x2-x1)*(lat-y1)/(y2-y1)+x1 {
			in = !in
		}
		length := math.Hypot(x2-x1, y2-y1)
		along := max(0, min(1, ((lng-x1)*(x2-x1)+(lat-y1)*(y2-y1))/(length*length)))
		if math.Hypot(x1+along*(x2-x1)-lng, y1+along*(y2-y1)-lat) < 1e-4 {
			clear = false
		}
	}
	return in, clear
}
