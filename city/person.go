package city

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/poi"
)

const (
	// burnIn is how many days people live before the log begins, so that they
	// start with places they know.
	burnIn = 21
	// logShare is the usual share of a lively day's outings that is logged.
	logShare = 0.62
	// livelyRun is the mean number of days in a row on which a person logs.
	livelyRun = 3.5
	// tasteSpread is the standard deviation of the logarithm of a person's taste
	// for a category; bentShare of its variance all categories of a group share.
	tasteSpread, bentShare = 0.9, 0.6
	// habitTaste is how strongly taste acts on what people make a habit of.
	habitTaste = 0.9
	// habitual is how likely a person with the habit keeps it on a day.
	habitual = 0.88
	// rareShare is what those without the habit keep of a slot's chance.
	rareShare = 0.15
)

// person is one inhabitant.
type person struct {
	number  int
	persona persona
	profile poi.Profile
	town    int
	anchor  [purposes]int32 // the one place of a purpose; -1: he chooses each time
	taste   []float64       // by category
	clock   []float64       // by slot: his own hour
	habit   [][7]float64    // by slot and weekday: probability
	rho     float64         // exploring, before it decays
	rate    float64         // chance that an outing is logged
	lively  float64         // share of days on which he logs at all
	trips   []trip
	bent    [groups]float64     // taste that the categories of a group share
	appeal  [attributes]float64 // about 1: likes, -1: dislikes
}

// trip is a stay in another town, days first to last counted from the start.
type trip struct{ first, last, town int }

// person makes inhabitant u.
func (c *City) person(u int) *person {
	rng := stream(c.cfg.Seed, streamPerson, u)
	p := &person{number: u}
	kind := newLottery(rng)
	for i, w := range c.cfg.Personas.weights() {
		kind.offer(i, w)
	}
	p.persona = persona(kind.winner)
	travel := stream(c.cfg.Seed, streamTravel, u)
	p.town = c.settle(travel, p.persona)
	p.likings(stream(c.cfg.Seed, streamLikes, u))
	life := &lives[p.persona]
	p.tastes(rng)
	p.anchors(c, rng)
	p.habits(rng, life)
	p.rho = life.explore * (0.5 + 0.5*rng.Float64())
	p.plan(c, rng, life.travel)
	for i := range p.trips {
		p.trips[i].town = c.destination(travel, p)
	}
	p.calibrate(c, rng)
	p.profile.Gender = []string{"female", "male", "female", "male", ""}[rng.IntN(5)]
	p.profile.AgeBand = life.ages[rng.IntN(len(life.ages))]
	p.profile.Occupation = life.occupations[rng.IntN(len(life.occupations))]
	return p
}

// settle draws the town in which a person lives. Tourists live anywhere but in
// the main town. Of two towns the others all live in the main one; among more
// they live where the places are.
func (c *City) settle(rng *rand.Rand, p persona) int {
	if p != tourist && len(c.towns) == 2 {
		return mainTown
	}
	pick := newLottery(rng)
	for i, t := range c.towns {
		if i != mainTown || p != tourist {
			pick.offer(i, float64(t.quota[0])) // the first category is homes
		}
	}
	return pick.winner
}

// destination draws where a trip goes: tourists to the main town, the others
// anywhere, likelier the bigger and the nearer.
func (c *City) destination(rng *rand.Rand, p *person) int {
	if p.persona == tourist {
		return mainTown
	}
	pick := newLottery(rng)
	for i, t := range c.towns {
		if i != p.town {
			pick.offer(i, float64(t.quota[0])/t.centre.distance(c.towns[p.town].centre))
		}
	}
	return pick.winner
}

// tastes gives a person likes and dislikes, and tags for the strongest likes.
func (p *person) tastes(rng *rand.Rand) {
	p.taste = make([]float64, len(categories))
	for i := range p.taste {
		p.taste[i] = math.Exp(tasteSpread * (p.bent[groupOf[i]] + math.Sqrt(1-bentShare)*rng.NormFloat64()))
	}
	order := make([]int, len(categories))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if p.taste[a] > p.taste[b] {
			return -1
		}
		return 1
	})
	for _, i := range order {
		leaf := categories[i].path[strings.LastIndex(categories[i].path, "> ")+2:]
		if len(p.profile.Tags) < 3 && chosen(i) {
			p.profile.Tags = append(p.profile.Tags, strings.ToLower(leaf))
		}
	}
}

// chosen reports whether people choose among the places of a category: nobody
// is tagged with a liking for his home or his office.
func chosen(category int) bool {
	switch categories[category].serves[0].purpose {
	case atHome, atWork, atStudy, schoolRun, hotel, station, errand, health:
		return false
	}
	return true
}

