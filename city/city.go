// Package city is a seeded simulated city, or several: towns with neighbourhoods
// and places, people who live there, the log of where they go, and what they click
// of what is recommended to them. It gives the quickstart and the tests data with
// the structure of real logs, and judges of recommendations the truth that real
// logs never hold: the probability of every click.
//
// Vocabulary. A quarter is a neighbourhood of one kind; a persona is a way of
// life (office worker, tourist, ...); a slot is an hour of the persona's week
// with a purpose (lunch, sport, ...); an outing is one thing done on one day,
// logged or not. A person returns to places he knows by how often he was there,
// how far they are and whether they belong to this slot, or explores with
// probability rho*S^-gamma, S places known (Song, Koren, Wang and Barabasi
// 2010), damped by distance and drawn by a Zipf tail of popularity. Nobody
// enters a closed place. Some people travel to another town, 60 to 400 km away,
// and look up places there before they leave.
//
// An attribute is a hidden quality of a place (a hot spring, live music, ...). The
// category hardly tells it; reviews nearly always do and pictures often. Everybody
// likes two or three attributes: he enters places that have them sooner, returns
// to them more and clicks them more. A request is one opening of the app: a first
// stage that knows nothing of hidden tastes shows 8 to 14 places, and the person
// clicks each with a probability that City.Relevance documents, damped by its
// position.
//
// Promises. Everything is a pure function of Config: the same seed gives the
// same bytes on every machine of one processor family (others may round a
// distance differently in the last bit). A user's actions and impressions depend
// on Config and his number alone, so that they can be made in any order and
// apart; people and the details of places are made when asked for, so that
// millions of either need no memory beyond the catalog. Without their clicks,
// impressions leave the log as it is. A City is safe for concurrent use once made.
//
// Failure. New returns an error that wraps poi.ErrBadInput for a setting out of
// its range; Each returns what its callback or the context returns.
package city

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
	_ "time/tzdata" // a machine without a zone database must give the same log

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// City is a built city. Places is read-only.
type City struct {
	Places []poi.Place // the catalog; a place's position is its number

	cfg   Config
	start time.Time // first local midnight, in UTC
	zone  *time.Location
	spots []spot  // parallel to Places
	towns []*town // the main one first
	crowd crowd
	last  atomic.Pointer[view] // what Relevance was asked last
}

// Action types of the log.
const (
	TypeArrive    = "arrive"
	TypeNavigate  = "navigate"
	TypeClick     = "click"
	TypeSearch    = "search"
	TypeFavourite = "favourite"
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
	c := &City{cfg: cfg, start: start, zone: zone, Places: make([]poi.Place, 0, cfg.POIs), spots: make([]spot, 0, cfg.POIs)}
	rng := stream(cfg.Seed, streamCity, 0)
	names := &namer{rng: rng, used: make(map[uint64]struct{}, cfg.POIs)}
	plans := layOut(rng, cfg)
	for i, p := range plans {
		c.towns = append(c.towns, newTown(rng, names, p))
		c.towns[i].lean(cfg.Seed, i)
	}
	for i, p := range plans {
		c.fill(rng, names, i, p.places)
	}
	c.nameTowns()
	c.crowd = newCrowd(cfg.Personas)
	return c, nil
}

