package region

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/golang/geo/s2"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// s2's exact predicate is the oracle for edges in general position.
func TestCrossAgreesWithS2(t *testing.T) {
	crossings := 0
	rapid.Check(t, func(t *rapid.T) {
		var p [4]s2.Point
		for i := range p {
			lat, lng := step(20, 30, rapid.Float64Range(0, 2*math.Pi).Draw(t, "bearing"), rapid.Float64Range(0.001, 60).Draw(t, "arc"))
			p[i] = pointOf(lat, lng)
		}
		if p[0] == p[1] || p[2] == p[3] {
			t.Skip("an edge without length")
		}
		want := s2.CrossingSign(p[0], p[1], p[2], p[3])
		if want == s2.MaybeCross {
			t.Skip("a point in common")
		}
		ab, cd := p[0].Cross(p[1].Vector), p[2].Cross(p[3].Vector)
		for _, x := range []float64{ab.Dot(p[2].Vector), ab.Dot(p[3].Vector), cd.Dot(p[0].Vector), cd.Dot(p[1].Vector)} {
			if math.Abs(x) < 1e-14 {
				t.Skip("a touch")
			}
		}
		if got := cross(p[0], p[1], p[2], p[3], ab, cd); got != (want == s2.Cross) {
			t.Fatalf("got %v, s2 says %v", got, want)
		}
		if want == s2.Cross {
			crossings++
		}
	})
	if crossings < 5 {
		t.Errorf("only %d crossings were drawn", crossings)
	}
}

// comb is a legal ring of n points whose edges nearly all overlap each other's boxes.
func comb(n int) [][]float64 {
	var ring [][]float64
	for i := range (n - 3) / 2 {
		x := float64(i) * 1e-3
		ring = append(ring, []float64{x, 0}, []float64{x + 0.5, 1})
	}
	return append(ring, []float64{2, 1}, []float64{2, -1}, ring[0])
}

func TestLargestRing(t *testing.T) {
	ring := comb(MaxVertices)
	if len(ring) < MaxVertices-1 || len(ring) > MaxVertices {
		t.Fatalf("%d points", len(ring))
	}
	a := mustNew(t, Parts{Polygon: ring})
	for _, p := range []struct {
		lat, lng float64
		in       bool
	}{{-0.5, 1.5, true}, {0.5, 1.9, true}, {0.5, 0.1, false}, {1.1, 1, false}} {
		if got := a.Contains(p.lat, p.lng); got != p.in {
			t.Errorf("%v, %v: got %v", p.lat, p.lng, got)
		}
	}
}

func FuzzRing(f *testing.F) {
	for _, s := range []string{
		`[[0,0],[1,0],[1,1],[0,1],[0,0]]`, `[[179,-1],[-179,-1],[-179,1],[179,1],[179,-1]]`,
		`[[0,80],[90,80],[180,80],[-90,80],[0,80]]`, `[[0,0],[1,1],[1,0],[0,1],[0,0]]`,
		`[[0,90],[0,0],[90,0],[0,90]]`, `[[-180,80],[180,80],[180,90],[-180,90],[-180,80]]`,
		`[]`, `[[]]`, `[[1],[2],[3],[4]]`, `[[0,0],[0,1e-300],[1e-300,0],[0,0]]`, `[[0,0],[178,0],[90,89],[0,0]]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var ring [][]float64
		if json.Unmarshal(text, &ring) != nil || ring == nil {
			t.Skip("not a list of lists")
		}
		a, err := New(Parts{Polygon: ring})
		if err != nil {
			var field *FieldError
			if !errors.As(err, &field) || !errors.Is(err, poi.ErrBadInput) || !strings.HasPrefix(field.Field, ringField) {
				t.Fatalf("error %v is not one of the ring", err)
			}
			return
		}
		checkBounds(t, a.Bounds())
		var lat, lng float64
		for _, p := range ring {
			lat, lng = lat+p[1]/float64(len(ring)), lng+p[0]/float64(len(ring))
		}
		for _, p := range append(ring, []float64{lng, lat}, []float64{0, 90}, []float64{77, -90}) {
			for _, by := range []float64{0, 1e-9, 1e-3, -0.5} {
				x, y := p[1]+by, p[0]+by
				if a.Contains(x, y) && !inBounds(a.Bounds(), x, y) {
					t.Errorf("%v, %v is in the ring, not in %+v", x, y, a.Bounds())
				}
			}
		}
	})
}

func BenchmarkLargestRing(b *testing.B) {
	ring := comb(MaxVertices)
	for b.Loop() {
		mustNew(b, Parts{Polygon: ring})
	}
}
