package baseline

import (
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Settings of the recency kernel: one fixed guess from the derivation in the
// protocol notes (60-day half-life, weights by gap of local hour and weekday,
// own transitions), not tuned on any data.
const (
	halfLifeDays   = 60.0
	sameHour       = 3.0 // hour gap of at most 1
	nearHour       = 1.5 // at most 3
	farHour        = 0.5
	sameWeekday    = 1.5
	otherWeekday   = 0.7
	transitionGain = 3.0 // for each own past transition from the last place
	stayPenalty    = 0.3 // people seldom check in twice in a row
)

// transitionGap is the longest time in milliseconds between two visits that the
// recency kernel takes for a transition: the gap that also ends a trajectory.
// Read from times, because a history from outside has no trajectory numbers.
const transitionGap = 24 * 3_600_000

// last answers with the place of the last visit.
func last(q poi.Query, dst []float64) {
	if n := len(q.History); n > 0 {
		dst[q.History[n-1].POI]++
	}
}

// counter counts the user's past visits to each place.
func counter(q poi.Query, dst []float64) {
	for _, v := range q.History {
		dst[v.POI]++
	}
}

// nearest scores a place by minus its distance in metres from the user's
// position or else from the last visit; the place of the last visit itself is
// among the answers, at distance 0.
func (f *fitted) nearest(q poi.Query, dst []float64) {
	lat, lng := q.Lat, q.Lng
	if !q.HasPos {
		if len(q.History) == 0 {
			return
		}
		at := f.places[q.History[len(q.History)-1].POI]
		lat, lng = at.Lat, at.Lng
	}
	for p, place := range f.places {
		dst[p] -= geo.Metres(lat, lng, place.Lat, place.Lng)
	}
}

// recency sums a kernel over the user's past visits: how long ago, at how
// similar an hour, on the same weekday; plus own transitions from the last
// place, which itself is damped, with all that speaks for it.
func recency(q poi.Query, dst []float64) {
	n := len(q.History)
	if n == 0 {
		return
	}
	now := poi.LocalTime(q.TimeMS, q.OffsetMin)
	here := q.History[n-1].POI
	for i, v := range q.History {
		at := v.Local()
		dst[v.POI] += ageWeight(q.TimeMS-v.TimeMS) * hourWeight(at.Hour()-now.Hour()) * weekdayWeight(at.Weekday() == now.Weekday())
		if i > 0 && q.History[i-1].POI == here && v.TimeMS-q.History[i-1].TimeMS <= transitionGap {
			dst[v.POI] += transitionGain
		}
	}
	dst[here] *= stayPenalty
}

func ageWeight(ms int64) float64 {
	return math.Exp2(-max(float64(ms), 0) / (halfLifeDays * 24 * 3_600_000))
}

// hourWeight weighs a difference of clock hours, -23..23, on the 24 h circle.
func hourWeight(diff int) float64 {
	gap := max(diff, -diff)
	switch gap = min(gap, 24-gap); {
	case gap <= 1:
		return sameHour
	case gap <= 3:
		return nearHour
	}
	return farHour
}

func weekdayWeight(same bool) float64 {
	if same {
		return sameWeekday
	}
	return otherWeekday
}

// markov counts the user's own transitions from the last place and backs off to
// the share of everybody's, which is below one own transition. Any two visits in
// a row are a transition, as in the published floor.
func (f *fitted) markov(q poi.Query, dst []float64) {
	n := len(q.History)
	if n == 0 {
		return
	}
	here := q.History[n-1].POI
	for _, e := range f.next[here] {
		dst[e.to] += e.prob
	}
	for i := 1; i < n; i++ {
		if q.History[i-1].POI == here {
			dst[q.History[i].POI]++
		}
	}
}
