package evidence

import (
	"math"

	"github.com/whereto/whereto/poi"
)

// features returns one candidate's row; NaN where the oracle has no definition.
func (o *oracle) features(p int32) []float64 {
	f := make([]float64, NumFeatures)
	for i := range f {
		f[i] = math.NaN()
	}
	k := o.kernels(func(v poi.Visit) bool { return v.POI == p })
	all := o.kernels(func(poi.Visit) bool { return true })
	for i := range logged {
		f[i] = math.Log(k[i] + 0.05)
	}
	o.recency(p, k, all, f)
	o.space(p, f)
	o.crowd(p, f)
	cat := o.kernels(func(v poi.Visit) bool { return o.cat(v.POI) == o.cat(p) })
	f[fCatShare] = cat[kCount] / (all[kCount] + 1e-6)
	f[fCatShareHour] = cat[kTwo] / (all[kTwo] + 1e-6)
	f[fNew] = yes(k[kCount] == 0)
	return f
}

// recency fills what depends on the user's own visits to the place.
func (o *oracle) recency(p int32, k, all [numKernels]float64, f []float64) {
	share := func(i int, more float64) float64 { return k[i] / (all[i] + more + 1e-6) }
	f[fShareCount], f[fShareHour], f[fShareAge] = share(kCount, 0), share(kHour, 0), share(kAge30, 0)
	f[fShareSimilar], f[fShareNext] = share(kSimilar, 0), share(kNextHour, 0.5)
	f[fEndShare], f[fStartShare] = k[kEnd]/(k[kCount]+1), k[kStart]/(k[kCount]+1)
	f[fIsLast], f[fIsLast2] = yes(p == o.back(1)), yes(p == o.back(2))
	f[fYesterday], f[fLastWeek], f[fDays], f[fCurrent], f[fToday] = 0, 0, 0, 0, 0
	if k[kCount] == 0 { // a new place has fixed values, and no interval to be due
		f[fNearest], f[fNearestRecent], f[fSince], f[fInterval], f[fDue] = 2.5, 2.5, 8, 8, 0
		f[fRankInv], f[fRankLog] = 0, 5
		return
	}
	nearest, recent, first, last, current, days := 12.0, 12.0, math.Inf(1), math.Inf(-1), 0.0, map[int]bool{}
	for j, v := range o.h {
		if v.POI != p {
			continue
		}
		age := o.age(j)
		nearest = math.Min(nearest, o.hours(j))
		if age < 14*24 {
			recent = math.Min(recent, o.hours(j))
		}
		f[fYesterday] = math.Max(f[fYesterday], yes(math.Abs(age-24) < 1.5))
		f[fLastWeek] = math.Max(f[fLastWeek], yes(math.Abs(age-7*24) < 1.5))
		if age < 30*24 {
			days[int(age/24)] = true
		}
		first, last = math.Min(first, o.local(v)), math.Max(last, o.local(v))
		current += yes(o.inCurrent(j))
		f[fToday] = math.Max(f[fToday], yes(o.local(v) >= math.Floor((o.now-4)/24)*24+4)) // a day begins at four
	}
	interval := 24.0 * 60
	if k[kCount] > 1 {
		interval = (last - first) / (k[kCount] - 1)
	}
	f[fNearest], f[fNearestRecent] = math.Log1p(nearest), math.Log1p(recent)
	f[fSince], f[fInterval] = math.Log1p(math.Max(0, o.now-last)), math.Log1p(interval)
	f[fDue], f[fDays], f[fCurrent] = f[fSince]-f[fInterval], float64(len(days))/30, math.Log1p(current)
	rank := float64(o.rank(p, o.h))
	f[fRankInv], f[fRankLog] = 1/(1+rank), math.Log1p(rank)
}

// inCurrent is true if no gap over 24 hours lies between visit j and the request.
func (o *oracle) inCurrent(j int) bool {
	for ; j < len(o.h); j++ {
		if o.gapAfter(j) > 24 {
			return false
		}
	}
	return true
}

