package city

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	mainTown = 0
	// farKM is the distance of the second town from the main one: out of reach of
	// a day's errands and beyond any sensible home region.
	farKM = 140
	// farShare is the second town's share of the places if there are two, farScale
	// of the radius. Every further town takes moreShare from the main one, down to
	// leastMain.
	farShare, farScale   = 0.18, 0.6
	moreShare, leastMain = 0.04, 0.5
	// nearestKM and farthestKM bound the way from the main town to another; apart
	// from that there are at least nearestKM of open country between two towns.
	nearestKM, farthestKM = 60, 400
	// leastScale is the smallest town's radius beside the main town's.
	leastScale = 0.3
	// layoutTries is how many sites are considered for a town.
	layoutTries = 64
)

// plan says where a town will be and how big.
type plan struct {
	at     point
	radius float64 // km
	places int
}

// layOut plans the towns. Those beyond the main one share places by Zipf's law;
// the second lies farKM away, the others where there is room.
func layOut(rng *rand.Rand, cfg Config) []plan {
	others := cfg.Towns - 1
	rest := min(farShare+moreShare*float64(others-1), 1-leastMain)
	harmonic := 0.0
	for k := range others {
		harmonic += 1 / float64(k+1)
	}
	plans := make([]plan, cfg.Towns)
	left := cfg.POIs
	for k := range others {
		share := rest / harmonic / float64(k+1)
		p := &plans[k+1]
		p.places = max(int(share*float64(cfg.POIs)), len(categories)+minQuarters)
		p.radius = cfg.RadiusKM * farScale * max(math.Sqrt(1/float64(k+1)), leastScale/farScale)
		left -= p.places
	}
	plans[mainTown] = plan{radius: cfg.RadiusKM, places: left}
	angle := 2 * math.Pi * rng.Float64()
	plans[1].at = point{farKM * math.Cos(angle), farKM * math.Sin(angle)}
	for k := 2; k < len(plans); k++ {
		plans[k].at = site(rng, plans[:k], plans[k].radius)
	}
	return plans
}

// site finds room for a town of the given radius: the first site with open
// country around it, or else the one of layoutTries with most.
func site(rng *rand.Rand, built []plan, radius float64) point {
	var best point
	most := math.Inf(-1)
	nearest := nearestKM + built[mainTown].radius + radius
	for range layoutTries {
		angle := 2 * math.Pi * rng.Float64()
		r := nearest + (farthestKM-nearest)*rng.Float64()
		at := point{r * math.Cos(angle), r * math.Sin(angle)}
		room := math.Inf(1)
		for _, b := range built {
			room = min(room, at.distance(b.at)-b.radius-radius)
		}
		if room >= nearestKM {
			return at
		}
		if room > most {
			best, most = at, room
		}
	}
	return best
}

// townEnds are the second halves of the towns' names.
var townEnds = strings.Fields(`ford ton bury mouth stead wick ham ley bourne haven`)

// nameTowns gives each town a name of its own.
func (c *City) nameTowns() {
	rng := stream(c.cfg.Seed, streamTownName, 0)
	for i, t := range c.towns {
		for t.name == "" || slices.ContainsFunc(c.towns[:i], func(o *town) bool { return o.name == t.name }) {
			t.name = nouns[rng.IntN(len(nouns))] + townEnds[rng.IntN(len(townEnds))]
		}
	}
}

// Town describes one of the towns.
type Town struct {
	Name     string
	Lat, Lng float64 // of its centre, degrees
	RadiusKM float64
	Places   int
}

// Towns describes the towns, the main one first.
func (c *City) Towns() []Town {
	out := make([]Town, len(c.towns))
	for i, t := range c.towns {
		out[i] = Town{Name: t.name, RadiusKM: t.radius}
		out[i].Lat, out[i].Lng = c.coordinates(t.centre)
		for _, n := range t.quota {
			out[i].Places += n
		}
	}
	return out
}

// townOf returns the town whose centre is nearest.
func (c *City) townOf(p point) int {
	best := mainTown
	for i, t := range c.towns {
		if p.distance(t.centre) < p.distance(c.towns[best].centre) {
			best = i
		}
	}
	return best
}
