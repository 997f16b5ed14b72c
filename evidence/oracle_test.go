package evidence

import (
	"math"
	"sort"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// oracle computes evidence a second way: no index, no subtraction, no running
// sums, float64 throughout. Every number is a plain loop over its definition.
type oracle struct {
	d      *poi.Dataset
	q      poi.Query
	h      []poi.Visit // the visits looked at
	others []poi.Visit // everybody else's training visits; prev says what came before
	prev   []*poi.Visit
	closed []bool  // others[i] is followed by a training visit of another trajectory
	now    float64 // local hours
}

func newOracle(d *poi.Dataset, c Config, q poi.Query) *oracle {
	o := &oracle{d: d, q: q, h: q.History, now: float64(localMS(q.TimeMS, q.OffsetMin)) / hourMS}
	o.h = o.h[max(0, len(o.h)-c.History):]
	for !c.WholeHistory && len(o.h) > 0 && !o.inCurrent(0) {
		o.h = o.h[1:]
	}
	for u := range d.Users {
		for i, v := range d.Users[u].Visits {
			if v.Tag != poi.Train || int32(u) == q.User {
				continue
			}
			var prev *poi.Visit
			if i > 0 && d.Users[u].Visits[i-1].Traj == v.Traj {
				prev = &d.Users[u].Visits[i-1]
			}
			ended := false
			if i+1 < len(d.Users[u].Visits) {
				next := d.Users[u].Visits[i+1]
				ended = next.Tag == poi.Train && next.Traj != v.Traj
			}
			o.others, o.prev, o.closed = append(o.others, v), append(o.prev, prev), append(o.closed, ended)
		}
	}
	return o
}

func (o *oracle) cat(p int32) string        { return o.d.Places[p].Category }
func (o *oracle) local(v poi.Visit) float64 { return float64(localMS(v.TimeMS, v.OffsetMin)) / hourMS }
func (o *oracle) age(j int) float64         { return math.Max(0, o.now-o.local(o.h[j])) }
func (o *oracle) metres(a, b int32) float64 { return o.from(o.d.Places[a].Lat, o.d.Places[a].Lng, b) }
func (o *oracle) decay(j int, d float64) float64 {
	return math.Exp(-math.Min(math.Floor(o.age(j)), 400*24-1) / 24 / d)
}

func (o *oracle) from(lat, lng float64, p int32) float64 {
	return geo.Metres(lat, lng, o.d.Places[p].Lat, o.d.Places[p].Lng)
}

// back is the POI of the n-th last visit, -1 if there is none.
func (o *oracle) back(n int) int32 {
	if n > len(o.h) {
		return -1
	}
	return o.h[len(o.h)-n].POI
}

// hours is the difference of the time of day of visit j and the request, in
// whole minutes, round the clock, as hours.
func (o *oracle) hours(j int) float64 {
	minute := func(ms int64, off int16) int {
		t := poi.LocalTime(ms, off)
		return t.Hour()*60 + t.Minute()
	}
	diff := minute(o.q.TimeMS, o.q.OffsetMin) - minute(o.h[j].TimeMS, o.h[j].OffsetMin)
	if diff < 0 {
		diff = -diff
	}
	return float64(min(diff, 1440-diff)) / 60
}

func gauss(x, sigma float64) float64 { return math.Exp(-x * x / sigma / sigma / 2) }

func monday(v poi.Visit) int { return (int(v.Local().Weekday()) + 6) % 7 }

func (o *oracle) request() poi.Visit {
	return poi.Visit{TimeMS: o.q.TimeMS, OffsetMin: o.q.OffsetMin}
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// gapAfter and gapBefore are hours to the neighbouring events of visit j; the
// request follows the last visit, nothing precedes the first.
func (o *oracle) gapAfter(j int) float64 {
	if j+1 == len(o.h) {
		return o.now - o.local(o.h[j])
	}
	return o.local(o.h[j+1]) - o.local(o.h[j])
}

func (o *oracle) gapBefore(j int) float64 {
	if j == 0 {
		return math.Inf(1)
	}
	return o.local(o.h[j]) - o.local(o.h[j-1])
}

// visit returns what visit j adds to each kernel of its POI.
func (o *oracle) visit(j int) (k [numKernels]float64) {
	v, x := o.h[j], o.hours(j)
	day := yes(monday(v) == monday(o.request()))
	end := yes((monday(v) >= 5) == (monday(o.request()) >= 5))
	a30, a60 := o.decay(j, 30), o.decay(j, 60)
	two := gauss(x, 2)
	k[kCount] = 1
	k[kAge7], k[kAge30], k[kAge60], k[kAge90] = o.decay(j, 7), a30, a60, o.decay(j, 90)
	k[kHalf], k[kHour], k[kTwo], k[kThree] = gauss(x, 0.5), gauss(x, 1), two, gauss(x, 3)
	k[kHourDay], k[kHourWeekend], k[kHourAge] = gauss(x, 1)*day, gauss(x, 1)*end, gauss(x, 1)*a30
	k[kHourWeekendAge], k[kTwoAge7] = gauss(x, 1)*end*a30, two*k[kAge7]
	k[kDay], k[kWeekend] = day, end
	k[kThreeDays] = two * yes(o.age(j) < 72)
	ended := yes(o.gapAfter(j) > 24)
	k[kEnd], k[kEndAge], k[kEndHour] = ended, ended*a60, ended*two
	k[kStart] = yes(o.gapBefore(j) > 24)
	k[kHourDayAge], k[kHalfAge] = gauss(x, 1)*day*a60, gauss(x, 0.5)*a30
	together, after := o.company(j)
	k[kCompany], k[kAfter], k[kAfterHour] = together*a60, after*a60, after*two
	k[kSimilar] = two * (0.4 + 0.6*end) * (0.2 + a60)
	if j == 0 {
		return k
	}
	since := math.Log1p(math.Max(0, o.gapBefore(j))) - math.Log1p(math.Max(0, o.now-o.local(o.h[len(o.h)-1])))
	gap := math.Exp(-2 * since * since)
	k[kGapHour] = two * gap
	like := 0.3
	if o.cat(o.h[j-1].POI) == o.cat(o.back(1)) {
		k[kCatNext], k[kCatNextHour], like = a60, two, 0.8
	}
	if o.h[j-1].POI == o.back(1) {
		k[kNext], k[kNextAge], k[kNextHour], k[kNextGap], like = 1, a60, two, gap, 3
		k[kNext2] = yes(j > 1 && o.h[j-2].POI == o.back(2))
	}
	k[kSimilar] *= like
	return k
}

// company counts the POIs of the request's last 24 hours that were also visited in
// the 24 hours before visit j, and says whether the last POI is one of them.
func (o *oracle) company(j int) (together, after float64) {
	seen := map[int32]bool{}
	for i := range o.h {
		for h := range j {
			if o.now-o.local(o.h[i]) <= 24 && o.local(o.h[j])-o.local(o.h[h]) <= 24 && o.h[h].POI == o.h[i].POI {
				seen[o.h[i].POI] = true
			}
		}
	}
	return float64(len(seen)), yes(seen[o.back(1)])
}

// kernels sums the visits that match.
func (o *oracle) kernels(match func(poi.Visit) bool) (sum [numKernels]float64) {
	for j := range o.h {
		if match(o.h[j]) {
			for i, x := range o.visit(j) {
				sum[i] += x
			}
		}
	}
	return sum
}

// distinct lists past POIs by first visit.
func (o *oracle) distinct() (out []int32) {
	for j := range o.h {
		if o.rank(o.h[j].POI, o.h[:j]) < 0 {
			out = append(out, o.h[j].POI)
		}
	}
	return out
}

// rank counts the distinct POIs visited after the last visit to p; -1 if p was
// never visited.
func (o *oracle) rank(p int32, h []poi.Visit) int {
	seen := map[int32]bool{}
	for j := len(h) - 1; j >= 0; j-- {
		if h[j].POI == p {
			return len(seen)
		}
		seen[h[j].POI] = true
	}
	return -1
}

// candidates are the past POIs, then new ones by what others do.
func (o *oracle) candidates(c Config) (out []int32, past int) {
	visited := o.distinct()
	out = visited
	if len(out) > c.MaxPast {
		weight := func(p int32) float64 {
			k := o.kernels(func(v poi.Visit) bool { return v.POI == p })
			return k[kAge60] + k[kTwo] + 2*k[kNext] + 1/(1+float64(o.rank(p, o.h)))
		}
		out = append([]int32(nil), visited...)
		sort.SliceStable(out, func(i, j int) bool { return weight(out[i]) > weight(out[j]) })
		out = out[:c.MaxPast]
	}
	var open []int32
	for _, p := range out {
		if !o.d.Places[p].Closed {
			open = append(open, p)
		}
	}
	out, past = open, len(open)
	out = append(out, o.best(c.Next, append(visited, out...), func(p int32) float64 {
		n := o.count(func(i int) bool { return o.others[i].POI == p && o.prev[i] != nil && o.prev[i].POI == o.back(1) })
		if n == 0 || p == o.back(1) {
			return math.Inf(-1)
		}
		return n
	})...)
	return append(out, o.best(c.Near, append(visited, out...), o.near())...), past
}

// near scores places around the user, or around the last POI, or anywhere.
func (o *oracle) near() func(p int32) float64 {
	centre := o.back(1)
	if o.q.HasPos {
		centre = o.closest()
	}
	return func(p int32) float64 {
		n := o.count(func(i int) bool { return o.others[i].POI == p })
		switch {
		case n == 0 || p == centre && !o.q.HasPos:
			return math.Inf(-1)
		case centre < 0:
			return n
		}
		if !o.neighbours(centre, p) {
			return math.Inf(-1)
		}
		return pull(float32(n), o.metres(centre, p))
	}
}

// neighbours is true within six cells of a hundredth of a degree.
func (o *oracle) neighbours(p, q int32) bool {
	a, b := o.d.Places[p], o.d.Places[q]
	return math.Abs(math.Floor(a.Lat/0.01)-math.Floor(b.Lat/0.01)) <= 6 && math.Abs(math.Floor(a.Lng/0.01)-math.Floor(b.Lng/0.01)) <= 6
}

func (o *oracle) closest() int32 {
	best, at := math.Inf(1), int32(-1)
	for p, x := range o.d.Places {
		if m := o.from(o.q.Lat, o.q.Lng, int32(p)); !x.Closed && m < best {
			best, at = m, int32(p)
		}
	}
	return at
}

// best returns the n places of highest score, the smaller id first among equals.
func (o *oracle) best(n int, except []int32, score func(int32) float64) (out []int32) {
	taken := map[int32]bool{}
	for _, p := range except {
		taken[p] = true
	}
	by := map[int32]float64{}
	for p := range int32(len(o.d.Places)) {
		if x := score(p); !taken[p] && !o.d.Places[p].Closed && !math.IsInf(x, -1) {
			out, by[p] = append(out, p), x
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return by[out[i]] > by[out[j]] })
	return out[:min(n, len(out))]
}

// count counts the other users' training visits that match.
func (o *oracle) count(match func(i int) bool) float64 {
	n := 0.0
	for i := range o.others {
		n += yes(match(i))
	}
	return n
}