// anchors gives a person a home and the fixed places of his persona.
func (p *person) anchors(c *City, rng *rand.Rand) {
	for i := range p.anchor {
		p.anchor[i] = -1
	}
	fix := func(purpose purpose, from point, r reach) int32 {
		category := slices.IndexFunc(categories, func(k category) bool { return k.serves[0].purpose == purpose })
		p.anchor[purpose] = c.draw(rng, p.town, category, from, r)
		return p.anchor[purpose]
	}
	home := c.spots[fix(atHome, c.towns[p.town].centre, anywhere)].at
	fix(atWork, home, nearby)
	fix(atStudy, home, nearby)
	fix(schoolRun, home, nearby)
}

// habits gives every slot an hour and, for each weekday, a probability that is
// high or low: a crowd of such people shows the slot's average chance, but each
// of them can be predicted.
func (p *person) habits(rng *rand.Rand, life *life) {
	shift := life.hours * rng.NormFloat64()
	p.clock = make([]float64, len(life.slots))
	p.habit = make([][7]float64, len(life.slots))
	for i, s := range life.slots {
		p.clock[i] = s.hour + shift + 0.25*rng.NormFloat64()
		if s.purpose == schoolRun {
			p.clock[i] = s.hour + 0.1*rng.NormFloat64() // the bell rings for all
		}
		fond := p.fondness(s.purpose)
		for day := range p.habit[i] {
			if !s.on.has(time.Weekday(day)) {
				continue
			}
			chance := min(s.chance*fond, habitual)
			rare := rareShare * chance
			p.habit[i][day] = rare
			if rng.Float64()*(habitual-rare) < chance-rare { // so that the mean is chance
				p.habit[i][day] = habitual
			}
		}
	}
}

// fondness returns the factor of taste on how often a person does a thing, about 1
// on average over people.
func (p *person) fondness(purpose purpose) float64 {
	if functional(purpose) {
		return 1
	}
	sum, weight := 0.0, 0.0
	for _, category := range servers[purpose] {
		for _, s := range categories[category].serves {
			if s.purpose == purpose {
				sum += s.weight * math.Log(p.taste[category])
				weight += s.weight
			}
		}
	}
	const spread = habitTaste * tasteSpread
	return math.Exp(habitTaste*sum/weight - spread*spread*(1+bentShare)/4)
}

// plan puts trips into the calendar, at least five days apart.
func (p *person) plan(c *City, rng *rand.Rand, travel float64) {
	if rng.Float64() >= travel {
		return
	}
	count := 1
	if p.persona == tourist {
		count = 1 + c.cfg.Days/30
	}
	part := c.cfg.Days / count
	for i := range count {
		length := min(2+rng.IntN(3), part)
		if p.persona == tourist {
			length = min(3+rng.IntN(4), part)
		}
		room := max(1, part-length-5)
		first := i*part + min(4, part-length) + rng.IntN(room)
		if last := first + length - 1; last < c.cfg.Days {
			p.trips = append(p.trips, trip{first: first, last: last})
		}
	}
}

// calibrate sets how often a person logs so that he reaches the wanted number
// of actions on average, spread over lively days.
func (p *person) calibrate(c *City, rng *rand.Rand) {
	spread := math.Exp(0.3 * rng.NormFloat64())
	want := float64(c.cfg.Visits) * min(max(spread, 0.6), 1.8)
	home, away := 0.0, 0.0
	const cutShort = 0.35 / livelyRun // of the last of a run of lively days, about this is lost
	for day := range c.cfg.Days {
		if _, ok := p.onTrip(day); ok {
			for _, s := range awaySlots {
				away += s.chance * logWeight(s.purpose)
			}
			continue
		}
		weekday := c.start.AddDate(0, 0, day).Weekday()
		for i, s := range lives[p.persona].slots {
			home += p.habit[i][weekday] * logWeight(s.purpose)
		}
	}
	home *= 1 - cutShort
	p.lively = min(max((want/logShare-away)/max(home, 1), 0.15), 0.92)
	p.rate = min(want/(p.lively*home+away), 1)
}

// comingTrip returns the trip the day is just before.
func (p *person) comingTrip(day int) (trip, bool) {
	for _, t := range p.trips {
		if day < t.first && day >= t.first-lookAheadDays {
			return t, true
		}
	}
	return trip{}, false
}

// onTrip returns the trip the day belongs to.
func (p *person) onTrip(day int) (trip, bool) {
	for _, t := range p.trips {
		if day >= t.first && day <= t.last {
			return t, true
		}
	}
	return trip{}, false
}

// logWeight is how willingly people log a purpose: home is told less often than
// a night out.
func logWeight(p purpose) float64 {
	switch p {
	case atHome:
		return 0.85
	case atWork, atStudy, hotel:
		return 0.8
	}
	return 1
}
