package evidence

import (
	"math"
	"sort"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// logged kernels enter as log(k+0.05): the head is a softmax, in which a weight
// on a logarithm is an exponent on a count.
const logged = numKernels

// Features after the logged kernels.
const (
	fShareCount = logged + iota
	fShareHour
	fShareAge
	fShareSimilar
	fShareNext
	fNearest
	fNearestRecent
	fYesterday
	fLastWeek
	fSince
	fInterval
	fDue
	fDays
	fRankInv
	fRankLog
	fEndShare
	fStartShare
	fCurrent
	fIsLast
	fIsLast2
	fDistLast
	fDistUser
	fDistHome
	fSpeed
	fPopular
	fPopularHour
	fCatHour
	fCatRatio
	fOthersNext
	fOthersNextShare
	fOthersCatNext
	fCatShare
	fCatShareHour
	fNew
	fToday
	fOthersEnd
	fCatEnd
	fNearRank
	// NumFeatures is the width of a candidate's evidence.
	NumFeatures
)

// NumContext is the width of a request's own features.
const NumContext = 14

// totals of the kernels over all past POIs, for shares.
func (b *Builder) totals() (t [numKernels]float32) {
	for i := range b.past {
		for k, v := range b.past[i].k {
			t[k] += v
		}
	}
	return t
}

func lg(x float32) float32       { return float32(math.Log(float64(x))) }
func l1p(x float64) float32      { return float32(math.Log1p(x)) }
func ratio(a, b float32) float32 { return a / (b + 1e-6) }

// features fills one row for each candidate.
func (b *Builder) features(q *poi.Query, m *moment, out *Set) {
	totals := b.totals()
	home := b.home()
	own := b.stats.ownOf(q.User)
	for i, c := range out.POIs {
		f := out.Features[i*NumFeatures : (i+1)*NumFeatures]
		if b.stamp[c] == b.tick {
			b.pastFeatures(m, &b.past[b.slot[c]], &totals, f)
		} else {
			for k := range logged {
				f[k] = logFloor
			}
			f[fNearest], f[fNearestRecent] = 2.5, 2.5
			f[fSince], f[fInterval], f[fRankLog] = 8, 8, 5
			f[fNew] = 1
		}
		f[fNearRank] = l1p(b.closer(m.last, c))
		f[fIsLast], f[fIsLast2] = flag(c == m.last), flag(c == m.last2)
		b.spaceFeatures(q, m, c, home, f)
		b.crowdFeatures(m, own, c, f)
		cat := b.cats[b.stats.cat[c]]
		f[fCatShare] = ratio(cat[0], totals[kCount])
		f[fCatShareHour] = ratio(cat[1], totals[kTwo])
	}
}

// closer is how many of the places around the last POI are nearer to it than c:
// distance in units of the neighbourhood's density.
func (b *Builder) closer(last, c int32) float64 {
	if last < 0 {
		return keep
	}
	d := float32(b.stats.metres(last, c))
	return float64(sort.Search(len(b.stats.nearMetres[last]), func(i int) bool { return b.stats.nearMetres[last][i] >= d }))
}

var logFloor = lg(0.05)

// home is the user's most visited past POI, -1 if none.
func (b *Builder) home() int32 {
	best, home := float32(0), int32(-1)
	for i := range b.past {
		if b.past[i].k[kCount] > best {
			best, home = b.past[i].k[kCount], b.order[i]
		}
	}
	return home
}

func (b *Builder) pastFeatures(m *moment, p *past, totals *[numKernels]float32, f []float32) {
	for k := range logged {
		f[k] = lg(p.k[k] + 0.05)
	}
	f[fShareCount] = ratio(p.k[kCount], totals[kCount])
	f[fShareHour] = ratio(p.k[kHour], totals[kHour])
	f[fShareAge] = ratio(p.k[kAge30], totals[kAge30])
	f[fShareSimilar] = ratio(p.k[kSimilar], totals[kSimilar])
	f[fShareNext] = ratio(p.k[kNextHour], totals[kNextHour]+0.5)
	f[fNearest] = l1p(float64(p.nearest))
	f[fNearestRecent] = l1p(float64(p.nearestRecent))
	f[fYesterday], f[fLastWeek] = p.yesterday, p.lastWeek
	since := math.Max(0, float64(m.local-p.last)/hourMS)
	f[fSince] = l1p(since)
	interval := 24.0 * 60
	if p.k[kCount] > 1 {
		interval = float64(p.last-p.first) / hourMS / float64(p.k[kCount]-1)
	}
	f[fInterval] = l1p(interval)
	f[fDue] = f[fSince] - f[fInterval]
	f[fDays] = float32(bitsOf(p.days)) / 30
	f[fRankInv] = 1 / (1 + float32(p.rank))
	f[fRankLog] = l1p(float64(p.rank))
	f[fEndShare] = p.k[kEnd] / (p.k[kCount] + 1)
	f[fStartShare] = p.k[kStart] / (p.k[kCount] + 1)
	f[fCurrent] = l1p(float64(p.current))
	f[fToday] = p.today
}

func bitsOf(x uint32) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

// spaceFeatures are logarithms of distances in units of 100 m.
func (b *Builder) spaceFeatures(q *poi.Query, m *moment, c, home int32, f []float32) {
	unknown := float32(3.5)
	f[fDistLast], f[fDistUser], f[fDistHome] = unknown, unknown, unknown
	if m.last >= 0 {
		d := b.stats.metres(m.last, c)
		f[fDistLast] = l1p(d / 100)
		f[fSpeed] = l1p(d/1000/(m.gap+0.1)) - 1
	}
	if q.HasPos {
		p := b.stats.places[c]
		f[fDistUser] = l1p(geo.Metres(q.Lat, q.Lng, p.Lat, p.Lng) / 100)
	}
	if home >= 0 {
		f[fDistHome] = l1p(b.stats.metres(home, c) / 100)
	}
}

// crowdFeatures say what everybody else does.
func (b *Builder) crowdFeatures(m *moment, own *tally, c int32, f []float32) {
	s := b.stats
	visits := s.all.visits[c] - own.visits[c]
	f[fPopular] = lg(visits + 0.5)
	hour := m.minute / 60
	f[fPopularHour] = lg((smoothHours(s.all.hours[c], own.hours[c], hour) + 0.1) / (visits + 2.4))
	cat := s.cat[c]
	var all, mine *[24]float32
	if x := s.all.catHours[cat]; x != nil {
		all = &x[m.weekend]
	}
	if x := own.catHours[cat]; x != nil {
		mine = &x[m.weekend]
	}
	at, total := smoothHours(all, mine, hour), sumHours(all, mine)
	f[fCatHour] = lg(at + 0.5)
	f[fCatRatio] = lg((at + 0.1) / (total + 2.4))
	ends, catVisits := s.all.ends[c]-own.ends[c], s.all.catVisits[cat]-own.catVisits[cat]
	catEnd := (s.all.catEnds[cat] - own.catEnds[cat] + 2) / (catVisits + 10)
	f[fCatEnd] = catEnd
	f[fOthersEnd] = (ends + 5*catEnd) / (visits + 5)
	if m.last < 0 {
		f[fOthersNext], f[fOthersCatNext] = lg(0.1), lg(1e-3)
		return
	}
	next := s.all.next[pair{m.last, c}] - own.next[pair{m.last, c}]
	from := s.all.visits[m.last] - own.visits[m.last]
	f[fOthersNext] = lg(next + 0.1)
	f[fOthersNextShare] = next / (from + 5)
	catNext := s.all.catNext[pair{m.lastCat, cat}] - own.catNext[pair{m.lastCat, cat}]
	f[fOthersCatNext] = lg((catNext + 0.5) / ((s.all.total-own.total)/100 + 1))
}

// smoothHours is the count at the hour, with half of each neighbour's, ours out.
func smoothHours(all, own *[24]float32, hour int64) float32 {
	if all == nil {
		return 0
	}
	sum := float32(0)
	for d := int64(-1); d <= 1; d++ {
		h := (hour + d + 24) % 24
		x := all[h]
		if own != nil {
			x -= own[h]
		}
		if d != 0 {
			x /= 2
		}
		sum += x
	}
	return sum
}

func sumHours(all, own *[24]float32) float32 {
	if all == nil {
		return 0
	}
	sum := float32(0)
	for h := range all {
		sum += all[h]
		if own != nil {
			sum -= own[h]
		}
	}
	return sum
}

// context describes the request itself.
func (b *Builder) context(m *moment, out *Set) {
	n := len(m.history)
	angle := 2 * math.Pi * float64(m.minute) / 1440
	week := 2 * math.Pi * (float64(m.day) + float64(m.minute)/1440) / 7
	entropy, recentNew := 0.0, 0.0
	for i := range b.past {
		p := float64(b.past[i].k[kCount]) / float64(max(n, 1))
		entropy -= p * math.Log(p)
		if b.past[i].k[kCount] == 1 && int(b.past[i].rank) < 20 {
			recentNew++
		}
	}
	current := float64(n - m.currentFrom)
	copy(out.Context, []float32{
		l1p(m.gap) / 3, float32(m.weekend),
		float32(math.Sin(angle)), float32(math.Cos(angle)), float32(math.Sin(2 * angle)), float32(math.Cos(2 * angle)),
		float32(math.Sin(week)), float32(math.Cos(week)),
		l1p(float64(n)) / 5, l1p(float64(len(b.past))) / 4, float32(entropy) / 3, float32(recentNew) / 10,
		l1p(current) / 2, flag(m.gap > 12),
	})
}
