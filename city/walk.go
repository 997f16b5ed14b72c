package city

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/whereto/whereto/poi"
)

const (
	// decayGamma is the exponent of exploring: with S places known the next one
	// is new with probability rho*S^-gamma (Song et al. 2010).
	decayGamma = 0.21
	// forget is what a visit to one place leaves of the weight of the others
	// that serve the same purpose, so that favourites drift.
	forget = 0.96
	// slotBonus is how much more a place is preferred in the slot in which it
	// was found.
	slotBonus = 5
	// minutesPerKM and restMinutes are the least time between two outings.
	minutesPerKM, restMinutes = 2.5, 12
	// noiseKM is the standard deviation of a reported position.
	noiseKM = 0.06
	// drawTries is how many places are considered before an outing is dropped
	// because none is open.
	drawTries = 16
	// lookAheadDays is how long before a trip its places are looked up.
	lookAheadDays = 4
	// earliestStop is the hour before which nobody ends a run of lively days,
	// allDay a minute after every outing of a day.
	earliestStop, allDay = 9, 3 * minutesPerDay
	// seqPerUser is the room for one user's actions in Action.Seq.
	seqPerUser = 1 << 20
)

// known is a place a person remembers for a purpose.
type known struct {
	place int32
	slot  int16
	times float64 // visits, older ones forgotten
}

// outing is one thing on a day's agenda.
type outing struct {
	purpose purpose
	slot    int
	minute  float64 // local, after the day's midnight
	town    int
	search  bool // looked up for later: the person stays where he is
}

// walk lives through a person's days. It is used once.
type walk struct {
	c          *City
	p          *person
	rng        *rand.Rand
	memory     [purposes][]known
	repertoire int // entries of memory
	here       int32
	lastLocal  int64 // seconds of the last outing on the local clock
	lastMS     int64 // and in UTC milliseconds
	out        []poi.Action
	places     []int32 // of out
	trail      []stand
}

// stand is where a person was from an instant on.
type stand struct {
	ms    int64
	day   int
	place int32
}

func newWalk(c *City, p *person) *walk {
	return &walk{c: c, p: p, rng: stream(c.cfg.Seed, streamWalk, p.number), here: p.anchor[atHome],
		lastLocal: math.MinInt64 / 2, lastMS: math.MinInt64 / 2}
}

// run fills the log.
func (w *walk) run() {
	lively := w.rng.Float64() < w.p.lively
	for day := -burnIn; day < w.c.cfg.Days; day++ {
		// A two-state chain: runs of lively days, with the wanted share of them.
		tomorrow := w.rng.Float64() < w.p.lively/(1-w.p.lively)/livelyRun
		if lively {
			tomorrow = w.rng.Float64() >= 1/livelyRun
		}
		trip, away := w.p.onTrip(day)
		switch {
		case away:
			w.live(day, w.awayAgenda(day, trip), allDay)
		case lively:
			until := float64(allDay)
			if !tomorrow {
				// He stops logging somewhere on the way, not at his own door:
				// the last action of a trajectory must not give itself away.
				until = 60 * (earliestStop + (24-earliestStop)*w.rng.Float64())
			}
			w.here = w.p.anchor[atHome]
			w.live(day, w.homeAgenda(day), until)
		}
		lively = tomorrow
	}
}

// homeAgenda draws the outings of an ordinary day.
func (w *walk) homeAgenda(day int) []outing {
	weekday := w.c.start.AddDate(0, 0, day).Weekday()
	var agenda []outing
	slots := lives[w.p.persona].slots
	for i, s := range slots {
		if w.rng.Float64() < w.p.habit[i][weekday] {
			agenda = append(agenda, outing{purpose: s.purpose, slot: i, town: w.p.town,
				minute: 60*w.p.clock[i] + s.spread*w.rng.NormFloat64()})
		}
	}
	if t, ok := w.p.comingTrip(day); ok {
		agenda = append(agenda, w.lookUps(t.town)...)
	}
	return agenda
}

// lookUps are the evening's searches for places of a coming trip.
func (w *walk) lookUps(town int) []outing {
	var agenda []outing
	for range w.rng.IntN(4) {
		purpose := [...]purpose{sights, dinner, hotel, culture, coffee}[w.rng.IntN(5)]
		agenda = append(agenda, outing{purpose: purpose, slot: awaySlot(purpose), town: town, search: true,
			minute: 60*21 + 40*w.rng.NormFloat64()})
	}
	return agenda
}

