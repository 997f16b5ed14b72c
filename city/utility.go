package city

import (
	"math"
	"time"

	"github.com/whereto/whereto/poi"
)

// Moment is when and where a person asks.
type Moment struct {
	TimeMS    int64 // UTC, milliseconds since 1970
	OffsetMin int16 // local time = UTC + OffsetMin
	Lat, Lng  float64
}

// MomentOf returns the moment of an impression.
func MomentOf(r *poi.Impression) Moment {
	return Moment{TimeMS: r.TimeMS, OffsetMin: r.OffsetMin, Lat: r.UserLat, Lng: r.UserLng}
}

// Weights of the utility; see City.Relevance.
const (
	baseUtility      = -0.65
	tasteWeight      = 1
	tasteLimit       = 1.8
	attributeWeight  = 2.5
	popularityWeight = 0.4
	popularityLimit  = 2.5
	distanceWeight   = 0.5
	fitWeight        = 0.6
	closedPenalty    = -1.2
	holidayBonus     = 0.8
	choreOnHoliday   = -0.8
	functionalPlace  = -2.5
	// fitFloor is the demand no hour falls below, fitMean a usual one.
	fitFloor, fitMean = 0.06, 0.3
	// soonHours is how far ahead people plan, aroundHours the width of an hour's
	// fit.
	soonHours, aroundHours = 0.5, 1.2
)

// terms are the parts of a utility.
type terms struct {
	taste, attributes, popularity, distance, fit, closed, status float64
}

// sum is the utility.
func (t terms) sum() float64 {
	return baseUtility + t.taste + t.attributes + t.popularity + t.distance + t.fit + t.closed + t.status
}

