package evidence

import (
	"math"

	"github.com/whereto/whereto/poi"
)

// Gaussian kernels of the hour difference by minute, and decays by hour of age.
var (
	hourKernel [4][721]float32
	ageKernel  [4][400 * 24]float32
)

func init() {
	for i, sigma := range []float64{0.5, 1, 2, 3} {
		for m := range hourKernel[i] {
			x := float64(m) / 60 / sigma
			hourKernel[i][m] = float32(math.Exp(-x * x / 2))
		}
	}
	for i, tau := range []float64{7, 30, 60, 90} {
		for h := range ageKernel[i] {
			ageKernel[i][h] = float32(math.Exp(-float64(h) / 24 / tau))
		}
	}
}

const (
	dayMS  = 86_400_000
	hourMS = 3_600_000
)

func localMS(ms int64, offset int16) int64 { return ms + int64(offset)*60_000 }

func hourOf(v poi.Visit) int { return int(mod(localMS(v.TimeMS, v.OffsetMin), dayMS) / hourMS) }

func mod(a, b int64) int64 { return ((a % b) + b) % b }

// weekday returns 0 for Monday to 6 for Sunday of a local instant.
func weekday(local int64) int64 { return mod(floorDiv(local, dayMS)+3, 7) }

func floorDiv(a, b int64) int64 { return (a - mod(a, b)) / b }

func weekendOf(ms int64, offset int16) int {
	if weekday(localMS(ms, offset)) >= 5 {
		return 1
	}
	return 0
}

// moment is the request seen from the history.
type moment struct {
	local, minute int64
	day           int64
	weekend       int
	history       []poi.Visit
	last, last2   int32 // POIs of the last two visits, -1 if none
	lastCat       int32
	gap           float64 // hours since the last visit, 0 if none
	currentFrom   int     // first visit of the trajectory still open at the request
	dayFrom       int     // first visit of the last 24 hours
	today         int64   // start of the local day, which begins at four in the morning
}

func (b *Builder) moment(q *poi.Query) moment {
	m := moment{local: localMS(q.TimeMS, q.OffsetMin), last: -1, last2: -1, lastCat: -1}
	m.minute, m.day = mod(m.local, dayMS)/60_000, weekday(m.local)
	if m.day >= 5 {
		m.weekend = 1
	}
	m.history = q.History
	if len(m.history) > b.cfg.History {
		m.history = m.history[len(m.history)-b.cfg.History:]
	}
	m.currentFrom = openFrom(m.history, m.local)
	if !b.cfg.WholeHistory {
		m.history, m.currentFrom = m.history[m.currentFrom:], 0
	}
	n := len(m.history)
	if n > 0 {
		m.last = m.history[n-1].POI
		m.lastCat = b.stats.cat[m.last]
		m.gap = hoursBetween(m.history[n-1], m.local)
	}
	if n > 1 {
		m.last2 = m.history[n-2].POI
	}
	m.today = floorDiv(m.local-4*hourMS, dayMS)*dayMS + 4*hourMS
	m.dayFrom = n
	for m.dayFrom > 0 && m.local-at(m.history, m.dayFrom-1) <= dayMS {
		m.dayFrom--
	}
	return m
}

// openFrom is the first visit of the trajectory that is still open at a time.
func openFrom(h []poi.Visit, local int64) int {
	n := len(h)
	for end := local; n > 0 && end-at(h, n-1) <= dayMS; n-- {
		end = at(h, n-1)
	}
	return n
}

// at is the local time of visit j.
func at(h []poi.Visit, j int) int64 { return localMS(h[j].TimeMS, h[j].OffsetMin) }

func hoursBetween(v poi.Visit, local int64) float64 {
	return math.Max(0, float64(local-localMS(v.TimeMS, v.OffsetMin))/hourMS)
}

// scan walks the history once and fills the kernels of every past POI.
func (b *Builder) scan(m *moment) {
	b.tick++
	b.past, b.order = b.past[:0], b.order[:0]
	clear(b.cats)
	clear(b.company)
	h := m.history
	for _, v := range h[m.dayFrom:] {
		b.company[v.POI] = 0
	}
	together, oldest := 0, 0
	for j := range h {
		v := &h[j]
		for ; oldest < j && at(h, j)-at(h, oldest) > dayMS; oldest++ {
			if n, ok := b.company[h[oldest].POI]; ok {
				b.company[h[oldest].POI] = n - 1
				together -= int(flag(n == 1))
			}
		}
		if b.stamp[v.POI] != b.tick {
			b.stamp[v.POI], b.slot[v.POI] = b.tick, int32(len(b.past))
			b.past = append(b.past, past{nearest: 12, nearestRecent: 12, first: localMS(v.TimeMS, v.OffsetMin)})
			b.order = append(b.order, v.POI)
		}
		p := &b.past[b.slot[v.POI]]
		b.visit(m, j, p)
		b.accompanied(m, j, p, together)
		if n, ok := b.company[v.POI]; ok {
			b.company[v.POI] = n + 1
			together += int(flag(n == 0))
		}
	}
	seen := int32(0)
	for j := len(h) - 1; j >= 0; j-- {
		if p := &b.past[b.slot[h[j].POI]]; p.rank < 0 {
			p.rank = seen
			seen++
		}
	}
}

