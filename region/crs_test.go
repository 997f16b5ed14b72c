package region

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Numbers that the JavaScript library coordtransform prints for its own example.
func TestShiftOfBeijing(t *testing.T) {
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: got %.14f, want %.14f", what, got, want)
		}
	}
	lat, lng := FromWGS84(GCJ02, 39.915, 116.404)
	near("gcj02 latitude", lat, 39.91640428150164)
	near("gcj02 longitude", lng, 116.41024449916938)
	lat, lng = gcjToBD(39.915, 116.404)
	near("bd09 latitude", lat, 39.92133699351021)
	near("bd09 longitude", lng, 116.41036949371029)
}

func TestCRSRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]CRS{WGS84, GCJ02, BD09}).Draw(t, "crs")
		// Not within 2 km of the rectangle's edge, where a position has two meanings.
		lat := rapid.Float64Range(chinaSouth+0.02, chinaNorth-0.02).Draw(t, "lat")
		lng := rapid.OneOf(rapid.Float64Range(chinaWest+0.04, chinaEast-0.04), rapid.Just(105.)).Draw(t, "lng")
		x, y := FromWGS84(c, lat, lng)
		if moved := geo.Metres(lat, lng, x, y); (moved > 1) != (c != WGS84) || moved > 3000 {
			t.Fatalf("%v moves %v, %v by %.1f m", c, lat, lng, moved)
		}
		backLat, backLng := ToWGS84(c, x, y)
		if off := geo.Metres(lat, lng, backLat, backLng); off > 0.01 {
			t.Fatalf("%v: %v, %v comes back %.3f m away", c, lat, lng, off)
		}
	})
}

func TestCRSOutsideChina(t *testing.T) {
	for _, p := range [][2]float64{{40.7, -74}, {-33.9, 151.2}, {55.9, 100}, {0.8, 100}, {30, 71.9}, {90, 180}} {
		for _, c := range []CRS{WGS84, GCJ02, BD09} {
			lat, lng := FromWGS84(c, p[0], p[1])
			backLat, backLng := ToWGS84(c, p[0], p[1])
			if lat != p[0] || lng != p[1] || backLat != p[0] || backLng != p[1] {
				t.Errorf("%v moves %v to %v, %v and %v, %v", c, p, lat, lng, backLat, backLng)
			}
		}
	}
}

func TestParseCRS(t *testing.T) {
	for name, want := range map[string]CRS{"": WGS84, "wgs84": WGS84, "gcj02": GCJ02, "bd09": BD09} {
		got, err := ParseCRS(name)
		if err != nil || got != want {
			t.Errorf("%q: %v, error %v", name, got, err)
		}
		if name != "" && got.String() != name {
			t.Errorf("%q is written %q", name, got)
		}
	}
	var field *FieldError
	if _, err := ParseCRS("WGS84"); !errors.As(err, &field) || field.Field != "crs" || !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("error %v", err)
	}
	if got := CRS(9).String(); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func FuzzCRS(f *testing.F) {
	f.Add(39.9, 116.4)
	f.Add(0.8293, 72.004)
	f.Add(math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, lat, lng float64) {
		for _, c := range []CRS{WGS84, GCJ02, BD09} {
			x, y := ToWGS84(c, lat, lng)
			if geo.Valid(lat, lng) != nil {
				continue
			}
			if geo.Valid(x, y) != nil || geo.Metres(lat, lng, x, y) > 3000 {
				t.Errorf("%v: %v, %v became %v, %v", c, lat, lng, x, y)
			}
		}
	})
}

// cityWalk draws sightings at places of a city, reported with noise in metres.
func cityWalk(random *rand.Rand, lat, lng float64, n int, noise func() (north, east float64)) []Sighting {
	out := make([]Sighting, n)
	for i := range out {
		pLat, pLng := lat+0.05*random.NormFloat64(), lng+0.05*random.NormFloat64()
		north, east := noise()
		out[i] = Sighting{PlaceLat: pLat, PlaceLng: pLng, Lat: pLat + north/111195, Lng: pLng + east/111195/math.Cos(pLat*math.Pi/180)}
	}
	return out
}

