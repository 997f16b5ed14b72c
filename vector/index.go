package vector

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Measure is how a query and a row compare; more is nearer.
type Measure uint8

// Measures.
const (
	Inner  Measure = iota // inner product
	Cosine                // cosine of the angle, -1 to 1
)

// DefaultBlockKM is the edge of the blocks an Index sorts its rows by.
const DefaultBlockKM = 5

// IndexOptions are the settings of NewIndex; the zero value is fine.
type IndexOptions struct {
	Measure Measure
	BlockKM float64 // edge of a block in km; 0: DefaultBlockKM
}

// Index finds the nearest rows of a Set. It holds its own copy of the vectors and
// never changes, so any number of goroutines may search it.
//
// Axes: a slot is a position in the index's order (by block, then by row), a row
// one in the Set's.
type Index struct {
	dim     int
	measure Measure
	grid    geo.Grid
	ids     []string      // by row
	rows    []int32       // by slot
	slots   []int32       // by row
	data    []float32     // [slot, dim]
	lat     []float64     // by slot; nil without positions
	lng     []float64     // as lat
	blocks  []geo.BlockID // those with rows, ascending; nil without positions
	starts  []int32       // first slot of each block, and the number of slots
}

// Hit is one answer of a search.
type Hit struct {
	Row   int32   `json:"row"` // position in the Set
	ID    string  `json:"id"`
	Score float32 `json:"score"`
}

// NewIndex builds an index; the set may be dropped afterwards. Under Cosine a row
// of zeros has no direction and is refused.
func NewIndex(s *Set, opt IndexOptions) (*Index, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if opt.BlockKM == 0 {
		opt.BlockKM = DefaultBlockKM
	}
	ix := &Index{dim: s.Dim, measure: opt.Measure, grid: geo.Grid{SizeKM: opt.BlockKM}, ids: slices.Clone(s.IDs)}
	if err := ix.grid.Validate(); err != nil {
		return nil, fmt.Errorf("index: %w: %w", poi.ErrBadInput, err)
	}
	if opt.Measure > Cosine {
		return nil, fmt.Errorf("index: %w: measure %d", poi.ErrBadInput, opt.Measure)
	}
	ix.order(s)
	ix.slots = make([]int32, len(ix.rows))
	for slot, row := range ix.rows {
		ix.slots[row] = int32(slot)
	}
	ix.data = make([]float32, len(s.Data))
	for slot, row := range ix.rows {
		dst := ix.data[slot*ix.dim : (slot+1)*ix.dim]
		copy(dst, s.Row(int(row)))
		if opt.Measure == Cosine && !normalise(dst) {
			return nil, fmt.Errorf("index: %w: row %d (%s) is all zeros and has no direction; leave it out or search by inner product", poi.ErrBadInput, row, s.IDs[row])
		}
	}
	return ix, nil
}

// order sorts the rows by block and fills everything but the vectors.
func (ix *Index) order(s *Set) {
	n := len(s.IDs)
	ix.rows = make([]int32, n)
	for i := range ix.rows {
		ix.rows[i] = int32(i)
	}
	if !s.HasPositions() {
		return
	}
	of := make([]geo.BlockID, n)
	for i := range of {
		of[i] = ix.grid.Block(s.Lat[i], s.Lng[i])
	}
	slices.SortFunc(ix.rows, func(a, b int32) int {
		return cmp.Or(cmp.Compare(of[a], of[b]), cmp.Compare(a, b))
	})
	ix.lat, ix.lng = make([]float64, n), make([]float64, n)
	for slot, row := range ix.rows {
		ix.lat[slot], ix.lng[slot] = s.Lat[row], s.Lng[row]
		if slot == 0 || of[row] != of[ix.rows[slot-1]] {
			ix.blocks, ix.starts = append(ix.blocks, of[row]), append(ix.starts, int32(slot))
		}
	}
	ix.starts = append(ix.starts, int32(n))
}