// awayAgenda draws the outings of a day of a trip: he arrives by train on the
// first morning and leaves on the last afternoon.
func (w *walk) awayAgenda(day int, t trip) []outing {
	from, until, town := 0.0, 48.0, t.town
	var agenda []outing
	if day == t.first {
		from = 10.5
		w.here = w.p.anchor[atHome]
		agenda = append(agenda, outing{purpose: station, slot: -1, town: town, minute: 600 + 20*w.rng.NormFloat64()})
	}
	if day == t.last {
		until = 16
		agenda = append(agenda, outing{purpose: station, slot: -1, town: town, minute: 1020 + 20*w.rng.NormFloat64()},
			outing{purpose: atHome, slot: -1, town: w.p.town, minute: 1260 + 30*w.rng.NormFloat64()})
	}
	for i, s := range awaySlots {
		if s.hour > from && s.hour < until && w.rng.Float64() < s.chance {
			agenda = append(agenda, outing{purpose: s.purpose, slot: -1 - i, town: town,
				minute: 60*s.hour + s.spread*w.rng.NormFloat64()})
		}
	}
	return agenda
}

// awaySlot returns the number under which places for a purpose are remembered
// away from home; it is negative, apart from every slot of an ordinary week.
func awaySlot(p purpose) int {
	return -1 - slices.IndexFunc(awaySlots, func(s slot) bool { return s.purpose == p })
}

// live goes through an agenda in time order; what would come too early after
// the last outing is put off, and dropped if the place is closed by then.
// Nothing is logged before the first day or after the minute until.
func (w *walk) live(day int, agenda []outing, until float64) {
	slices.SortStableFunc(agenda, func(a, b outing) int { return cmp.Compare(a.minute, b.minute) })
	date := w.c.start.AddDate(0, 0, day)
	for _, o := range agenda {
		second := w.rng.IntN(60)
		when := func(minute float64) time.Time {
			return time.Date(date.Year(), date.Month(), date.Day(), 0, int(minute), second, 0, w.c.zone)
		}
		at := when(o.minute)
		place, fresh := w.choose(o, at)
		if place < 0 {
			continue
		}
		km := w.c.spots[w.here].at.distance(w.c.spots[place].at)
		pause := restMinutes + minutesPerKM*km
		if o.search {
			pause = restMinutes
		}
		if late := float64(w.lastLocal-date.Unix())/60 + pause; late > o.minute {
			if late > o.minute+90 {
				continue // the day has run away with him
			}
			at = when(late)
		}
		w.visit(o, place, fresh, at, day, o.minute < until)
	}
}

// visit makes an outing happen, and logs it if the day counts and the person
// feels like it. A closed place can be looked up but not entered; what a clock
// put back would reorder is dropped.
func (w *walk) visit(o outing, place int32, fresh bool, at time.Time, day int, counts bool) {
	_, offset := at.Zone()
	ms, local := at.UnixMilli(), at.Unix()+int64(offset)
	if ms <= w.lastMS || local <= w.lastLocal || !(o.search || w.c.OpenAt(int(place), at)) {
		return
	}
	logged := w.rng.Float64() < w.p.rate*logWeight(o.purpose)
	if day >= 0 && counts && logged {
		w.log(o, place, fresh, ms, int16(offset/60))
	}
	w.lastMS, w.lastLocal = ms, local
	w.remember(o, place)
	if !o.search {
		w.here = place
		w.trail = append(w.trail, stand{ms, day, place})
	}
}

// log appends an action. The user's position is where he set out from.
func (w *walk) log(o outing, place int32, fresh bool, ms int64, offset int16) {
	from := w.c.spots[w.here].at
	lat, lng := w.c.coordinates(point{from.x + noiseKM*w.rng.NormFloat64(), from.y + noiseKM*w.rng.NormFloat64()})
	p := &w.c.Places[place]
	w.out = append(w.out, poi.Action{
		User: w.c.UserID(w.p.number), POI: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng,
		UserLat: lat, UserLng: lng, HasUser: true, TimeMS: ms, OffsetMin: offset,
		Type: w.actionType(o, place, fresh, from.distance(w.c.spots[place].at)),
	})
	w.places = append(w.places, place)
}

// favouriteShare is how often a return is logged by marking the place.
const favouriteShare = 0.015

// actionType draws what the person did with the place: he looks up what is new
// or far and simply arrives at what he knows, at home and work above all. What
// he needs he searches for; what pleases him he finds by a click.
func (w *walk) actionType(o outing, place int32, fresh bool, km float64) string {
	x := w.rng.Float64()
	searched, clicked := 0.2, 0.35 // running sums of a new place
	if functional(o.purpose) {
		searched, clicked = 0.32, 0.35
	}
	switch {
	case o.search && x < 0.7:
		return TypeSearch
	case o.search:
		return TypeClick
	case w.p.anchor[o.purpose] == place:
		if km > 4 && x < 0.1 {
			return TypeNavigate
		}
		return TypeArrive
	case fresh && x < searched, x < 0.03:
		return TypeSearch
	case fresh && x < clicked, x < 0.06:
		return TypeClick
	case fresh && x < 0.55, km > 4 && x < 0.25:
		return TypeNavigate
	case !fresh && !functional(o.purpose) && x > 1-favouriteShare/0.75:
		return TypeFavourite
	}
	return TypeArrive
}

// functional reports whether people go for a purpose because they must.
func functional(p purpose) bool {
	switch p {
	case atHome, atWork, atStudy, schoolRun, groceries, health, errand, hotel, station:
		return true
	}
	return false
}
