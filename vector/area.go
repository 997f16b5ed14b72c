package vector

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Area says which rows a search may answer with: those for which every part that
// is set says yes. The zero Area is all rows. A nil list sets no condition; an
// empty one that is not nil lets nothing pass.
type Area struct {
	Box    *Box
	Circle *Circle
	// Blocks are keys of the index's own grid, for example those of block tokens.
	Blocks []geo.BlockID
	// Cells are S2 cells of any level.
	Cells []s2.CellID
	// Rows are positions in the Set, for what the caller has found by other means.
	Rows []int32
	// Keep is any other condition; row is a position in the Set. It is called only
	// for rows that would enter the answer so far, in no particular order, so it
	// must not count its calls.
	Keep func(row int32) bool
}

// Box is a rectangle in degrees with its edges. West > East crosses the
// antimeridian; -180 to 180 is every longitude.
type Box struct {
	South, West, North, East float64
}

// Circle is every point up to Metres from a centre along the sphere, poles and
// antimeridian included.
type Circle struct {
	Lat, Lng, Metres float64
}

// Filter is an Area made ready for one search: what every Searcher goes by, so that all
// draw the same borders.
type Filter struct {
	box    *s2.Rect
	circle *Circle
	cells  s2.CellUnion
	keep   func(row int32) bool
	// Bounds each hold every point that passes, with room for rounding.
	Bounds []s2.Rect
	// Blocks and Rows are those of the Area, ascending, each once; nil sets no condition.
	// They are the Searcher's to keep to, by whatever it finds rows with.
	Blocks []geo.BlockID
	Rows   []int32
}

// margin widens bounds: far above rounding, about 6 mm on the ground.
const margin = 1e-9

func widen(r s2.Rect) s2.Rect {
	return s2.Rect{Lat: r1.Interval{Lo: r.Lat.Lo - margin, Hi: r.Lat.Hi + margin}, Lng: r.Lng.Expanded(margin)}
}

// Filter checks the area for a search of n rows, with blocks of the grid.
func (a *Area) Filter(grid geo.Grid, n int, positions bool) (*Filter, error) {
	f := &Filter{circle: a.Circle, keep: a.Keep, Blocks: ascending(a.Blocks), Rows: ascending(a.Rows)}
	spatial := a.Box != nil || a.Circle != nil || a.Blocks != nil || a.Cells != nil
	if spatial && !positions {
		return nil, fmt.Errorf("%w: the vectors have no positions; search them with Rows and Keep alone", poi.ErrBadInput)
	}
	if err := f.limit(a); err != nil {
		return nil, err
	}
	for _, id := range f.Blocks {
		if !grid.Has(id) {
			return nil, fmt.Errorf("%w: the grid of %v km has no block %v; use the keys of the index's own grid", poi.ErrBadInput, grid.SizeKM, id)
		}
	}
	if r := f.Rows; len(r) > 0 && (r[0] < 0 || int(r[len(r)-1]) >= n) {
		return nil, fmt.Errorf("%w: rows %d to %d, want 0 to %d", poi.ErrBadInput, r[0], r[len(r)-1], n-1)
	}
	return f, nil
}

