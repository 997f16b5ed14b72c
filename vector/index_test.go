package vector_test

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/vector"
	"github.com/whereto/whereto/vector/vectortest"
)

var home = vectortest.Home{Open: func(_ context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
	ix, err := vector.NewIndex(s, opt)
	if err != nil {
		return nil, err
	}
	return ix, nil
}}

func TestHome(t *testing.T)        { vectortest.Run(t, home) }
func TestExact(t *testing.T)       { rapid.Check(t, vectortest.Exact(home)) }
func TestExactCosine(t *testing.T) { rapid.Check(t, vectortest.ExactCosine(home)) }

// BenchmarkSearch measures a million vectors of 64 numbers on one core: all of
// them, one city, and one neighbourhood of it.
func BenchmarkSearch(b *testing.B) {
	const n, dim = 1_000_000, 64
	s := vectortest.Cities(n, dim)
	ix, err := vector.NewIndex(s, vector.IndexOptions{Measure: vector.Cosine})
	if err != nil {
		b.Fatal(err)
	}
	query := slices.Clone(s.Row(12345))
	for _, c := range []struct {
		name string
		area vector.Area
	}{{"all", vector.Area{}}, {"city", vector.Area{Circle: &vector.Circle{Lat: 5, Lng: 15, Metres: 40_000}}}, {"5km", vector.Area{Circle: &vector.Circle{Lat: 5, Lng: 15, Metres: 5000}}}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ix.Search(b.Context(), query, 100, c.area); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
