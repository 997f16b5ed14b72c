package vector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// ErrUnavailable is returned when the home of the vectors does not answer, or refuses to
// work.
var ErrUnavailable = errors.New("vectors are unavailable")

// Searcher finds the nearest rows of a Set, wherever their vectors are kept. Any number
// of goroutines may use one. Package vectortest is the suite that all of them pass.
//
// Values outside their documented range wrap poi.ErrBadInput, a home that does not answer
// wraps ErrUnavailable, a context that has ended wraps its cause.
type Searcher interface {
	// Search returns the k rows of the area with the highest scores, best first, equal
	// ones by row; fewer where the area holds fewer. Scores are float32 sums, whose last
	// digits are each Searcher's own: two may order rows differently whose scores differ
	// by less than 1e-5 of the lengths.
	Search(ctx context.Context, query []float32, k int, within Area) ([]Hit, error)
	// Vectors returns the vectors of rows as they are kept: of length one under Cosine.
	// The caller must not change them.
	Vectors(ctx context.Context, rows ...int32) ([][]float32, error)
	// Len returns the number of rows.
	Len() int
	// Dim returns the length of a vector.
	Dim() int
	// Grid returns the grid whose keys Area.Blocks takes.
	Grid() geo.Grid
	// Close frees what the Searcher holds, here and elsewhere. Nobody may use it any more.
	Close() error
}

var _ Searcher = (*Index)(nil)

// Hit is one answer of a search.
type Hit struct {
	Row   int32   `json:"row"` // position in the Set
	ID    string  `json:"id"`
	Score float32 `json:"score"`
}

// Measure is how a query and a row compare; more is nearer.
type Measure uint8

// Measures.
const (
	Inner  Measure = iota // inner product
	Cosine                // cosine of the angle, -1 to 1
)

// Fit writes v into dst as rows are kept and queries are asked: under Cosine of length
// one, so that an inner product is the score. False if v is all zeros and has no
// direction.
func (m Measure) Fit(dst, v []float32) bool {
	if m != Cosine {
		copy(dst, v)
		return true
	}
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return false
	}
	scale := 1 / math.Sqrt(sum)
	for i, x := range v {
		dst[i] = float32(float64(x) * scale)
	}
	return true
}

// Query checks what is asked of a Searcher for vectors of dim numbers, and returns the
// query as Fit makes it.
func (m Measure) Query(query []float32, dim, k int) ([]float32, error) {
	if len(query) != dim || k < 1 {
		return nil, fmt.Errorf("search: %w: a query of %d numbers for k=%d, want %d numbers and a k of at least 1", poi.ErrBadInput, len(query), k, dim)
	}
	if err := checkVector(query); err != nil {
		return nil, fmt.Errorf("search: query: %w", err)
	}
	out := slices.Clone(query)
	if !m.Fit(out, query) {
		return nil, fmt.Errorf("search: %w: the query is all zeros and has no direction", poi.ErrBadInput)
	}
	return out, nil
}

// CheckRows refuses rows that a set of n does not have.
func CheckRows(rows []int32, n int) error {
	for _, row := range rows {
		if row < 0 || int(row) >= n {
			return fmt.Errorf("vectors: %w: row %d, want 0 to %d", poi.ErrBadInput, row, n-1)
		}
	}
	return nil
}
