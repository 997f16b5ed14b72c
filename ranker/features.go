package ranker

import (
	"fmt"
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Dense features of an option. Times are hours, distances kilometres, both as
// log(1+x); click rates are log((clicks+prior)/(expected+prior)), where expected
// is what the positions alone would have drawn ("clicks over expected clicks").
const (
	denseDistance     = iota // from the person, or the last visited place
	denseNowhere             // 1 if there is neither
	denseVisits              // training visits to the place so far, log(1+x)
	denseShown               // times the place was shown so far
	denseRate                // click rate of the place
	denseCategoryRate        // click rate of its leaf category
	denseUserShown           // options the person was shown so far
	denseUserRate            // click rate of the person
	denseTasteShown          // options of that leaf category the person was shown so far
	denseTasteRate           // the person's click rate of that leaf category
	denseReturns             // the person's visits to the place
	denseNever               // 1 if there are none
	denseAge                 // since the last one
	denseShare               // share of the person's visits in the category, categoryLevels of them
	denseHourShare    = denseShare + categoryLevels
	denseLast         = denseHourShare + 1 // from the last visited place
	denseNear         = denseLast + 1      // from the nearest of the recent visits
	denseHistory      = denseNear + 1      // visits before the request
	densePosition     = denseHistory + 1
	denseFeatures     = densePosition + 1
)

// hourWindow is the largest difference of local hours for denseHourShare: the
// share of the leaf category among the visits at about this time of day.
const hourWindow = 2

// counted bounds the visits that a person's counts are taken from, the latest.
const counted = 1024

// Columns of a recent visit that are rows of the embedding table.
const (
	pastPlace    = iota
	pastCategory // categoryLevels of them
	pastHour     = pastCategory + categoryLevels
	pastType     = pastHour + 1
	pastRows     = pastType + 1
)

// Columns of a recent visit that are numbers.
const (
	pastX       = iota // kilometres east of the first option
	pastY              // north
	pastAge            // log(1+hours)
	pastClock          // cosine of the difference of the hours of day
	pastNumbers        // how many there are
)

// arrays is a batch on the host.
type arrays struct {
	r, o    int
	request []int32   // [R, A]
	option  []int32   // [R, O, F]
	dense   []float32 // [R, O, X]
	past    []int32   // [R, H, pastRows], row 0 in pastPlace is padding
	pastAt  []float32 // [R, H, pastNumbers]
	at      []float32 // [R, O, 2] kilometres east and north of the first option
	label   []float32 // [R, O]
	weight  []float32 // [R, O], 0 is padding
}

// builder computes features. It keeps scratch space: one goroutine at a time.
type builder struct {
	c        Config
	d        *poi.Dataset
	f        *fields
	b        *books
	extra    *Extra
	training bool // options are given their true position also with PositionTrain

	visitsTo map[int32]int // of the person of the current request
	lastTo   map[int32]int64
	inLevel  [categoryLevels]map[int32]int // by row
	atHour   map[int32]int                 // by leaf, about this hour
	total    int                           // visits counted, and about this hour
	hourly   int
}

func (s *builder) width() int { return denseFeatures + s.extra.width() }

// newArrays makes room for r requests of up to o options.
func (s *builder) newArrays(r, o int) *arrays {
	h := s.c.History
	return &arrays{r: r, o: o, request: make([]int32, r*requestFields), option: make([]int32, r*o*optionFields),
		dense: make([]float32, r*o*s.width()), past: make([]int32, r*h*pastRows), pastAt: make([]float32, r*h*pastNumbers),
		at: make([]float32, r*o*2), label: make([]float32, r*o), weight: make([]float32, r*o)}
}

// put writes request r as row i of a. Labels are written too: only training
// batches pass them on.
func (s *builder) put(a *arrays, i int, r *poi.Request) error {
	if err := s.f.check(s.d, r); err != nil {
		return fmt.Errorf("request %s: %w", r.ID, err)
	}
	if len(r.Options) == 0 {
		return nil
	}
	q := s.d.QueryAt(r)
	s.count(q)
	lat, lng, known := whereabouts(s.d, q)
	s.putRequest(a.request[i*requestFields:(i+1)*requestFields], r, lat, lng, known)
	h := s.c.History
	origin := s.d.Places[r.Options[0].POI]
	s.putPast(a.past[i*h*pastRows:(i+1)*h*pastRows], a.pastAt[i*h*pastNumbers:(i+1)*h*pastNumbers], q, origin)
	w := s.width()
	for j, o := range r.Options {
		at := i*a.o + j
		position := j
		if s.c.Position == PositionTrain && !s.training {
			position = 0
		}
		p := s.d.Places[o.POI]
		metres := -1.0
		if known {
			metres = geo.MetresApprox(lat, lng, p.Lat, p.Lng)
		}
		s.putOption(a.option[at*optionFields:(at+1)*optionFields], r, o.POI, position, metres)
		s.putDense(a.dense[at*w:at*w+denseFeatures], r, q, o.POI, position, metres)
		a.at[2*at], a.at[2*at+1] = plane(origin, p.Lat, p.Lng)
		a.weight[at] = 1
		if o.Clicked {
			a.label[at] = 1
		}
	}
	if err := s.extra.put(a.dense[i*a.o*w:(i*a.o+len(r.Options))*w], w, denseFeatures, r); err != nil {
		return fmt.Errorf("request %s: %w", r.ID, err)
	}
	return nil
}

// whereabouts is the person's position, or else the last visited place.
func whereabouts(d *poi.Dataset, q poi.Query) (lat, lng float64, known bool) {
	if q.HasPos {
		return q.Lat, q.Lng, true
	}
	if n := len(q.History); n > 0 {
		p := d.Places[q.History[n-1].POI]
		return p.Lat, p.Lng, true
	}
	return 0, 0, false
}

// hourOf and dayOf are the local hour and weekday (Sunday is 0) of an instant.
func hourOf(ms int64, offsetMin int16) int {
	return int(floorMod(ms+int64(offsetMin)*60_000, 86_400_000) / 3_600_000)
}

func dayOf(ms int64, offsetMin int16) int {
	local := ms + int64(offsetMin)*60_000
	days := (local - floorMod(local, 86_400_000)) / 86_400_000
	return int(floorMod(days+4, 7)) // 1970 began on a Thursday
}

func floorMod(a, b int64) int64 { return ((a % b) + b) % b }

// count tallies the person's latest visits before the request.
func (s *builder) count(q poi.Query) {
	s.visitsTo, s.lastTo, s.atHour = map[int32]int{}, map[int32]int64{}, map[int32]int{}
	for l := range s.inLevel {
		s.inLevel[l] = map[int32]int{}
	}
	s.total, s.hourly = 0, 0
	now := hourOf(q.TimeMS, q.OffsetMin)
	for _, v := range q.History[max(0, len(q.History)-counted):] {
		s.visitsTo[v.POI]++
		s.lastTo[v.POI] = max(s.lastTo[v.POI], v.TimeMS)
		for l, row := range s.f.category[v.POI] {
			s.inLevel[l][row]++
		}
		s.total++
		gap := (hourOf(v.TimeMS, v.OffsetMin) - now + 24) % 24
		if min(gap, 24-gap) <= hourWindow {
			s.atHour[s.f.leaf[v.POI]]++
			s.hourly++
		}
	}
}

func (s *builder) putRequest(dst []int32, r *poi.Request, lat, lng float64, known bool) {
	f, profile := s.f, s.d.Users[r.User].Profile
	dst[fieldUser] = f.user[r.User]
	dst[fieldGender], dst[fieldAge], dst[fieldOccupation] = f.gender.row(profile.Gender), f.age.row(profile.AgeBand), f.job.row(profile.Occupation)
	for i := range profileTags {
		dst[fieldTag+i] = f.tags.first
		if i < len(profile.Tags) {
			dst[fieldTag+i] = f.tags.row(profile.Tags[i])
		}
	}
	dst[fieldHour] = f.hour + 1 + int32(hourOf(r.TimeMS, r.OffsetMin))
	dst[fieldWeekday] = f.weekday + 1 + int32(dayOf(r.TimeMS, r.OffsetMin))
	dst[fieldHere] = f.here
	if known {
		dst[fieldHere] = f.blockRow(lat, lng)
	}
}

// putPast writes the latest visits, the last one first.
func (s *builder) putPast(rows []int32, at []float32, q poi.Query, origin poi.Place) {
	now := hourOf(q.TimeMS, q.OffsetMin)
	for k := range min(s.c.History, len(q.History)) {
		v := q.History[len(q.History)-1-k]
		p := s.d.Places[v.POI]
		row, num := rows[k*pastRows:(k+1)*pastRows], at[k*pastNumbers:(k+1)*pastNumbers]
		hour := hourOf(v.TimeMS, v.OffsetMin)
		row[pastPlace] = s.f.place[v.POI]
		copy(row[pastCategory:pastHour], s.f.category[v.POI])
		row[pastHour], row[pastType] = s.f.hour+1+int32(hour), s.f.action
		if int(v.Type) < s.f.types {
			row[pastType] += 1 + int32(v.Type)
		}
		num[pastX], num[pastY] = plane(origin, p.Lat, p.Lng)
		num[pastAge] = log1p(hours(q.TimeMS - v.TimeMS))
		num[pastClock] = float32(math.Cos(2 * math.Pi * float64(hour-now) / 24))
	}
}

func (s *builder) putOption(dst []int32, r *poi.Request, place int32, position int, metres float64) {
	f := s.f
	dst[fieldPlace], dst[fieldBlock] = f.place[place], f.block[place]
	copy(dst[fieldCategory:fieldBlock], f.category[place])
	dst[fieldDistance] = f.distanceRow(metres)
	dst[fieldPosition] = f.slot
	if s.c.Position != PositionOff {
		dst[fieldPosition] += 1 + int32(min(position, positions-1))
	}
	day := dayOf(r.TimeMS, r.OffsetMin)
	dst[fieldCross] = f.crossRow(f.leaf[place], hourOf(r.TimeMS, r.OffsetMin), day == 0 || day == 6)
	dst[fieldCount] = f.countRow(s.visitsTo[place])
}

func (s *builder) putDense(dst []float32, r *poi.Request, q poi.Query, place int32, position int, metres float64) {
	dst[denseDistance] = log1p(metres / 1000)
	if metres < 0 {
		dst[denseDistance], dst[denseNowhere] = 0, 1
	}
	dst[denseVisits] = log1p(float64(s.b.popularity(place, r.TimeMS)))
	leaf := s.f.leaf[place]
	t := s.b.place.at(int64(place), r.TimeMS)
	dst[denseShown], dst[denseRate] = log1p(float64(t.shown)), s.rate(t)
	dst[denseCategoryRate] = s.rate(s.b.category.at(int64(leaf), r.TimeMS))
	t = s.b.user.at(int64(r.User), r.TimeMS)
	dst[denseUserShown], dst[denseUserRate] = log1p(float64(t.shown)), s.rate(t)
	t = s.b.taste.at(tasteKey(r.User, leaf), r.TimeMS)
	dst[denseTasteShown], dst[denseTasteRate] = log1p(float64(t.shown)), s.rate(t)

	n := s.visitsTo[place]
	dst[denseReturns] = log1p(float64(n))
	if n == 0 {
		dst[denseNever] = 1
	} else {
		dst[denseAge] = log1p(hours(r.TimeMS - s.lastTo[place]))
	}
	for l, row := range s.f.category[place] {
		dst[denseShare+l] = float32(s.inLevel[l][row]) / float32(max(1, s.total))
	}
	dst[denseHourShare] = float32(s.atHour[leaf]) / float32(max(1, s.hourly))
	dst[denseLast], dst[denseNear] = s.reach(q, place)
	dst[denseHistory] = log1p(float64(len(q.History)))
	if s.c.Position != PositionOff {
		dst[densePosition] = log1p(float64(position))
	}
}

// reach is how far a place is from the last visit and from the nearest of the
// recent ones, log(1+km); zero without history.
func (s *builder) reach(q poi.Query, place int32) (last, near float32) {
	p, nearest := s.d.Places[place], math.Inf(1)
	recent := q.History[max(0, len(q.History)-s.c.History):]
	for i := len(recent) - 1; i >= 0; i-- {
		at := s.d.Places[recent[i].POI]
		metres := geo.MetresApprox(p.Lat, p.Lng, at.Lat, at.Lng)
		if i == len(recent)-1 {
			last = log1p(metres / 1000)
		}
		nearest = min(nearest, metres)
	}
	if len(recent) == 0 {
		return 0, 0
	}
	return last, log1p(nearest / 1000)
}

// rate is the smoothed log of clicks over expected clicks.
func (s *builder) rate(t tally) float32 {
	return float32(math.Log((float64(t.clicks) + s.c.Prior) / (float64(t.expected) + s.c.Prior)))
}

func log1p(x float64) float32 { return float32(math.Log1p(max(0, x))) }

func hours(ms int64) float64 { return float64(ms) / 3_600_000 }

// plane returns kilometres east and north of a place, exact enough within a city
// and bounded elsewhere: only the logarithm of distances is used.
func plane(origin poi.Place, lat, lng float64) (x, y float32) {
	const kmPerDegree = geo.EarthRadius / 1000 * math.Pi / 180
	east := math.Remainder(lng-origin.Lng, 360)
	return float32(east * kmPerDegree * math.Cos(origin.Lat*math.Pi/180)), float32((lat - origin.Lat) * kmPerDegree)
}