// Kinds of random stream; each person has one for who he is and one for what he
// does, so that a change of behaviour does not move anybody's home.
const (
	streamCity = iota
	streamPerson
	streamWalk
	streamTownName
	streamQuarter // what a quarter's places are known for
	streamTraits  // hidden attributes of a place
	streamLikes   // hidden tastes of a person
	streamTravel  // where he lives among several towns and where he goes
	streamFeed    // his impressions
	streamText
	streamStreet
	streamPicture
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
	type draft struct{ category, rank int32 }
	drafts := make([]draft, 0, n)
	t := c.towns[townID]
	t.quota = quota(n)
	for category, count := range t.quota {
		for rank := range count {
			drafts = append(drafts, draft{int32(category), int32(rank)})
		}
	}
	rng.Shuffle(len(drafts), func(i, j int) { drafts[i], drafts[j] = drafts[j], drafts[i] })
	for _, d := range drafts {
		qi := t.quarterFor(rng, int(d.category))
		q := &t.quarters[qi]
		s := spot{
			at:       point{q.at.x + q.sigma*rng.NormFloat64(), q.at.y + q.sigma*rng.NormFloat64()},
			attract:  math.Pow(float64(d.rank+1), -tailExponent),
			category: uint8(d.category), town: uint8(townID), quarter: uint16(qi),
			shift: int8(rng.IntN(3) - 1),
		}
		lat, lng := c.coordinates(s.at)
		number := int32(len(c.Places))
		s.traits = drawTraits(c.cfg.Seed, int(number), int(d.category), q)
		c.Places = append(c.Places, poi.Place{
			ID: fmt.Sprintf("p%05d", number), Name: names.place(categories[d.category].names, q.name),
			Category: categories[d.category].path, Lat: lat, Lng: lng,
		})
		c.spots = append(c.spots, s)
		shelf := &t.shelves[d.category][qi]
		shelf.places = append(shelf.places, number)
		shelf.mass += s.attract
	}
	t.tidy()
}

// kmPerDegree is the length of a degree of latitude.
const kmPerDegree = geo.EarthRadius / 1000 * math.Pi / 180

// coordinates turns a point of the flat map into degrees, rounded to about
// 0.1 m.
func (c *City) coordinates(p point) (lat, lng float64) {
	lat = c.cfg.Lat + p.y/kmPerDegree
	lng = c.cfg.Lng + p.x/kmPerDegree/math.Cos(c.cfg.Lat*math.Pi/180)
	lng = math.Mod(lng+540, 360) - 180
	return math.Round(lat*1e6) / 1e6, math.Round(lng*1e6) / 1e6
}

// position is the inverse of coordinates.
func (c *City) position(lat, lng float64) point {
	east := math.Mod(lng-c.cfg.Lng+540, 360) - 180
	return point{east * kmPerDegree * math.Cos(c.cfg.Lat*math.Pi/180), (lat - c.cfg.Lat) * kmPerDegree}
}

// Users returns how many people there are; they are numbered from 0.
func (c *City) Users() int { return c.cfg.Users }

// UserID returns the id a person has in the log.
func (c *City) UserID(u int) string { return fmt.Sprintf("u%05d", u) }

// OpenAt reports whether a place, by position in Places, is open at a local
// wall-clock time; only weekday, hour and minute of local are read.
func (c *City) OpenAt(place int, local time.Time) bool {
	s := &c.spots[place]
	return openAt(categories[s.category].hours, 30*int(s.shift), local.Weekday(), local.Hour()*60+local.Minute())
}

// Profile returns what a log would know of user u, in [0, Users()).
func (c *City) Profile(u int) poi.Profile { return c.person(u).profile }

// Actions returns the log of user u, in [0, Users()): strictly chronological in
// UTC and in local time. He never stands at a closed place, though on the eve of a
// trip he may look one up from home. Action.Seq orders the actions
// of the whole city as Each yields them.
func (c *City) Actions(u int) []poi.Action {
	actions, _ := c.Live(u)
	return actions
}

// Impressions returns the recommendation requests of user u, in [0, Users()), in
// time order: 8 to 14 distinct places each, with the truth about every one of
// them. Their clicks are among Actions(u). There are none if Config.Impressions
// is 0.
func (c *City) Impressions(u int) []poi.Impression {
	_, impressions := c.Live(u)
	return impressions
}

// Live returns Actions(u) and Impressions(u) at the cost of one.
func (c *City) Live(u int) ([]poi.Action, []poi.Impression) {
	w := newWalk(c, c.person(u))
	w.run()
	impressions := w.ask()
	for i := range w.out {
		w.out[i].Seq = int64(u)*seqPerUser + int64(i)
	}
	return w.out, impressions
}

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
