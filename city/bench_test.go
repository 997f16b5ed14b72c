package city_test

import (
	"testing"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
)

// BenchmarkCity builds the default city and its whole log.
func BenchmarkCity(b *testing.B) {
	actions := 0
	for b.Loop() {
		c := mustNew(b, city.DefaultConfig())
		if err := c.Each(b.Context(), func(*poi.Action) error { actions++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(actions)/float64(b.N), "actions/op")
}