var chineseCities = [][2]float64{{39.9, 116.4}, {31.2, 121.5}, {22.5, 114.1}, {30.6, 104.1}, {43.8, 87.6}, {45.8, 126.5}}

// shiftedWalks counts how often 2000 people walking in Chinese cities look shifted.
func shiftedWalks(seed uint64, c CRS, n int, noise func(*rand.Rand) (float64, float64)) map[CRS]int {
	random := rand.New(rand.NewPCG(seed, 7))
	got := map[CRS]int{}
	for i := range 2000 {
		city := chineseCities[i%len(chineseCities)]
		walk := cityWalk(random, city[0], city[1], n, func() (float64, float64) { return noise(random) })
		for j := range walk {
			walk[j].Lat, walk[j].Lng = FromWGS84(c, walk[j].Lat, walk[j].Lng)
		}
		if which, yes := LooksShifted(walk); yes {
			got[which]++
		}
	}
	return got
}

func gaussian(metres float64) func(*rand.Rand) (float64, float64) {
	return func(r *rand.Rand) (float64, float64) { return metres * r.NormFloat64(), metres * r.NormFloat64() }
}

// anywhere is a person who acts on places from up to so many metres away.
func anywhere(metres float64) func(*rand.Rand) (float64, float64) {
	return func(r *rand.Rand) (float64, float64) {
		sin, cos := math.Sincos(2 * math.Pi * r.Float64())
		d := metres * math.Sqrt(r.Float64())
		return d * sin, d * cos
	}
}

func TestLooksShifted(t *testing.T) {
	for _, tt := range []struct {
		name     string
		crs      CRS
		n        int
		noise    func(*rand.Rand) (float64, float64)
		min, max int // of 2000 people
	}{
		{"GPS in WGS84", WGS84, 12, gaussian(15), 0, 0},
		{"bad GPS in WGS84", WGS84, 12, gaussian(150), 0, 0},
		{"very bad GPS, few places", WGS84, 5, gaussian(300), 0, 5},
		{"from somewhere near", WGS84, 8, anywhere(800), 0, 5},
		{"from somewhere in town", WGS84, 8, anywhere(5000), 0, 2},
		{"GPS in GCJ02", GCJ02, 12, gaussian(15), 1995, 2000},
		{"GPS in BD09", BD09, 12, gaussian(15), 1995, 2000},
		{"too few places", GCJ02, 4, gaussian(5), 0, 0},
	} {
		got := shiftedWalks(11, tt.crs, tt.n, tt.noise)
		right, all := got[tt.crs], got[GCJ02]+got[BD09]
		if all < tt.min || all > tt.max || tt.crs != WGS84 && right != all {
			t.Errorf("%s: looks shifted %v times of 2000, want %d to %d", tt.name, got, tt.min, tt.max)
		}
	}
}

// A person who does everything from one spot is displaced the same way from places
// side by side, by chance in the direction of the shift: that is one vote.
func TestOneQuarterIsOneVote(t *testing.T) {
	var all []Sighting
	for i := range 50 {
		lat, lng := 39.9+float64(i)*1e-6, 116.4
		x, y := FromWGS84(GCJ02, lat, lng)
		all = append(all, Sighting{Lat: x, Lng: y, PlaceLat: lat, PlaceLng: lng})
	}
	if c, yes := LooksShifted(all); yes {
		t.Errorf("looks like %v on places of one quarter", c)
	}
}

// Outside China nothing is ever shifted, whatever the displacement.
func TestNothingIsShiftedElsewhere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	walk := cityWalk(random, 40.7, -74, 30, func() (float64, float64) { return 160, 530 })
	if c, yes := LooksShifted(walk); yes {
		t.Errorf("New York looks like %v", c)
	}
	if _, yes := LooksShifted([]Sighting{{Lat: math.NaN()}}); yes {
		t.Error("no position looks shifted")
	}
}