func (o *oracle) space(p int32, f []float64) {
	f[fDistLast], f[fDistUser], f[fDistHome], f[fSpeed], f[fNearRank] = 3.5, 3.5, 3.5, 0, math.Log1p(keep)
	if o.q.HasPos {
		f[fDistUser] = math.Log1p(o.from(o.q.Lat, o.q.Lng, p) / 100)
	}
	if len(o.h) == 0 {
		return
	}
	d := o.metres(o.back(1), p)
	gap := math.Max(0, o.now-o.local(o.h[len(o.h)-1]))
	f[fDistLast], f[fSpeed] = math.Log1p(d/100), math.Log1p(d/1000/(gap+0.1))-1
	closer := 0.0
	for x := range int32(len(o.d.Places)) {
		inList := x != o.back(1) && !o.d.Places[x].Closed && o.neighbours(o.back(1), x)
		closer += yes(inList && float32(o.metres(o.back(1), x)) < float32(d))
	}
	f[fNearRank] = math.Log1p(closer)
	home, most := int32(-1), 0.0
	for _, x := range o.distinct() {
		if n := o.kernels(func(v poi.Visit) bool { return v.POI == x })[kCount]; n > most {
			home, most = x, n
		}
	}
	f[fDistHome] = math.Log1p(o.metres(home, p) / 100)
}

// crowd fills what other people's training visits say.
func (o *oracle) crowd(p int32, f []float64) {
	hour := o.request().Local().Hour()
	near := func(v poi.Visit) float64 { // 1 at the hour, half next to it
		switch (v.Local().Hour() - hour + 24) % 24 {
		case 0:
			return 1
		case 1, 23:
			return 0.5
		}
		return 0
	}
	var visits, atHour, catHour, catAll, next, from, catNext, ends, catEnds, catVisits float64
	for i, v := range o.others {
		visits += yes(v.POI == p)
		atHour += yes(v.POI == p) * near(v)
		sameCat := o.cat(v.POI) == o.cat(p)
		sameEnd := (monday(v) >= 5) == (monday(o.request()) >= 5)
		catHour += yes(sameCat && sameEnd) * near(v)
		catAll += yes(sameCat && sameEnd)
		ends += yes(v.POI == p && o.closed[i])
		catEnds += yes(sameCat && o.closed[i])
		catVisits += yes(sameCat)
		from += yes(v.POI == o.back(1))
		if o.prev[i] != nil && len(o.h) > 0 {
			next += yes(v.POI == p && o.prev[i].POI == o.back(1))
			catNext += yes(sameCat && o.cat(o.prev[i].POI) == o.cat(o.back(1)))
		}
	}
	f[fPopular] = math.Log(visits + 0.5)
	f[fPopularHour] = math.Log((atHour + 0.1) / (visits + 2.4))
	f[fCatHour] = math.Log(catHour + 0.5)
	f[fCatRatio] = math.Log((catHour + 0.1) / (catAll + 2.4))
	f[fCatEnd] = (catEnds + 2) / (catVisits + 10)
	f[fOthersEnd] = (ends + 5*f[fCatEnd]) / (visits + 5)
	f[fOthersNext], f[fOthersNextShare], f[fOthersCatNext] = math.Log(0.1), 0, math.Log(1e-3)
	if len(o.h) > 0 {
		f[fOthersNext], f[fOthersNextShare] = math.Log(next+0.1), next/(from+5)
		f[fOthersCatNext] = math.Log((catNext + 0.5) / (float64(len(o.others))/100 + 1))
	}
}

// context returns the request's own features.
func (o *oracle) context() []float64 {
	t := o.request().Local()
	day := float64(t.Hour()*60+t.Minute()) / 1440
	week := (float64(monday(o.request())) + day) / 7
	gap := 0.0
	if n := len(o.h); n > 0 {
		gap = math.Max(0, o.now-o.local(o.h[n-1]))
	}
	entropy, fresh, current := 0.0, 0.0, 0.0
	for _, p := range o.distinct() {
		n := o.kernels(func(v poi.Visit) bool { return v.POI == p })[kCount]
		entropy -= n / float64(len(o.h)) * math.Log(n/float64(len(o.h)))
		fresh += yes(n == 1 && o.rank(p, o.h) < 20)
	}
	for j := range o.h {
		current += yes(o.inCurrent(j))
	}
	return []float64{math.Log1p(gap) / 3, yes(monday(o.request()) >= 5),
		math.Sin(2 * math.Pi * day), math.Cos(2 * math.Pi * day), math.Sin(4 * math.Pi * day), math.Cos(4 * math.Pi * day),
		math.Sin(2 * math.Pi * week), math.Cos(2 * math.Pi * week),
		math.Log1p(float64(len(o.h))) / 5, math.Log1p(float64(len(o.distinct()))) / 4, entropy / 3, fresh / 10,
		math.Log1p(current) / 2, yes(gap > 12)}
}
