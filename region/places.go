package region

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// blockKM is the edge of the blocks that Places sorts by: small enough that a busy
// block of a large city stays in the thousands.
const blockKM = 1

// Places finds the places of a catalog by position. A slot is a position in its own
// order (by block, then by place), a place one in the catalog's.
type Places struct {
	grid     geo.Grid
	places   []int32       // by slot
	lat, lng []float64     // by slot
	blocks   []geo.BlockID // those with places, ascending
	starts   []int32       // first slot of each block, and the number of slots
	rows     []gridRow     // those with blocks, ascending
}

// gridRow is a row of the grid with its blocks.
type gridRow struct {
	row      int
	middle   float64 // its latitude, degrees
	from, to int     // positions in blocks
}

// Near is a place and how far it is.
type Near struct {
	POI    int32 // position in the catalog
	Metres float64
}

// NewPlaces sorts a catalog by position; closed places are in it like all others. A
// place off the Earth gives poi.ErrBadInput.
func NewPlaces(catalog []poi.Place) (*Places, error) {
	n := len(catalog)
	p := &Places{grid: geo.Grid{SizeKM: blockKM}, places: make([]int32, n), lat: make([]float64, n), lng: make([]float64, n)}
	of := make([]geo.BlockID, n)
	for i := range catalog {
		if err := geo.Valid(catalog[i].Lat, catalog[i].Lng); err != nil {
			return nil, fmt.Errorf("place %d (%s): %w: %w", i, catalog[i].ID, poi.ErrBadInput, err)
		}
		p.places[i], of[i] = int32(i), p.grid.Block(catalog[i].Lat, catalog[i].Lng)
	}
	slices.SortFunc(p.places, func(a, b int32) int { return cmp.Or(cmp.Compare(of[a], of[b]), cmp.Compare(a, b)) })
	for slot, i := range p.places {
		p.lat[slot], p.lng[slot] = catalog[i].Lat, catalog[i].Lng
		if slot > 0 && of[p.places[slot-1]] == of[i] {
			continue
		}
		if last := len(p.rows) - 1; last < 0 || p.rows[last].row != of[i].Row() {
			middle, _ := p.grid.Centre(of[i])
			p.rows = append(p.rows, gridRow{row: of[i].Row(), middle: middle, from: len(p.blocks)})
		}
		p.blocks, p.starts = append(p.blocks, of[i]), append(p.starts, int32(slot))
		p.rows[len(p.rows)-1].to = len(p.blocks)
	}
	p.starts = append(p.starts, int32(n))
	return p, nil
}

// Len returns the number of places.
func (p *Places) Len() int { return len(p.places) }

// Within returns the places of an area, ascending.
func (p *Places) Within(a *Area) []int32 {
	var out []int32
	for _, bound := range a.Bounds() {
		p.visit(bound, func(slot int) {
			if a.Contains(p.lat[slot], p.lng[slot]) {
				out = append(out, p.places[slot])
			}
		})
	}
	slices.Sort(out) // two bounds may share a block
	return slices.Compact(out)
}

// Nearest returns the k places nearest to a point that keep accepts (all if nil), the
// nearest first, the earlier in the catalog first where two are equally far; fewer if
// there are no more. keep is asked at most once a place.
func (p *Places) Nearest(lat, lng float64, k int, keep func(place int32) bool) ([]Near, error) {
	if err := position("lat", "lng", lat, lng); err != nil {
		return nil, err
	}
	if k < 1 {
		return nil, wrong("k", "%d; ask for at least 1 place", k)
	}
	const first = 250.0 // metres: a few blocks, so that a city centre is not sorted whole
	var out []Near
	for done, reach := -1.0, first; ; done, reach = reach, 2*reach {
		whole := reach > math.Pi*geo.EarthRadius
		for _, bound := range split(Circle{lat, lng, reach}.bound()) {
			p.visit(bound, func(slot int) {
				metres := geo.Metres(lat, lng, p.lat[slot], p.lng[slot])
				if metres > done && (metres <= reach || whole) && (keep == nil || keep(p.places[slot])) {
					out = append(out, Near{p.places[slot], metres})
				}
			})
		}
		if len(out) < k && !whole {
			continue
		}
		slices.SortFunc(out, func(a, b Near) int { return cmp.Or(cmp.Compare(a.Metres, b.Metres), cmp.Compare(a.POI, b.POI)) })
		return out[:min(k, len(out))], nil
	}
}

// visit calls do for every slot of the blocks that a box touches.
func (p *Places) visit(b geo.Bounds, do func(slot int)) {
	first, last := p.grid.Block(b.South, 0).Row(), p.grid.Block(b.North, 0).Row()
	east := math.Min(b.East, math.Nextafter(180, 0)) // a grid takes 180 for -180
	at := sort.Search(len(p.rows), func(i int) bool { return p.rows[i].row >= first })
	for ; at < len(p.rows) && p.rows[at].row <= last; at++ {
		r := p.rows[at]
		from, to := p.grid.Block(r.middle, b.West), p.grid.Block(r.middle, east)
		i, _ := slices.BinarySearch(p.blocks[r.from:r.to], from)
		for i += r.from; i < r.to && p.blocks[i] <= to; i++ {
			for slot := p.starts[i]; slot < p.starts[i+1]; slot++ {
				do(int(slot))
			}
		}
	}
}
