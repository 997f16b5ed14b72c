package region

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// drawCatalog puts places around a point and some at the rims of the Earth.
func drawCatalog(t *rapid.T, lat, lng float64) []poi.Place {
	n := rapid.IntRange(0, 60).Draw(t, "places")
	out := make([]poi.Place, n)
	for i := range out {
		out[i].Lat, out[i].Lng = drawNear(t, lat, lng)
	}
	return out
}

func TestWithinIsAScan(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		parts, lat, lng := drawParts(t)
		a, err := New(parts)
		if err != nil {
			t.Skip(err)
		}
		catalog := drawCatalog(t, lat, lng)
		p, err := NewPlaces(catalog)
		if err != nil {
			t.Fatal(err)
		}
		var want []int32
		for i, c := range catalog {
			if a.Contains(c.Lat, c.Lng) {
				want = append(want, int32(i))
			}
		}
		got := p.Within(a)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, a scan gives %v", got, want)
		}
		found += len(got)
	})
	if found < 50 {
		t.Errorf("only %d places lay in areas", found)
	}
}

func TestNearestIsAScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat, lng := drawLatLng(t, "person")
		catalog := drawCatalog(t, lat, lng)
		p, err := NewPlaces(catalog)
		if err != nil {
			t.Fatal(err)
		}
		k := rapid.IntRange(1, 20).Draw(t, "k")
		modulus := rapid.Int32Range(1, 4).Draw(t, "keep one in")
		asked := map[int32]int{}
		got, err := p.Nearest(lat, lng, k, func(i int32) bool {
			asked[i]++
			return i%modulus == 0
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []Near
		for i, c := range catalog {
			if int32(i)%modulus == 0 {
				want = append(want, Near{int32(i), geo.Metres(lat, lng, c.Lat, c.Lng)})
			}
		}
		slices.SortFunc(want, func(a, b Near) int { return cmp.Or(cmp.Compare(a.Metres, b.Metres), cmp.Compare(a.POI, b.POI)) })
		if want = want[:min(k, len(want))]; !slices.Equal(got, want) {
			t.Fatalf("got %v, a scan gives %v", got, want)
		}
		for i, n := range asked {
			if n != 1 {
				t.Fatalf("keep was asked %d times of place %d", n, i)
			}
		}
	})
}

func TestNearestOfAll(t *testing.T) {
	p, err := NewPlaces([]poi.Place{{ID: "far", Lat: -10, Lng: -170}, {ID: "near", Lat: 10.001, Lng: 10}, {ID: "twin", Lat: 10.001, Lng: 10}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Nearest(10, 10, 5, nil)
	if err != nil || len(got) != 3 || got[0].POI != 1 || got[1].POI != 2 || got[2].POI != 0 {
		t.Errorf("got %v, error %v; want the two near ones, then the antipode", got, err)
	}
	if p.Len() != 3 {
		t.Errorf("%d places, want 3", p.Len())
	}
	if _, err := p.Nearest(100, 10, 5, nil); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("off the Earth: error %v", err)
	}
	if _, err := p.Nearest(10, 10, 0, nil); !errors.Is(err, poi.ErrBadInput) || !strings.HasPrefix(err.Error(), "k: ") {
		t.Errorf("no place wanted: error %v", err)
	}
}

func TestPlacesRefuseOneOffTheEarth(t *testing.T) {
	_, err := NewPlaces([]poi.Place{{ID: "fine"}, {ID: "lost", Lat: 100}})
	if !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), "lost") {
		t.Errorf("error %v, want poi.ErrBadInput that names the place", err)
	}
}

func benchPlaces(b *testing.B) *Places {
	random := rand.New(rand.NewPCG(1, 2))
	catalog := make([]poi.Place, 100_000)
	for i := range catalog {
		catalog[i].Lat, catalog[i].Lng = 40.7+0.2*random.NormFloat64(), -74+0.2*random.NormFloat64()
	}
	p, err := NewPlaces(catalog)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func BenchmarkNearest(b *testing.B) {
	p := benchPlaces(b)
	for b.Loop() {
		if _, err := p.Nearest(40.7, -74, 20, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWithinRing(b *testing.B) {
	p, a := benchPlaces(b), mustNew(b, Parts{Polygon: square(40.7, -74, 0.05)})
	for b.Loop() {
		p.Within(a)
	}
}
