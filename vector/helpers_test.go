package vector

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// testSet has n rows of dim small whole numbers, scattered over the Earth.
func testSet(seed uint64, n, dim int, positions bool) *Set {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &Set{Dim: dim}
	for i := range n {
		s.IDs = append(s.IDs, fmt.Sprintf("é%d", i))
		for range dim {
			s.Data = append(s.Data, float32(rng.IntN(9)-4)+0.5)
		}
		if positions {
			s.Lat = append(s.Lat, 180*rng.Float64()-90)
			s.Lng = append(s.Lng, 360*rng.Float64()-180)
		}
	}
	return s
}

func equalSets(t testing.TB, got, want *Set) {
	t.Helper()
	if got.Dim != want.Dim || len(got.IDs) != len(want.IDs) || got.HasPositions() != want.HasPositions() {
		t.Fatalf("%d rows of %d, positions %v; want %d of %d, %v", len(got.IDs), got.Dim, got.HasPositions(), len(want.IDs), want.Dim, want.HasPositions())
	}
	for i := range want.IDs {
		if got.IDs[i] != want.IDs[i] || want.HasPositions() && (got.Lat[i] != want.Lat[i] || got.Lng[i] != want.Lng[i]) {
			t.Fatalf("row %d is %q, want %q, or its position differs", i, got.IDs[i], want.IDs[i])
		}
	}
	for i := range want.Data {
		if got.Data[i] != want.Data[i] {
			t.Fatalf("number %d is %v, want %v", i, got.Data[i], want.Data[i])
		}
	}
}
