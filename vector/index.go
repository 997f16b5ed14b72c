package vector

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// DefaultBlockKM is the edge of the blocks an Index sorts its rows by.
const DefaultBlockKM = 5

// IndexOptions are the settings of NewIndex; the zero value is fine.
type IndexOptions struct {
	Measure Measure
	BlockKM float64 // edge of a block in km; 0: DefaultBlockKM
}

// For checks that a set can be searched by these settings, and fills in what they leave
// out. Under Cosine a row of zeros has no direction and is refused.
func (o IndexOptions) For(s *Set) (IndexOptions, error) {
	if err := s.Validate(); err != nil {
		return o, fmt.Errorf("index: %w", err)
	}
	if o.BlockKM == 0 {
		o.BlockKM = DefaultBlockKM
	}
	if err := (geo.Grid{SizeKM: o.BlockKM}).Validate(); err != nil {
		return o, fmt.Errorf("index: %w: %w", poi.ErrBadInput, err)
	}
	if o.Measure > Cosine {
		return o, fmt.Errorf("index: %w: measure %d", poi.ErrBadInput, o.Measure)
	}
	for row := range s.IDs {
		if o.Measure == Cosine && !slices.ContainsFunc(s.Row(row), func(x float32) bool { return x != 0 }) {
			return o, fmt.Errorf("index: %w: row %d (%s) is all zeros and has no direction; leave it out or search by inner product", poi.ErrBadInput, row, s.IDs[row])
		}
	}
	return o, nil
}

// Index is the Searcher of this process: it holds its own copy of the vectors in memory
// and never changes, so any number of goroutines may search it. Closing it does nothing.
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

// NewIndex builds an index; the set may be dropped afterwards.
func NewIndex(s *Set, opt IndexOptions) (*Index, error) {
	opt, err := opt.For(s)
	if err != nil {
		return nil, err
	}
	ix := &Index{dim: s.Dim, measure: opt.Measure, grid: geo.Grid{SizeKM: opt.BlockKM}, ids: slices.Clone(s.IDs)}
	ix.order(s)
	ix.slots = make([]int32, len(ix.rows))
	for slot, row := range ix.rows {
		ix.slots[row] = int32(slot)
	}
	ix.data = make([]float32, len(s.Data))
	for slot, row := range ix.rows {
		opt.Measure.Fit(ix.data[slot*ix.dim:(slot+1)*ix.dim], s.Row(int(row)))
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

// Len returns the number of rows.
func (ix *Index) Len() int { return len(ix.rows) }

// Dim returns the length of a vector.
func (ix *Index) Dim() int { return ix.dim }

// Vectors returns the vectors of rows. The caller must not change them.
func (ix *Index) Vectors(ctx context.Context, rows ...int32) ([][]float32, error) {
	if err := CheckRows(rows, ix.Len()); err != nil {
		return nil, err
	}
	out := make([][]float32, len(rows))
	for i, row := range rows {
		at := int(ix.slots[row]) * ix.dim
		out[i] = ix.data[at : at+ix.dim : at+ix.dim]
	}
	return out, ended(ctx)
}

// Close does nothing.
func (ix *Index) Close() error { return nil }

// Grid returns the grid whose keys Area.Blocks takes.
func (ix *Index) Grid() geo.Grid { return ix.grid }

// patience is how many rows are read between two looks at the context.
const patience = 1 << 14

// Search returns the best rows of the area. It reads every vector of the blocks that the
// area touches. Scores are float32 sums in an order that depends on nothing but the
// dimension.
func (ix *Index) Search(ctx context.Context, query []float32, k int, within Area) ([]Hit, error) {
	query, err := ix.measure.Query(query, ix.dim, k)
	if err != nil {
		return nil, err
	}
	f, err := within.Filter(ix.grid, ix.Len(), ix.lat != nil)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	best := heap{hits: make([]Hit, 0, min(k, len(ix.rows))), k: min(k, len(ix.rows))}
	for _, sp := range ix.spans(f) {
		for from := sp.from; from < sp.to; from += patience {
			if err := ended(ctx); err != nil {
				return nil, err
			}
			ix.scan(query, f, span{from, min(sp.to, from+patience)}, &best)
		}
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(best.hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Row, b.Row))
	})
	for i := range best.hits {
		best.hits[i].ID = ix.ids[best.hits[i].Row]
	}
	return best.hits, nil
}

// scan lets the rows of a span into the best.
func (ix *Index) scan(query []float32, f *Filter, sp span, best *heap) {
	for slot := sp.from; slot < sp.to; slot++ {
		score := dot(query, ix.data[slot*ix.dim:(slot+1)*ix.dim])
		// The cheap test first: few rows ever beat the k-th best.
		if h := (Hit{Row: ix.rows[slot], Score: score}); best.wants(h) {
			var lat, lng float64
			if ix.lat != nil {
				lat, lng = ix.lat[slot], ix.lng[slot]
			}
			if f.Holds(h.Row, lat, lng) {
				best.push(h)
			}
		}
	}
}

// ended returns the error of a context that has ended.
func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("search: %w", context.Cause(ctx))
	}
	return nil
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
