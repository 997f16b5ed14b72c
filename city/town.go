package city

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// Shape of a town.
const (
	placesPerQuarter = 45
	minQuarters      = 10
	maxQuarters      = 4000
	// tailExponent is the exponent of the popularity tail: the place of rank r
	// in its category attracts r^-tailExponent.
	tailExponent = 0.85
	// nearKM is added to every distance before it damps a choice, so that next
	// door and round the corner are alike (the r0 of truncated power laws of
	// human mobility, Gonzalez, Hidalgo and Barabasi 2008).
	nearKM = 0.5
)

// point is a place on the flat map, kilometres east and north of the centre.
type point struct{ x, y float64 }

// distance returns kilometres.
func (p point) distance(q point) float64 {
	dx, dy := p.x-q.x, p.y-q.y
	return math.Sqrt(dx*dx + dy*dy)
}

// quarter is a neighbourhood: a cluster of places of one character.
type quarter struct {
	name   string
	kind   kind
	at     point
	sigma  float64             // standard deviation of its places, km
	weight float64             // how many places it gets beside others of its kind
	lean   [attributes]float32 // factor on the base rates of attributes
}

// spot is what the city knows of a place beyond poi.Place. There may be ten
// million of them: 32 bytes each.
type spot struct {
	at       point
	attract  float64 // relative to its category and town
	quarter  uint16  // of its town
	traits   traits
	category uint8
	town     uint8
	shift    int8 // opening hours later than the category's, half hours
}

// shelf holds the places of one category in one quarter, at least one.
type shelf struct {
	at      point
	mass    float64 // sum of attract
	quarter int
	places  []int32
}

// town is one of the settlements.
type town struct {
	name     string
	centre   point
	radius   float64 // km
	quarters []quarter
	shelves  [][]shelf // by category, in the order of quarters
	quota    []int     // places by category
	// density holds, by category, running sums over the quarters of how many of
	// its places each gets; a draw is then a binary search.
	density [][]float64
}

// quarterRing says where quarters of a kind lie, as shares of the radius, and
// what share of all quarters they are.
var quarterRing = [kinds]struct{ inner, outer, share float64 }{
	centre: {0, 0.12, 0.08}, residential: {0.15, 1, 0.47}, business: {0.08, 0.6, 0.17},
	nightlife: {0.05, 0.4, 0.11}, green: {0.25, 1, 0.17},
}

// newTown lays out the quarters of a town.
func newTown(rng *rand.Rand, names *namer, p plan) *town {
	at, radius := p.at, p.radius
	t := &town{centre: at, radius: radius, shelves: make([][]shelf, len(categories))}
	n := min(max(p.places/placesPerQuarter, minQuarters), maxQuarters)
	for k := range kinds {
		ring := quarterRing[k]
		for range max(1, int(math.Round(ring.share*float64(n)))) {
			angle := 2 * math.Pi * rng.Float64()
			// Uniform over the area of the ring, not over its radius.
			r := radius * math.Sqrt(ring.inner*ring.inner+rng.Float64()*(ring.outer*ring.outer-ring.inner*ring.inner))
			t.quarters = append(t.quarters, quarter{
				name: names.neighbourhood(), kind: k,
				at:     point{at.x + r*math.Cos(angle), at.y + r*math.Sin(angle)},
				sigma:  radius * (0.025 + 0.04*rng.Float64()),
				weight: math.Exp(0.5 * rng.NormFloat64()),
			})
		}
	}
	for c := range t.shelves {
		t.shelves[c] = make([]shelf, len(t.quarters))
		sums, sum := make([]float64, len(t.quarters)), 0.0
		for i, q := range t.quarters {
			t.shelves[c][i].at, t.shelves[c][i].quarter = q.at, i
			sum += q.weight * categories[c].near[q.kind]
			sums[i] = sum
		}
		t.density = append(t.density, sums)
	}
	return t
}

// quarterFor draws the quarter of a new place of the category.
func (t *town) quarterFor(rng *rand.Rand, category int) int {
	sums := t.density[category]
	x := rng.Float64() * sums[len(sums)-1]
	return min(sort.SearchFloat64s(sums, x), len(sums)-1)
}

// quota deals n places out to the categories by share, at least one to each.
// n is at least len(categories).
func quota(n int) []int {
	total := 0.0
	for _, c := range categories {
		total += c.share
	}
	out := make([]int, len(categories))
	free, dealt, carry := n-len(categories), 0, 0.0
	for i, c := range categories {
		carry += float64(free) * c.share / total
		extra := int(math.Round(carry)) - dealt
		dealt += extra
		out[i] = 1 + extra
	}
	return out
}

// reach says how fast distance damps a choice: the exponent of a power law.
type reach int

const (
	anywhere reach = 0
	across   reach = 1 // a workplace, an old favourite: worth a journey
	nearby   reach = 2 // a first visit: mostly round the corner
)

// damp returns (d + nearKM)^-reach.
func (r reach) damp(d float64) float64 {
	switch r {
	case anywhere:
		return 1
	case across:
		return 1 / (d + nearKM)
	}
	return 1 / ((d + nearKM) * (d + nearKM))
}

// tidy drops empty shelves, so that a draw looks at none in vain.
func (t *town) tidy() {
	for c := range t.shelves {
		t.shelves[c] = slices.Clip(slices.DeleteFunc(t.shelves[c], func(s shelf) bool { return len(s.places) == 0 }))
	}
}

// shelfAt returns the shelf of a category in a quarter, which must not be empty.
func (t *town) shelfAt(category, quarter int) *shelf {
	i, _ := slices.BinarySearchFunc(t.shelves[category], quarter, func(s shelf, q int) int { return s.quarter - q })
	return &t.shelves[category][i]
}

// draw picks a place of the category, likelier the more attractive and the
// nearer to from: a quarter first, then a place in it.
func (c *City) draw(rng *rand.Rand, townID, category int, from point, r reach) int32 {
	shelves := c.towns[townID].shelves[category]
	total := 0.0
	for i := range shelves {
		total += shelves[i].mass * r.damp(shelves[i].at.distance(from))
	}
	// Weights are computed twice rather than kept: a town may have thousands of
	// quarters, and most draws end early in the second pass.
	x, last := rng.Float64()*total, len(shelves)-1
	for i := range last {
		if x -= shelves[i].mass * r.damp(shelves[i].at.distance(from)); x < 0 {
			last = i
			break
		}
	}
	inner := newLottery(rng)
	for _, p := range shelves[last].places {
		spot := &c.spots[p]
		inner.offer(int(p), spot.attract*r.damp(spot.at.distance(from)))
	}
	return int32(inner.winner)
}

// lottery draws one of a stream of weighted candidates without a buffer.
type lottery struct {
	rng    *rand.Rand
	total  float64
	winner int // -1 before any candidate of positive weight
}

func newLottery(rng *rand.Rand) lottery { return lottery{rng: rng, winner: -1} }

// offer enters a candidate; it replaces the winner with probability
// weight/total, which makes every candidate win in proportion to its weight.
func (l *lottery) offer(candidate int, weight float64) {
	if weight <= 0 {
		return
	}
	l.total += weight
	if l.rng.Float64()*l.total < weight {
		l.winner = candidate
	}
}
