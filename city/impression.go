package city

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/whereto/whereto/poi"
)

const (
	leastShown, mostShown = 8, 14
	// feedSpread is the standard deviation of the logarithm of how often a person
	// opens the app.
	feedSpread = 0.4
	// tripInterest is how much likelier a day before or of a trip is to bring a
	// request, planShare the share of requests before a trip that are about it.
	tripInterest, planShare = 6, 0.6
	// aheadHours and aheadSpread say when the app is opened before an outing.
	aheadHours, aheadSpread = 0.4, 0.45
	// leastGapMS is the time between two requests; a request and its clicks take
	// at most requestMS.
	leastGapMS, requestMS = 10 * 60_000, 150_000
	// requestTries is how often a request looks for a free minute.
	requestTries = 5
	// crudeNoise is the standard deviation of the error of the first stage's score.
	crudeNoise = 0.9
	// positionKM is the standard deviation of where he is around the place he
	// went to last.
	positionKM = 0.15
	// sourceTries bounds the search for a candidate that is not shown yet.
	sourceTries = 80
)

// ask makes the requests of a person who has lived, and adds their clicks to his
// log. It draws from a stream of its own, so that the rest of the log is the same
// however many requests there are.
func (w *walk) ask() []poi.Impression {
	if w.c.cfg.Impressions == 0 {
		return nil
	}
	rng := stream(w.c.cfg.Seed, streamFeed, w.p.number)
	want := w.c.cfg.Impressions * math.Exp(feedSpread*rng.NormFloat64()-feedSpread*feedSpread/2)
	count := int(want)
	if rng.Float64() < want-float64(count) {
		count++
	}
	var clicks []poi.Action
	impressions := make([]poi.Impression, 0, count)
	for _, at := range w.requestTimes(rng, count) {
		r := w.request(rng, at, len(impressions))
		impressions = append(impressions, r.Impression)
		for i, s := range r.Shown {
			if s.Clicked {
				clicks = append(clicks, w.click(&r, i))
			}
		}
	}
	w.merge(clicks)
	return impressions
}

// merge adds clicks, sorted by time, to the log.
func (w *walk) merge(clicks []poi.Action) {
	w.out = append(w.out, clicks...)
	slices.SortStableFunc(w.out, func(a, b poi.Action) int { return cmp.Compare(a.TimeMS, b.TimeMS) })
}

// clock is an instant with the day of the person's life it belongs to.
type clock struct {
	time.Time
	day int
}

// requestTimes draws when a person opens the app, in order: on days of a trip or
// before it more often, otherwise on any day, shortly before one of his own
// outings. What would fall into another request or on an action is drawn again
// and at last left out.
func (w *walk) requestTimes(rng *rand.Rand, count int) []clock {
	var out []clock
	for range count {
		for range requestTries {
			at, ok := w.requestTime(rng)
			if !ok || !w.free(at) {
				continue
			}
			if i, _ := slices.BinarySearchFunc(out, at, clock.compare); apart(out, i, at) {
				out = slices.Insert(out, i, at)
				break
			}
		}
	}
	return out
}

func (c clock) compare(d clock) int { return cmp.Compare(c.UnixMilli(), d.UnixMilli()) }

// wall returns milliseconds on the local clock.
func (c clock) wall() int64 {
	_, offset := c.Zone()
	return c.UnixMilli() + int64(offset)*1000
}

// apart reports whether a request may be inserted at a position: in UTC and on
// the local clock it must be far from those before and after.
func apart(list []clock, i int, at clock) bool {
	before := i == 0 || at.UnixMilli()-list[i-1].UnixMilli() >= leastGapMS && at.wall()-list[i-1].wall() >= leastGapMS
	after := i == len(list) || list[i].UnixMilli()-at.UnixMilli() >= leastGapMS && list[i].wall()-at.wall() >= leastGapMS
	return before && after
}

