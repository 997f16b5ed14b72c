package vector

import (
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

// geometry is an Area made ready for one search.
type geometry struct {
	box    *s2.Rect
	circle *Circle
	cells  s2.CellUnion
	keep   func(row int32) bool
	// bounds each hold every point that passes, with room for rounding.
	bounds []s2.Rect
}

// margin widens bounds: far above rounding, about 6 mm on the ground.
const margin = 1e-9

func widen(r s2.Rect) s2.Rect {
	return s2.Rect{Lat: r1.Interval{Lo: r.Lat.Lo - margin, Hi: r.Lat.Hi + margin}, Lng: r.Lng.Expanded(margin)}
}

// prepare checks an Area.
func (ix *Index) prepare(a *Area) (*geometry, error) {
	g := &geometry{circle: a.Circle, keep: a.Keep}
	spatial := a.Box != nil || a.Circle != nil || a.Blocks != nil || a.Cells != nil
	if spatial && ix.lat == nil {
		return nil, fmt.Errorf("%w: the vectors have no positions; search them with Keep alone", poi.ErrBadInput)
	}
	if b := a.Box; b != nil {
		if err := errors.Join(geo.Valid(b.South, b.West), geo.Valid(b.North, b.East)); err != nil {
			return nil, fmt.Errorf("%w: box %+v: %w", poi.ErrBadInput, *b, err)
		}
		if b.South > b.North {
			return nil, fmt.Errorf("%w: box %+v: south is above north", poi.ErrBadInput, *b)
		}
		g.box = new(geo.Rect(b.South, b.West, b.North, b.East))
		g.bounds = append(g.bounds, widen(*g.box))
	}
	if c := a.Circle; c != nil {
		if err := geo.Valid(c.Lat, c.Lng); err != nil {
			return nil, fmt.Errorf("%w: circle %+v: %w", poi.ErrBadInput, *c, err)
		}
		if !(c.Metres >= 0) || math.IsInf(c.Metres, 0) {
			return nil, fmt.Errorf("%w: circle %+v: the radius is not a finite number of at least 0", poi.ErrBadInput, *c)
		}
		angle := s1.Angle(math.Min(math.Pi, c.Metres/geo.EarthRadius*(1+margin)+margin))
		centre := s2.PointFromLatLng(s2.LatLngFromDegrees(c.Lat, c.Lng))
		g.bounds = append(g.bounds, widen(s2.CapFromCenterAngle(centre, angle).RectBound()))
	}
	if a.Cells != nil {
		for _, id := range a.Cells {
			if !id.IsValid() {
				return nil, fmt.Errorf("%w: %#x is not an S2 cell", poi.ErrBadInput, uint64(id))
			}
		}
		g.cells = append(s2.CellUnion{}, a.Cells...)
		g.cells.Normalize()
		g.bounds = append(g.bounds, widen(g.cells.RectBound()))
	}
	for _, id := range a.Blocks {
		if !ix.grid.Has(id) {
			return nil, fmt.Errorf("%w: the grid of %v km has no block %v; use the keys of the index's own grid", poi.ErrBadInput, ix.grid.SizeKM, id)
		}
	}
	return g, nil
}

// holds reports whether the row stored at slot passes every condition.
func (ix *Index) holds(g *geometry, slot int) bool {
	if g.circle != nil && geo.Metres(g.circle.Lat, g.circle.Lng, ix.lat[slot], ix.lng[slot]) > g.circle.Metres {
		return false
	}
	if g.box != nil {
		p := geo.Rect(ix.lat[slot], ix.lng[slot], ix.lat[slot], ix.lng[slot])
		if !g.box.Lat.Contains(p.Lat.Lo) || !g.box.Lng.Contains(p.Lng.Lo) {
			return false
		}
	}
	if g.cells != nil && !g.cells.ContainsCellID(s2.CellIDFromLatLng(s2.LatLngFromDegrees(ix.lat[slot], ix.lng[slot]))) {
		return false
	}
	return g.keep == nil || g.keep(ix.rows[slot])
}

// span is a range of slots.
type span struct{ from, to int }

// spans returns the slots of the blocks that touch the area, ascending.
func (ix *Index) spans(a *Area, g *geometry) []span {
	var out []span
	add := func(block int) {
		id := ix.blocks[block]
		b := ix.grid.Bounds(id)
		rect := geo.Rect(b.South, b.West, b.North, b.East)
		for _, bound := range g.bounds {
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
	switch {
	case a.Blocks != nil:
		wanted := slices.Clone(a.Blocks)
		slices.Sort(wanted)
		for _, id := range slices.Compact(wanted) {
			if block, ok := slices.BinarySearch(ix.blocks, id); ok {
				add(block)
			}
		}
	case len(g.bounds) > 0:
		lo, hi := -math.Pi/2, math.Pi/2
		for _, bound := range g.bounds {
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
	default:
		out = append(out, span{0, len(ix.rows)})
	}
	return out
}