// ascending sorts a copy of a list without what is in it twice; nil stays nil.
func ascending[T cmp.Ordered](list []T) []T {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// limit checks the shapes of the area and bounds them.
func (f *Filter) limit(a *Area) error {
	if b := a.Box; b != nil {
		if err := errors.Join(geo.Valid(b.South, b.West), geo.Valid(b.North, b.East)); err != nil {
			return fmt.Errorf("%w: box %+v: %w", poi.ErrBadInput, *b, err)
		}
		if b.South > b.North {
			return fmt.Errorf("%w: box %+v: south is above north", poi.ErrBadInput, *b)
		}
		f.box = new(geo.Rect(b.South, b.West, b.North, b.East))
		f.Bounds = append(f.Bounds, widen(*f.box))
	}
	if c := a.Circle; c != nil {
		if err := geo.Valid(c.Lat, c.Lng); err != nil {
			return fmt.Errorf("%w: circle %+v: %w", poi.ErrBadInput, *c, err)
		}
		if !(c.Metres >= 0) || math.IsInf(c.Metres, 0) {
			return fmt.Errorf("%w: circle %+v: the radius is not a finite number of at least 0", poi.ErrBadInput, *c)
		}
		angle := s1.Angle(math.Min(math.Pi, c.Metres/geo.EarthRadius*(1+margin)+margin))
		centre := s2.PointFromLatLng(s2.LatLngFromDegrees(c.Lat, c.Lng))
		f.Bounds = append(f.Bounds, widen(s2.CapFromCenterAngle(centre, angle).RectBound()))
	}
	if a.Cells != nil {
		for _, id := range a.Cells {
			if !id.IsValid() {
				return fmt.Errorf("%w: %#x is not an S2 cell", poi.ErrBadInput, uint64(id))
			}
		}
		f.cells = append(s2.CellUnion{}, a.Cells...)
		f.cells.Normalize()
		f.Bounds = append(f.Bounds, widen(f.cells.RectBound()))
	}
	return nil
}

// Holds reports whether a row at a position passes every condition but Blocks and Rows.
// Without positions any will do.
func (f *Filter) Holds(row int32, lat, lng float64) bool {
	if f.circle != nil && geo.Metres(f.circle.Lat, f.circle.Lng, lat, lng) > f.circle.Metres {
		return false
	}
	if f.box != nil {
		p := geo.Rect(lat, lng, lat, lng)
		if !f.box.Lat.Contains(p.Lat.Lo) || !f.box.Lng.Contains(p.Lng.Lo) {
			return false
		}
	}
	if f.cells != nil && !f.cells.ContainsCellID(s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng))) {
		return false
	}
	return f.keep == nil || f.keep(row)
}

// span is a range of slots.
type span struct{ from, to int }

// spans returns the slots that may lie in the area, ascending: those of its rows, or of
// the blocks that touch it.
func (ix *Index) spans(f *Filter) []span {
	switch {
	case f.Rows != nil:
		return ix.spansOfRows(f)
	case f.Blocks == nil && len(f.Bounds) == 0:
		return []span{{0, len(ix.rows)}}
	}
	var out []span
	add := func(block int) {
		b := ix.grid.Bounds(ix.blocks[block])
		rect := geo.Rect(b.South, b.West, b.North, b.East)
		for _, bound := range f.Bounds {
			if !bound.Intersects(rect) {
				return
			}
		}
		from, to := int(ix.starts[block]), int(ix.starts[block+1])
		if last := len(out) - 1; last >= 0 && out[last].to == from {
			out[last].to = to
			return
		}
		out = append(out, span{from, to})
	}
	if f.Blocks != nil {
		for _, id := range f.Blocks {
			if block, ok := slices.BinarySearch(ix.blocks, id); ok {
				add(block)
			}
		}
		return out
	}
	lo, hi := -math.Pi/2, math.Pi/2
	for _, bound := range f.Bounds {
		lo, hi = math.Max(lo, bound.Lat.Lo), math.Min(hi, bound.Lat.Hi)
	}
	if lo > hi {
		return nil
	}
	// Blocks are in order of their row, which is their latitude.
	first := ix.grid.Block(lo*(180/math.Pi)-margin, 0).Row()
	last := ix.grid.Block(hi*(180/math.Pi)+margin, 0).Row()
	block, _ := slices.BinarySearch(ix.blocks, geo.BlockID(int64(first)<<32))
	for ; block < len(ix.blocks) && ix.blocks[block].Row() <= last; block++ {
		add(block)
	}
	return out
}

// spansOfRows returns the slots of the area's rows that lie in its blocks, ascending.
func (ix *Index) spansOfRows(f *Filter) []span {
	var out []span
	for _, row := range f.Rows {
		slot := int(ix.slots[row])
		if f.Blocks != nil {
			if _, in := slices.BinarySearch(f.Blocks, ix.grid.Block(ix.lat[slot], ix.lng[slot])); !in {
				continue
			}
		}
		out = append(out, span{slot, slot + 1})
	}
	slices.SortFunc(out, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return out
}
