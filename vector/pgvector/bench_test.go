package pgvector_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/vector"
)

// BenchmarkSearch finds ten of 200,000 places of 64 numbers in twenty cities, all and
// within 5 km, on the server and in memory; fill is what a model pays when it is loaded.
func BenchmarkSearch(b *testing.B) {
	const n, dim = 200_000, 64
	d := open(b, testkit.Pgvector(b))
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
	b.Run("fill", func(b *testing.B) {
		for b.Loop() {
			if err := newIndex(b, d, s).Close(); err != nil { // the last to close drops the table
				b.Fatal(err)
			}
		}
	})
	memory, err := vector.NewIndex(s, vector.IndexOptions{})
	if err != nil {
		b.Fatal(err)
	}
	server := newIndex(b, d, s)
	b.Cleanup(func() { _ = server.Close() })
	for _, home := range []struct {
		name string
		vector.Searcher
	}{{"server", server}, {"memory", memory}} {
		for name, area := range map[string]vector.Area{"all": {}, "5km": {Circle: &vector.Circle{Lat: 5, Lng: 15, Metres: 5000}}} {
			b.Run(home.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if got, err := home.Search(b.Context(), s.Row(12345), 10, area); err != nil || len(got) == 0 {
						b.Fatal(len(got), err)
					}
				}
			})
		}
	}
}
