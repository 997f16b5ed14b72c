package pgvector_test

import (
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/vector"
	"github.com/whereto/whereto/vector/vectortest"
)

// BenchmarkSearch finds ten of 200,000 places of 64 numbers in twenty cities, all and
// within 5 km, on the server and in memory; fill is what a model pays when it is loaded.
func BenchmarkSearch(b *testing.B) {
	const n, dim = 200_000, 64
	d := open(b, testkit.Pgvector(b))
	s := vectortest.Cities(n, dim)
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