// Relevance returns the true probability that user u, in [0, Users()), clicks the
// place, by position in Places, given that he looks at it. It is a pure function
// of the city, the user, the moment and the place:
//
//	relevance = 1/(1+exp(-U))
//	U = -0.65
//	  + ln(taste of the category), at most 1.8 either way
//	  + 2.5 Config.Taste * the sum over the place's attributes of a liking: 0.8 to
//	    1.2 for what he likes, -0.8 to -1.2 for what he dislikes, else 0
//	  + 0.4 popularity: -ln(rank/n)-1 within category and town, at most 2.5
//	  - 0.5 ln(1 + km/0.5)
//	  + 0.6 ln((0.06 + d)/(0.06 + 0.3)), d: how much what the place serves is wanted now
//	  - 1.2 if it is closed
//	  + status: in another town, or for a coming trip's town: +0.8 for sights,
//	    culture and hotels, -0.8 for chores; everywhere -2.5 for places that
//	    nobody picks from a list (homes, offices, schools, stations, ...), and
//	    for hotels in one's own town
//
// What is wanted now (d) follows the person's own week: for each of his slots the
// chance that he keeps it today, times exp(-x^2/2) with x the hours from half an
// hour ahead to his own clock, over 1.2. In another town it follows a visitor's
// day. On the days before a trip and on its first morning the destination is
// judged from its centre, by a visitor's whole day, open or not.
//
// A click happens with probability Examination(position) * relevance,
// independently for every place shown.
func (c *City) Relevance(u int, at Moment, place int) float64 {
	v := c.last.Load()
	if v == nil || v.p.number != u || v.at != at {
		var p *person
		if v != nil && v.p.number == u {
			p = v.p
		} else {
			p = c.person(u)
		}
		v = c.view(p, at)
		c.last.Store(v) // a judge asks about many places at one moment
	}
	return sigmoid(v.terms(place).sum())
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// examinationSlope is the exponent with which attention falls with the position.
const examinationSlope = 0.3

// Examination returns the probability that a person looks at what is shown at a
// position, from 0: (1+position)^-0.3.
func Examination(position int) float64 { return math.Pow(float64(position+1), -examinationSlope) }

// demand is how much each purpose is wanted, about 0 to 1.
type demand [purposes]float64

// of returns how much what the category serves is wanted.
func (d *demand) of(category int) float64 {
	sum := 0.0
	for _, s := range categories[category].serves {
		sum += min(s.weight, 1) * d[s.purpose]
	}
	return sum
}

// fit turns a demand into utility.
func (d *demand) fit(category int) float64 {
	return fitWeight * math.Log((fitFloor+d.of(category))/(fitFloor+fitMean))
}

// view is one person at one moment: all of the utility that places share. It is
// not changed once made.
type view struct {
	c         *City
	p         *person
	at        Moment
	where     point
	local     time.Time
	town      int // he is in
	goal      int // town he is about to go to, or -1
	wants     demand
	wantsAway demand // of the goal
}

func (c *City) view(p *person, at Moment) *view {
	v := &view{c: c, p: p, at: at, where: c.position(at.Lat, at.Lng), local: poi.LocalTime(at.TimeMS, at.OffsetMin), goal: -1}
	v.town = c.townOf(v.where)
	hour := float64(v.local.Hour()) + float64(v.local.Minute())/60
	if v.town != p.town {
		v.wants = visitorDemand(hour)
		return v
	}
	v.wants = p.demand(v.local.Weekday(), hour)
	day := int(math.Floor(v.local.Sub(c.start).Hours() / 24))
	trip, soon := p.comingTrip(day)
	if !soon {
		trip, soon = p.onTrip(day)
		soon = soon && day == trip.first
	}
	if soon {
		v.goal, v.wantsAway = trip.town, visitorDay()
	}
	return v
}

// near returns how much an hour counts for a slot of the given hour.
func near(hour, slot float64) float64 {
	x := (hour + soonHours - slot) / aroundHours
	return math.Exp(-x * x / 2)
}

// demand returns what a person wants at home.
func (p *person) demand(day time.Weekday, hour float64) (d demand) {
	for i, s := range lives[p.persona].slots {
		// After midnight yesterday's night counts too.
		d[s.purpose] += p.habit[i][day]*near(hour, p.clock[i]) + p.habit[i][(day+6)%7]*near(hour+24, p.clock[i])
	}
	return d
}

// visitorDemand returns what a person wants in a strange town.
func visitorDemand(hour float64) (d demand) {
	for _, s := range awaySlots {
		d[s.purpose] += s.chance * (near(hour, s.hour) + near(hour+24, s.hour))
	}
	return d
}

// visitorDay returns what a person wants in the course of a day in a strange town.
func visitorDay() (d demand) {
	for _, s := range awaySlots {
		d[s.purpose] = max(d[s.purpose], s.chance)
	}
	return d
}

// terms returns the parts of the utility of a place.
func (v *view) terms(place int) terms {
	s := &v.c.spots[place]
	category := int(s.category)
	t := terms{
		taste:      tasteWeight * min(max(math.Log(v.p.taste[category]), -tasteLimit), tasteLimit),
		attributes: attributeWeight * v.c.cfg.Taste * v.p.likingOf(s.traits),
		popularity: popularityWeight * v.c.standing(s),
		distance:   far(s.at.distance(v.where)),
	}
	coming := int(s.town) == v.goal
	if coming {
		t.distance = far(s.at.distance(v.c.towns[v.goal].centre))
		t.fit = v.wantsAway.fit(category)
	} else {
		t.fit = v.wants.fit(category)
		if !v.c.OpenAt(place, v.local) {
			t.closed = closedPenalty
		}
	}
	t.status = status(category, coming || v.town != v.p.town)
	return t
}

// far returns the utility of a way.
func far(km float64) float64 { return -distanceWeight * math.Log1p(km/nearKM) }

// standing returns how popular a place is within its category and town: the
// rank as an exponential variable less its mean.
func (c *City) standing(s *spot) float64 {
	n := float64(c.towns[s.town].quota[s.category])
	return min(math.Log(s.attract)/tailExponent+math.Log(n)-1, popularityLimit)
}

// status returns the utility of a category for somebody at home or on holiday.
func status(category int, holiday bool) float64 {
	purpose := categories[category].serves[0].purpose
	switch {
	case purpose == hotel && holiday:
		return holidayBonus
	case !chosen(category):
		return functionalPlace
	case !holiday:
		return 0
	case functional(purpose):
		return choreOnHoliday
	case serves(category, sights) || serves(category, culture):
		return holidayBonus
	}
	return 0
}

// serves reports whether a category serves a purpose well.
func serves(category int, p purpose) bool {
	for _, s := range categories[category].serves {
		if s.purpose == p && s.weight >= 0.5 {
			return true
		}
	}
	return false
}

// crowd is what people want on average by weekday and hour, for the first stage
// of recommendation, which does not know the person.
type crowd [7][24]demand

func newCrowd(mix Mix) (out crowd) {
	weights := mix.weights()
	total := 0.0
	for _, w := range weights {
		total += w
	}
	for day := range out {
		for hour := range out[day] {
			d, mid := &out[day][hour], float64(hour)+0.5
			for p, w := range weights {
				for _, s := range lives[p].slots {
					if s.on.has(time.Weekday(day)) {
						d[s.purpose] += w / total * s.chance * near(mid, s.hour)
					}
					if s.on.has(time.Weekday((day + 6) % 7)) {
						d[s.purpose] += w / total * s.chance * near(mid+24, s.hour)
					}
				}
			}
		}
	}
	return out
}

// at returns what the crowd wants.
func (c *crowd) at(local time.Time) *demand { return &c[local.Weekday()][local.Hour()] }