// normalise scales v to length one in float64; false if it is all zeros.
func normalise(v []float32) bool {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return false
	}
	scale := 1 / math.Sqrt(sum)
	for i, x := range v {
		v[i] = float32(float64(x) * scale)
	}
	return true
}

// Len returns the number of rows.
func (ix *Index) Len() int { return len(ix.rows) }

// Dim returns the length of a vector.
func (ix *Index) Dim() int { return ix.dim }

// Vector returns the vector of a row as the index has it: of length one under Cosine.
// The caller must not change it.
func (ix *Index) Vector(row int32) []float32 {
	at := int(ix.slots[row]) * ix.dim
	return ix.data[at : at+ix.dim : at+ix.dim]
}

// Grid returns the grid whose keys Area.Blocks takes.
func (ix *Index) Grid() geo.Grid { return ix.grid }

// Search returns the k rows of the area with the highest scores, best first, equal
// ones by row; fewer where the area holds fewer. It reads every vector of the
// blocks that the area touches. Scores are float32 sums in an order that depends
// on nothing but the dimension.
func (ix *Index) Search(query []float32, k int, within Area) ([]Hit, error) {
	if len(query) != ix.dim || k < 1 {
		return nil, fmt.Errorf("search: %w: a query of %d numbers for k=%d, want %d numbers and a k of at least 1", poi.ErrBadInput, len(query), k, ix.dim)
	}
	if err := checkVector(query); err != nil {
		return nil, fmt.Errorf("search: query: %w", err)
	}
	if ix.measure == Cosine {
		query = slices.Clone(query)
		if !normalise(query) {
			return nil, fmt.Errorf("search: %w: the query is all zeros and has no direction", poi.ErrBadInput)
		}
	}
	g, err := ix.prepare(&within)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	best := heap{hits: make([]Hit, 0, min(k, len(ix.rows))), k: min(k, len(ix.rows))}
	for _, sp := range ix.spans(&within, g) {
		for slot := sp.from; slot < sp.to; slot++ {
			score := dot(query, ix.data[slot*ix.dim:(slot+1)*ix.dim])
			// The cheap test first: few rows ever beat the k-th best.
			if h := (Hit{Row: ix.rows[slot], Score: score}); best.wants(h) && ix.holds(g, slot) {
				best.push(h)
			}
		}
	}
	slices.SortFunc(best.hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Row, b.Row))
	})
	for i := range best.hits {
		best.hits[i].ID = ix.ids[best.hits[i].Row]
	}
	return best.hits, nil
}

// dot sums eight products at a time in eight chains, which the processor runs side
// by side; the order of the sums is fixed.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	b = b[:len(a)]
	for len(a) >= 8 && len(b) >= 8 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		s4 += a[4] * b[4]
		s5 += a[5] * b[5]
		s6 += a[6] * b[6]
		s7 += a[7] * b[7]
		a, b = a[8:], b[8:]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
}

// heap keeps the k best hits, the worst of them at the root.
type heap struct {
	hits []Hit
	k    int
}

// worse orders by score, then by row, the later one first.
func worse(a, b Hit) bool {
	return a.Score < b.Score || a.Score == b.Score && a.Row > b.Row
}

func (h *heap) wants(x Hit) bool { return len(h.hits) < h.k || worse(h.hits[0], x) }

// push takes a hit that wants has let through.
func (h *heap) push(x Hit) {
	if len(h.hits) < h.k {
		h.hits = append(h.hits, x)
		for i := len(h.hits) - 1; i > 0; {
			parent := (i - 1) / 2
			if !worse(h.hits[i], h.hits[parent]) {
				return
			}
			h.hits[i], h.hits[parent] = h.hits[parent], h.hits[i]
			i = parent
		}
		return
	}
	h.hits[0] = x
	for i := 0; ; {
		child := 2*i + 1
		if child >= h.k {
			return
		}
		if child+1 < h.k && worse(h.hits[child+1], h.hits[child]) {
			child++
		}
		if !worse(h.hits[child], h.hits[i]) {
			return
		}
		h.hits[i], h.hits[child] = h.hits[child], h.hits[i]
		i = child
	}
}