// free reports whether no action falls into a request.
func (w *walk) free(at clock) bool {
	i, _ := slices.BinarySearchFunc(w.out, at.UnixMilli(), func(a poi.Action, ms int64) int { return cmp.Compare(a.TimeMS, ms) })
	local := func(a *poi.Action) int64 { return a.TimeMS + int64(a.OffsetMin)*60_000 }
	if i > 0 && local(&w.out[i-1]) >= at.wall() {
		return false
	}
	return i == len(w.out) || w.out[i].TimeMS > at.UnixMilli()+requestMS && local(&w.out[i]) > at.wall()+requestMS
}

// requestTime draws one time; ok is false if the day has no outing to plan.
func (w *walk) requestTime(rng *rand.Rand) (at clock, ok bool) {
	pick := newLottery(rng)
	for day := range w.c.cfg.Days {
		weight := 1.0
		if _, away := w.p.onTrip(day); away {
			weight = tripInterest
		} else if _, soon := w.p.comingTrip(day); soon {
			weight = tripInterest
		}
		pick.offer(day, weight)
	}
	day := pick.winner
	date := w.c.start.AddDate(0, 0, day)
	slot := newLottery(rng)
	hours := w.p.clock
	if _, away := w.p.onTrip(day); away {
		hours = nil
		for i, s := range awaySlots {
			hours = append(hours, s.hour)
			slot.offer(i, s.chance)
		}
	} else {
		for i, s := range lives[w.p.persona].slots {
			if !functional(s.purpose) {
				slot.offer(i, w.p.habit[i][date.Weekday()])
			}
		}
	}
	if slot.winner < 0 {
		return clock{}, false
	}
	minute := 60 * (hours[slot.winner] - aheadHours + aheadSpread*rng.NormFloat64())
	minute = min(max(minute, 6*60), 26*60)
	return clock{time.Date(date.Year(), date.Month(), date.Day(), 0, int(minute), rng.IntN(60), 0, w.c.zone), day}, true
}

// whereAt returns the place at which a person is: where he went last on that day
// or, on a trip, before; else his home.
func (w *walk) whereAt(at clock) int32 {
	i, _ := slices.BinarySearchFunc(w.trail, at.UnixMilli()+1, func(s stand, ms int64) int { return cmp.Compare(s.ms, ms) })
	if i == 0 {
		return w.p.anchor[atHome]
	}
	s := w.trail[i-1]
	if t, away := w.p.onTrip(at.day); s.day == at.day || away && s.day >= t.first {
		return s.place
	}
	return w.p.anchor[atHome]
}

// request is an impression with the numbers of the places shown.
type request struct {
	poi.Impression
	places []int32
}

// request makes one request with its clicks.
func (w *walk) request(rng *rand.Rand, at clock, number int) request {
	_, offset := at.Zone()
	here := w.c.spots[w.whereAt(at)].at
	lat, lng := w.c.coordinates(point{here.x + positionKM*rng.NormFloat64(), here.y + positionKM*rng.NormFloat64()})
	r := request{Impression: poi.Impression{
		ID: fmt.Sprintf("r%05d-%d", w.p.number, number), User: w.c.UserID(w.p.number),
		TimeMS: at.UnixMilli(), OffsetMin: int16(offset / 60), UserLat: lat, UserLng: lng, HasUser: true,
	}}
	v := w.c.view(w.p, MomentOf(&r.Impression))
	stage := newStage(v, rng, w)
	r.places = stage.candidates(leastShown + rng.IntN(mostShown-leastShown+1))
	for i, place := range r.places {
		relevance := sigmoid(v.terms(int(place)).sum())
		click := relevance * Examination(i)
		r.Shown = append(r.Shown, poi.Shown{POI: w.c.Places[place].ID, Clicked: rng.Float64() < click,
			Click: float32(click), Relevance: float32(relevance)})
	}
	return r
}

// click returns the action of a click: a person takes some seconds to each place.
func (w *walk) click(r *request, position int) poi.Action {
	p := &w.c.Places[r.places[position]]
	return poi.Action{
		User: r.User, POI: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng,
		UserLat: r.UserLat, UserLng: r.UserLng, HasUser: true,
		TimeMS: r.TimeMS + int64(5+9*position)*1000, OffsetMin: r.OffsetMin, Type: TypeClick,
	}
}

