// Package city is a seeded simulated city: two towns with neighbourhoods and
// places, people who live there, and the log of where they go. It gives the
// quickstart and the tests data with the structure of real check-ins.
//
// Vocabulary. A quarter is a neighbourhood of one kind; a persona is a way of
// life (office worker, tourist, ...); a slot is an hour of the persona's week
// with a purpose (lunch, sport, ...); an outing is one thing done on one day,
// logged or not. A person returns to places he knows by how often he was there,
// how far they are and whether they belong to this slot, or explores with
// probability rho*S^-gamma, S places known (Song, Koren, Wang and Barabasi
// 2010), damped by distance and drawn by a Zipf tail of popularity. Nobody
// enters a closed place. Some people travel to the other town, 140 km away, and
// look up places there before they leave.
//
// Promises. Everything is a pure function of Config: the same seed gives the
// same bytes on every machine of one processor family (others may round a
// distance differently in the last bit). A user's actions depend on Config and his number
// alone, so that they can be made in any order and apart. A City is safe for
// concurrent use once made.
//
// Failure. New returns an error that wraps poi.ErrBadInput for a setting out of
// its range; Each returns what its callback or the context returns.
package city

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
	_ "time/tzdata" // a machine without a zone database must give the same log

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

const (
	mainTown = 0
	farTown  = 1
	// farKM is the distance between the towns: out of reach of a day's errands
	// and beyond any sensible home region.
	farKM = 140
	// farShare is the far town's share of the places, farScale of the radius.
	farShare, farScale = 0.18, 0.6
)

// City is a built city. Places is read-only.
type City struct {
	Places []poi.Place // the catalog; a place's position is its number

	cfg   Config
	start time.Time // first local midnight, in UTC
	zone  *time.Location
	spots []spot // parallel to Places
	towns [2]*town
}

// Action types of the log, the commonest first.
const (
	TypeArrive   = "arrive"
	TypeNavigate = "navigate"
	TypeClick    = "click"
	TypeSearch   = "search"
)

// New builds the city's places; people are made when asked for. The error wraps
// poi.ErrBadInput.
func New(cfg Config) (*City, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	start, zone, err := cfg.calendar()
	if err != nil {
		return nil, err
	}
	c := &City{cfg: cfg, start: start, zone: zone}
	rng := stream(cfg.Seed, streamCity, 0)
	names := &namer{rng: rng, used: map[string]bool{}}
	far := int(farShare * float64(cfg.POIs))
	angle := 2 * math.Pi * rng.Float64()
	c.towns[mainTown] = newTown(rng, names, point{}, cfg.RadiusKM, cfg.POIs-far)
	c.towns[farTown] = newTown(rng, names, point{farKM * math.Cos(angle), farKM * math.Sin(angle)},
		farScale*cfg.RadiusKM, far)
	c.fill(rng, names, mainTown, cfg.POIs-far)
	c.fill(rng, names, farTown, far)
	return c, nil
}

// Kinds of random stream; each person has one for who he is and one for what he
// does, so that a change of behaviour does not move anybody's home.
const (
	streamCity = iota
	streamPerson
	streamWalk
)

// stream returns the random stream of one kind for one number, unrelated to
// every other (the mixing is splitmix64).
func stream(seed, kind uint64, number int) *rand.Rand {
	mix := func(z uint64) uint64 {
		z += 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return z ^ z>>31
	}
	return rand.New(rand.NewPCG(mix(seed), mix(mix(seed^kind<<56)+uint64(number))))
}

// fill adds n places to a town, in mixed order so that a place's number says
// nothing of its category or popularity.
func (c *City) fill(rng *rand.Rand, names *namer, townID, n int) {
	type draft struct{ category, rank int }
	var drafts []draft
	for category, count := range quota(n) {
		for rank := range count {
			drafts = append(drafts, draft{category, rank})
		}
	}
	rng.Shuffle(len(drafts), func(i, j int) { drafts[i], drafts[j] = drafts[j], drafts[i] })
	t := c.towns[townID]
	for _, d := range drafts {
		qi := t.quarterFor(rng, d.category)
		q := &t.quarters[qi]
		s := spot{
			at:       point{q.at.x + q.sigma*rng.NormFloat64(), q.at.y + q.sigma*rng.NormFloat64()},
			attract:  math.Pow(float64(d.rank+1), -tailExponent),
			category: uint8(d.category), town: uint8(townID),
			shift: int16(30 * (rng.IntN(3) - 1)),
		}
		lat, lng := c.coordinates(s.at)
		number := int32(len(c.Places))
		c.Places = append(c.Places, poi.Place{
			ID: fmt.Sprintf("p%05d", number), Name: names.place(categories[d.category].names, q.name),
			Category: categories[d.category].path, Lat: lat, Lng: lng,
		})
		c.spots = append(c.spots, s)
		shelf := &t.shelves[d.category][qi]
		shelf.places = append(shelf.places, number)
		shelf.mass += s.attract
	}
}

// coordinates turns a point of the flat map into degrees, rounded to about
// 0.1 m.
func (c *City) coordinates(p point) (lat, lng float64) {
	perKM := 180 / math.Pi / (geo.EarthRadius / 1000)
	lat = c.cfg.Lat + p.y*perKM
	lng = c.cfg.Lng + p.x*perKM/math.Cos(c.cfg.Lat*math.Pi/180)
	lng = math.Mod(lng+540, 360) - 180
	return math.Round(lat*1e6) / 1e6, math.Round(lng*1e6) / 1e6
}

// Users returns how many people there are; they are numbered from 0.
func (c *City) Users() int { return c.cfg.Users }

// UserID returns the id a person has in the log.
func (c *City) UserID(u int) string { return fmt.Sprintf("u%05d", u) }

// OpenAt reports whether a place, by position in Places, is open at a local
// wall-clock time; only weekday, hour and minute of local are read.
func (c *City) OpenAt(place int, local time.Time) bool {
	s := &c.spots[place]
	return openAt(categories[s.category].hours, int(s.shift), local.Weekday(), local.Hour()*60+local.Minute())
}

// Profile returns what a log would know of user u, in [0, Users()).
func (c *City) Profile(u int) poi.Profile { return c.person(u).profile }

// Actions returns the log of user u, in [0, Users()): strictly chronological in
// UTC and in local time. He never stands at a closed place, though on the eve of a
// trip he may look one up from home. Action.Seq orders the actions
// of the whole city as Each yields them.
func (c *City) Actions(u int) []poi.Action { return newWalk(c, c.person(u)).run() }

// Each yields every action in user order. It stops at the first error of yield,
// which it returns as it is, and when ctx is done. The action may be kept.
func (c *City) Each(ctx context.Context, yield func(*poi.Action) error) error {
	for u := range c.cfg.Users {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("city: stopped before user %d of %d: %w", u, c.cfg.Users, err)
		}
		actions := c.Actions(u)
		for i := range actions {
			if err := yield(&actions[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
