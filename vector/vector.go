// Package vector keeps vectors of users and places: it writes and reads them as
// Parquet and as safetensors (docs/format/vectors.md), and searches them exactly,
// restricted to a part of the world (paper section 3.2.2, Embedding-based Ranking:
// the POI tower runs offline and its vectors are looked up online).
//
// Words: a Set is vectors of one length with the ids of what they stand for; a
// row is one of them. A Searcher is a Set prepared for search, wherever it is kept;
// an Index is the one of this process, whose rows lie in memory by block of a grid, so
// that a search of one neighbourhood reads only that neighbourhood. An Area says where
// and what a search may answer with.
//
// Promised of every Searcher: a search is exact, no row inside the area is missed; equal
// scores go by row; the answer does not depend on the size of the blocks. A file appears
// whole or not at all, and the same Set always gives the same bytes.
//
// Values outside their documented range, and damaged files, give an error that
// wraps poi.ErrBadInput; a Set without rows one that wraps poi.ErrEmpty.
package vector

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Limits of a Set. MaxValue keeps any inner product of two vectors finite.
const (
	MaxRows  = 1 << 28
	MaxDim   = 4096
	MaxCells = 1 << 34 // rows times Dim: 64 GiB
	MaxID    = 1024    // bytes
	MaxValue = 1e15
)

// Set is vectors of users or of places.
type Set struct {
	IDs  []string // unique, 1 to MaxID bytes of UTF-8 without NUL
	Dim  int
	Data []float32 // [len(IDs), Dim], row after row; finite, at most MaxValue in size
	// Lat and Lng are the positions in degrees; both nil where rows have none.
	Lat, Lng []float64
}

// Row returns the vector of row i; it aliases the Set.
func (s *Set) Row(i int) []float32 { return s.Data[i*s.Dim : (i+1)*s.Dim : (i+1)*s.Dim] }

// HasPositions reports whether rows have a latitude and a longitude.
func (s *Set) HasPositions() bool { return s.Lat != nil }

// Validate returns an error unless everything said at the fields holds.
func (s *Set) Validate() error {
	n := len(s.IDs)
	switch {
	case n == 0:
		return fmt.Errorf("vectors: %w: no rows", poi.ErrEmpty)
	case s.Dim < 1 || s.Dim > MaxDim:
		return fmt.Errorf("vectors: %w: dimension %d, want 1 to %d", poi.ErrBadInput, s.Dim, MaxDim)
	case n > MaxRows || int64(n)*int64(s.Dim) > MaxCells:
		return fmt.Errorf("vectors: %w: %d rows of %d, want at most %d rows and %d numbers in all; write several files", poi.ErrBadInput, n, s.Dim, MaxRows, int64(MaxCells))
	case len(s.Data) != n*s.Dim:
		return fmt.Errorf("vectors: %w: %d numbers for %d rows of %d", poi.ErrBadInput, len(s.Data), n, s.Dim)
	case (s.Lat == nil) != (s.Lng == nil) || s.Lat != nil && (len(s.Lat) != n || len(s.Lng) != n):
		return fmt.Errorf("vectors: %w: %d latitudes and %d longitudes for %d rows; give one of each a row, or none", poi.ErrBadInput, len(s.Lat), len(s.Lng), n)
	}
	seen := make(map[string]int, n)
	for i, id := range s.IDs {
		if err := checkID(id); err != nil {
			return fmt.Errorf("vectors: row %d: %w", i, err)
		}
		if first, twice := seen[id]; twice {
			return fmt.Errorf("vectors: %w: rows %d and %d have the same id %q", poi.ErrBadInput, first, i, id)
		}
		seen[id] = i
		if err := checkVector(s.Row(i)); err != nil {
			return fmt.Errorf("vectors: row %d (%s): %w", i, id, err)
		}
		if s.Lat == nil {
			continue
		}
		if err := geo.Valid(s.Lat[i], s.Lng[i]); err != nil {
			return fmt.Errorf("vectors: row %d (%s): %w: %w", i, id, poi.ErrBadInput, err)
		}
	}
	return nil
}

// checkID refuses NUL because C readers of either format end a text there.
func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: the id is empty", poi.ErrBadInput)
	case len(id) > MaxID:
		return fmt.Errorf("%w: the id has %d bytes, want at most %d", poi.ErrBadInput, len(id), MaxID)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: the id %q is not UTF-8", poi.ErrBadInput, id)
	}
	for i := range len(id) {
		if id[i] == 0 {
			return fmt.Errorf("%w: the id %q holds a NUL byte", poi.ErrBadInput, id)
		}
	}
	return nil
}

func checkVector(v []float32) error {
	for j, x := range v {
		if a := math.Abs(float64(x)); !(a <= MaxValue) {
			return fmt.Errorf("%w: number %d is %v, want a finite one of at most %g in size; was the model trained to NaN?", poi.ErrBadInput, j, x, float64(MaxValue))
		}
	}
	return nil
}