// stage is the first stage of recommendation, which fetches candidates. It knows
// what such a stage knows: distances, popularity, hours, and what the person did
// before; not his hidden tastes.
type stage struct {
	v        *view
	rng      *rand.Rand
	town     int
	from     point
	holiday  bool
	wants    *demand
	past     []int32 // places of the town the person dealt with, one for each action
	distinct map[int32]bool
}

func newStage(v *view, rng *rand.Rand, w *walk) *stage {
	s := &stage{v: v, rng: rng, town: v.town, from: v.where, holiday: v.town != v.p.town,
		wants: v.c.crowd.at(v.local), distinct: map[int32]bool{}}
	if v.goal >= 0 && rng.Float64() < planShare {
		s.town, s.from, s.holiday, s.wants = v.goal, v.c.towns[v.goal].centre, true, &v.wantsAway
	} else if s.holiday {
		s.wants = &v.wants // of any visitor
	}
	for i, place := range w.places {
		if w.out[i].TimeMS >= v.at.TimeMS {
			break
		}
		if spot := &v.c.spots[place]; int(spot.town) == s.town && listed(int(spot.category), s.holiday) {
			s.past = append(s.past, place)
		}
	}
	return s
}

// listed reports whether a recommender would show places of a category.
func listed(category int, holiday bool) bool {
	return chosen(category) || holiday && categories[category].serves[0].purpose == hotel
}

// Shares of the sources of candidates.
const (
	popularShare, hourShare, pastShare, randomShare = 0.35, 0.3, 0.2, 0.15
)

// candidates fetches n distinct places, best first by a crude score.
func (s *stage) candidates(n int) []int32 {
	out := make([]int32, 0, n)
	add := func(place int32) {
		if place >= 0 && !s.distinct[place] {
			s.distinct[place] = true
			out = append(out, place)
		}
	}
	for tries := 0; tries < sourceTries && len(out) < n; tries++ {
		add(s.fetch())
	}
	for category := range categories { // a town has a place of each
		if len(out) < n && listed(category, s.holiday) {
			add(s.v.c.draw(s.rng, s.town, category, s.from, nearby))
		}
	}
	score := map[int32]float64{}
	for _, place := range out {
		spot := &s.v.c.spots[place]
		score[place] = popularityWeight*s.v.c.standing(spot) + far(spot.at.distance(s.from)) +
			s.wants.fit(int(spot.category)) + crudeNoise*s.rng.NormFloat64()
	}
	slices.SortStableFunc(out, func(a, b int32) int { return cmp.Compare(score[b], score[a]) })
	return out
}

// fetch takes one candidate from one of the sources; -1 if that has none.
func (s *stage) fetch() int32 {
	source := newLottery(s.rng)
	for i, share := range []float64{popularShare, hourShare, pastShare, randomShare} {
		source.offer(i, share)
	}
	category := newLottery(s.rng)
	for i, k := range categories {
		if !listed(i, s.holiday) {
			continue
		}
		if source.winner == 1 {
			category.offer(i, s.wants.of(i))
		} else {
			category.offer(i, k.share)
		}
	}
	switch {
	case source.winner == 2 && len(s.past) == 0, category.winner < 0:
		return -1
	case source.winner == 2:
		return s.past[s.rng.IntN(len(s.past))]
	}
	place := s.v.c.draw(s.rng, s.town, category.winner, s.from, nearby)
	switch {
	case source.winner < 2 && s.town == s.v.town && !s.v.c.OpenAt(int(place), s.v.local):
		return -1
	case source.winner == 3: // any other of that shelf
		shelf := s.v.c.towns[s.town].shelfAt(category.winner, int(s.v.c.spots[place].quarter))
		return shelf.places[s.rng.IntN(len(shelf.places))]
	}
	return place
}
