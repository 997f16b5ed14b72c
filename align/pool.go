package align

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// candidate is a place that could stand for a preference at some moment. Its
// weight is sqrt(1 + training visits) * 2^(-distance / near), three times that for
// a place that was shown in the request or visited before: near, popular, and
// likely to be ranked high already, because moving what nobody would ever be shown
// teaches nothing.
type candidate struct {
	poi    int32
	weight float64
}

const (
	knownBonus  = 3
	maxVisited  = 256     // of the user's last visits
	defaultPool = 1 << 10 // a guess of the size, for the allocation
)

// pools finds the candidates of requests.
type pools struct {
	d      *poi.Dataset
	near   float64
	grid   geo.Grid
	blocks map[geo.BlockID][]int32 // open places of a block, ascending
	pull   []float64               // sqrt(1 + training visits), by place
}

func newPools(d *poi.Dataset, near float64) *pools {
	// A block is a little wider than near, so that a block and its neighbours hold
	// everything that near.
	p := &pools{d: d, near: near, grid: geo.Grid{SizeKM: 1.02 * near / 1000}, blocks: map[geo.BlockID][]int32{}, pull: make([]float64, len(d.Places))}
	for i := range d.Places {
		if !d.Places[i].Closed {
			b := p.grid.Block(d.Places[i].Lat, d.Places[i].Lng)
			p.blocks[b] = append(p.blocks[b], int32(i))
		}
	}
	for u := range d.Users {
		for _, v := range d.Users[u].Visits {
			if v.Tag == poi.Train {
				p.pull[v.POI]++
			}
		}
	}
	for i, n := range p.pull {
		p.pull[i] = math.Sqrt(1 + n)
	}
	return p
}

// check returns an error for a request that the data set cannot hold.
func (p *pools) check(q *poi.Request) error {
	if q.User < 0 || int(q.User) >= len(p.d.Users) {
		return fmt.Errorf("request %s: %w: %d of %d", q.ID, poi.ErrUnknownUser, q.User, len(p.d.Users))
	}
	if n := len(p.d.Users[q.User].Visits); q.Pos < 0 || int(q.Pos) > n {
		return fmt.Errorf("request %s: %w: position %d of %d visits; was the feed made with this data set?", q.ID, poi.ErrBadInput, q.Pos, n)
	}
	for _, o := range q.Options {
		if o.POI < 0 || int(o.POI) >= len(p.d.Places) {
			return fmt.Errorf("request %s: option: %w: %d of %d", q.ID, poi.ErrUnknownPOI, o.POI, len(p.d.Places))
		}
	}
	return nil
}

// of returns the open candidates of a request by place: what was shown in it, what
// the user visited before, and everything within near metres of him.
func (p *pools) of(q *poi.Request) []candidate {
	lat, lng, here := whereIs(p.d, q)
	known := map[int32]bool{}
	for _, o := range q.Options {
		known[o.POI] = true
	}
	visits := p.d.Users[q.User].Visits[:q.Pos]
	for _, v := range visits[max(0, len(visits)-maxVisited):] {
		known[v.POI] = true
	}
	out := make([]candidate, 0, defaultPool)
	add := func(id int32, bonus float64) {
		w := p.pull[id] * bonus
		if here {
			w *= math.Exp2(-geo.MetresApprox(lat, lng, p.d.Places[id].Lat, p.d.Places[id].Lng) / p.near)
		}
		// A place on another continent would weigh exactly nothing.
		out = append(out, candidate{id, math.Max(w, math.SmallestNonzeroFloat32)})
	}
	for id := range known {
		if !p.d.Places[id].Closed {
			add(id, knownBonus)
		}
	}
	if here {
		home := p.grid.Block(lat, lng)
		for _, b := range append(p.grid.Neighbours(home), home) {
			for _, id := range p.blocks[b] {
				if !known[id] && geo.MetresApprox(lat, lng, p.d.Places[id].Lat, p.d.Places[id].Lng) <= p.near {
					add(id, 1)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Compare(a.poi, b.poi) })
	return out
}

// draw returns up to n distinct places, each draw by weight among those left
// (Efraimidis and Spirakis 2006: the smallest of exponentials over weights).
func draw(rng *rand.Rand, from []candidate, n int) []int32 {
	type keyed struct {
		poi int32
		key float64
	}
	keys := make([]keyed, len(from))
	for i, c := range from {
		keys[i] = keyed{c.poi, rng.ExpFloat64() / c.weight}
	}
	slices.SortFunc(keys, func(a, b keyed) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.poi, b.poi)) })
	out := make([]int32, min(n, len(keys)))
	for i := range out {
		out[i] = keys[i].poi
	}
	return out
}