// accompanied adds how much of the request's last day was also seen in the day
// before visit j, and whether the request's last POI was.
func (b *Builder) accompanied(m *moment, j int, p *past, together int) {
	if together == 0 {
		return
	}
	age, k2 := m.decays(j)
	p.k[kCompany] += float32(together) * age
	if b.company[m.last] > 0 {
		p.k[kAfter] += age
		p.k[kAfterHour] += k2
	}
}

// decays are the 60-day and the two-hour kernels of visit j.
func (m *moment) decays(j int) (a60, k2 float32) {
	t := at(m.history, j)
	diff := m.minute - mod(t, dayMS)/60_000
	if diff < 0 {
		diff = -diff
	}
	return ageKernel[2][min(max(0, m.local-t)/hourMS, int64(len(ageKernel[0])-1))], hourKernel[2][min(diff, 1440-diff)]
}

// visit adds visit j of the history to its POI.
func (b *Builder) visit(m *moment, j int, p *past) {
	h := m.history
	at := at(h, j)
	age := max(0, m.local-at)
	ageHours := min(age/hourMS, int64(len(ageKernel[0])-1))
	diff := m.minute - mod(at, dayMS)/60_000
	if diff < 0 {
		diff = -diff
	}
	diff = min(diff, 1440-diff)
	k05, k1, k2, k3 := hourKernel[0][diff], hourKernel[1][diff], hourKernel[2][diff], hourKernel[3][diff]
	a7, a30, a60, a90 := ageKernel[0][ageHours], ageKernel[1][ageHours], ageKernel[2][ageHours], ageKernel[3][ageHours]
	day := weekday(at)
	sameDay, sameEnd := flag(day == m.day), flag((day >= 5) == (m.weekend == 1))
	k := &p.k
	k[kCount]++
	k[kAge7] += a7
	k[kAge30] += a30
	k[kAge60] += a60
	k[kAge90] += a90
	k[kHalf] += k05
	k[kHour] += k1
	k[kTwo] += k2
	k[kThree] += k3
	k[kHourDay] += k1 * sameDay
	k[kHourWeekend] += k1 * sameEnd
	k[kHourAge] += k1 * a30
	k[kHourWeekendAge] += k1 * sameEnd * a30
	k[kTwoAge7] += k2 * a7
	k[kDay] += sameDay
	k[kWeekend] += sameEnd
	k[kThreeDays] += k2 * flag(age < 3*dayMS)
	k[kHourDayAge] += k1 * sameDay * a60
	k[kHalfAge] += k05 * a30
	similar := k2 * (0.4 + 0.6*sameEnd) * (0.2 + a60)
	if j > 0 {
		similar *= b.followed(m, j, k, k2, a60, at)
	}
	k[kSimilar] += similar
	b.trajectory(m, j, k, at, a60, k2)
	hours := float32(diff) / 60
	p.nearest = min(p.nearest, hours)
	if age < 14*dayMS {
		p.nearestRecent = min(p.nearestRecent, hours)
	}
	p.yesterday = max(p.yesterday, flag(around(age, dayMS)))
	p.lastWeek = max(p.lastWeek, flag(around(age, 7*dayMS)))
	if d := age / dayMS; d < 30 {
		p.days |= 1 << uint(d)
	}
	p.last, p.rank = at, -1
	if j >= m.currentFrom {
		p.current++
	}
	p.today = max(p.today, flag(at >= m.today))
	c := b.cats[b.stats.cat[h[j].POI]]
	b.cats[b.stats.cat[h[j].POI]] = [2]float32{c[0] + 1, c[1] + k2}
}

// followed adds what the visit before j says and returns how alike the two
// moments are: same previous POI, same previous category, neither.
func (b *Builder) followed(m *moment, j int, k *[numKernels]float32, k2, a60 float32, at int64) float32 {
	h := m.history
	prev := h[j-1].POI
	like := float32(0.3)
	x := math.Log1p(hoursBetween(h[j-1], at)) - math.Log1p(m.gap)
	gap := float32(math.Exp(-2 * x * x))
	k[kGapHour] += k2 * gap
	if b.stats.cat[prev] == m.lastCat {
		k[kCatNext] += a60
		k[kCatNextHour] += k2
		like = 0.8
	}
	if prev == m.last {
		k[kNext]++
		k[kNextAge] += a60
		k[kNextHour] += k2
		k[kNextGap] += gap
		like = 3
		if j > 1 && h[j-2].POI == m.last2 {
			k[kNext2]++
		}
	}
	return like
}

// trajectory adds whether visit j opened or closed a trajectory.
func (b *Builder) trajectory(m *moment, j int, k *[numKernels]float32, at int64, a60, k2 float32) {
	h := m.history
	next := m.local
	if j+1 < len(h) {
		next = localMS(h[j+1].TimeMS, h[j+1].OffsetMin)
	}
	if next-at > dayMS {
		k[kEnd]++
		k[kEndAge] += a60
		k[kEndHour] += k2
	}
	if j == 0 || at-localMS(h[j-1].TimeMS, h[j-1].OffsetMin) > dayMS {
		k[kStart]++
	}
}

func around(age, want int64) bool { return age > want-hourMS*3/2 && age < want+hourMS*3/2 }

func flag(b bool) float32 {
	if b {
		return 1
	}
	return 0
}
