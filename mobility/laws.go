package mobility

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

const (
	// Ranks is how many places of a person the rank law tells of.
	Ranks = 50
	// fitRanks is how many of them its exponent is fitted to: beyond, most people
	// have no place left.
	fitRanks = 10
	msPerDay = 24 * 3600_000
)

// exploreMarks are the numbers of stays, and exploreDays the days after the
// first one, at which exploration is measured.
var (
	exploreMarks = []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	exploreDays  = []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
)

// Laws is what a log looks like in numbers.
type Laws struct {
	Name   string  `json:"name"`
	People int64   `json:"people"` // with at least one stay
	Stays  int64   `json:"stays"`
	Places int64   `json:"places"` // with at least one stay
	Days   float64 `json:"days"`   // from the first stay to the last

	Trip    *Dist    `json:"trip_m"` // metres
	TripFit PowerLaw `json:"trip_fit"`
	Gap     *Dist    `json:"gap_s"` // seconds between stays of a person that follow each other

	Visits   *Dist `json:"stays_per_person"`
	Distinct *Dist `json:"places_per_person"`
	// Gyration is in metres and Entropy in bits, of how a person divides his stays
	// over places; both of people with at least two stays.
	Gyration *Dist `json:"gyration_m"`
	Entropy  *Dist `json:"entropy_bits"`

	// Rank[k] is the mean over people of the share of their stays at their k-th
	// most visited place, from k=0; RankSlope its exponent (Song, Koren, Wang and
	// Barabasi 2010 found -1.2).
	Rank      []float64 `json:"rank_share"`
	RankSlope float64   `json:"rank_slope"`
	// Explore is the mean number of distinct places after X stays, ExploreDays the
	// same X days after the first stay, over people whose log is as long. The
	// slopes are exponents of X (0.6 by time in the same paper).
	Explore          []Point `json:"explore"`
	ExploreSlope     float64 `json:"explore_slope"`
	ExploreDays      []Point `json:"explore_days"`
	ExploreDaysSlope float64 `json:"explore_days_slope"`
	// ReturnShare is the share of stays, but for a person's first, at a place
	// where he has been.
	ReturnShare float64 `json:"return_share"`

	// Popularity is stays per place. PopularitySlope is the exponent of stays by
	// rank of the place, TopShare the share of stays at a hundredth of the places.
	Popularity      *Dist   `json:"stays_per_place"`
	PopularitySlope float64 `json:"popularity_slope"`
	TopShare        float64 `json:"top_share"`
	Ranked          []Point `json:"-"` // stays by rank, at ranks about a factor 1.25 apart

	Rhythm [7][24]int64         `json:"rhythm"` // stays by local weekday (0 is Sunday) and hour
	Mix    map[string][24]int64 `json:"mix"`    // stays by category group and local hour
}

// mean is a sum and how many people it is of.
type mean struct {
	sum float64
	n   int64
}

// Collector gathers laws, one person at a time. It is not safe for concurrent
// use.
type Collector struct {
	laws          Laws
	first, last   int64
	returns       int64
	rank          [Ranks]float64
	explore, days []mean
	popularity    map[string]int64
	stays         []poi.Action // scratch
}

// NewCollector returns a Collector that has seen nobody.
func NewCollector() *Collector {
	return &Collector{
		laws: Laws{Trip: newDist(false), Gap: newDist(false), Visits: newDist(true), Distinct: newDist(true),
			Gyration: newDist(false), Entropy: newDist(false), Popularity: newDist(true), Mix: map[string][24]int64{}},
		first: math.MaxInt64, last: math.MinInt64,
		explore: make([]mean, len(exploreMarks)), days: make([]mean, len(exploreDays)),
		popularity: map[string]int64{},
	}
}

// Add takes the actions of one person, all of them, in any order; those that
// are no stays do not count. Give each person once. On an error nothing of him
// is counted. The actions are not kept.
func (c *Collector) Add(actions []poi.Action) error {
	if err := check(actions); err != nil {
		return err
	}
	c.stays = chronological(c.stays[:0], actions)
	if len(c.stays) == 0 {
		return nil
	}
	c.laws.People++
	c.laws.Stays += int64(len(c.stays))
	c.first, c.last = min(c.first, c.stays[0].TimeMS), max(c.last, c.stays[len(c.stays)-1].TimeMS)
	c.steps()
	counts := c.places()
	c.laws.Visits.add(float64(len(c.stays)))
	c.laws.Distinct.add(float64(len(counts)))
	c.shares(counts)
	if len(c.stays) > 1 {
		c.laws.Gyration.add(gyration(c.stays))
	}
	return nil
}

// steps counts what happens between stays and when they are.
func (c *Collector) steps() {
	for i := range c.stays {
		a := &c.stays[i]
		local := poi.LocalTime(a.TimeMS, a.OffsetMin)
		c.laws.Rhythm[local.Weekday()][local.Hour()]++
		group := Group(a.Category)
		if _, known := c.laws.Mix[group]; !known && len(c.laws.Mix) >= maxGroups {
			group = Other
		}
		hours := c.laws.Mix[group]
		hours[local.Hour()]++
		c.laws.Mix[group] = hours
		if i == 0 {
			continue
		}
		b := &c.stays[i-1]
		gap := a.TimeMS - b.TimeMS
		c.laws.Gap.add(float64(gap) / 1000)
		if a.POI != b.POI && gap <= MaxGap.Milliseconds() {
			c.laws.Trip.add(geo.Metres(b.Lat, b.Lng, a.Lat, a.Lng))
		}
	}
}

// places counts the person's stays by place, returns and exploration.
func (c *Collector) places() map[string]int64 {
	counts := map[string]int64{}
	stay, day, start := 0, 0, c.stays[0].TimeMS
	for i := range c.stays {
		a := &c.stays[i]
		for ; day < len(exploreDays) && a.TimeMS-start > int64(exploreDays[day])*msPerDay; day++ {
			c.days[day].sum += float64(len(counts))
			c.days[day].n++
		}
		if counts[a.POI] > 0 {
			c.returns++
		}
		counts[a.POI]++
		if stay < len(exploreMarks) && i+1 == exploreMarks[stay] {
			c.explore[stay].sum += float64(len(counts))
			c.explore[stay].n++
			stay++
		}
	}
	for p, n := range counts {
		c.popularity[p] += n
	}
	return counts
}

// shares counts how the person divides his stays over his places.
func (c *Collector) shares(counts map[string]int64) {
	n, entropy := float64(len(c.stays)), 0.0
	order := slices.SortedFunc(maps.Values(counts), func(a, b int64) int { return cmp.Compare(b, a) })
	for k, count := range order {
		share := float64(count) / n
		entropy -= share * math.Log2(share)
		if k < Ranks {
			c.rank[k] += share
		}
	}
	if len(c.stays) > 1 {
		c.laws.Entropy.add(entropy)
	}
}

// gyration returns the radius of gyration in metres. The centre is that of the
// points on the sphere, so that the antimeridian is no border. Below a millimetre it
// is 0: the centre of one place is that place only up to rounding.
func gyration(stays []poi.Action) float64 {
	const rad = math.Pi / 180
	var x, y, z float64
	for i := range stays {
		lat, lng := stays[i].Lat*rad, stays[i].Lng*rad
		x, y, z = x+math.Cos(lat)*math.Cos(lng), y+math.Cos(lat)*math.Sin(lng), z+math.Sin(lat)
	}
	lat, lng := math.Atan2(z, math.Hypot(x, y))/rad, math.Atan2(y, x)/rad
	sum := 0.0
	for i := range stays {
		m := geo.Metres(lat, lng, stays[i].Lat, stays[i].Lng)
		sum += m * m
	}
	if r := math.Sqrt(sum / float64(len(stays))); r >= 1e-3 {
		return r
	}
	return 0
}

// Laws returns what was gathered under a name. The Collector must not be used
// afterwards. The error wraps poi.ErrEmpty if nobody stayed anywhere.
func (c *Collector) Laws(name string) (*Laws, error) {
	l := &c.laws
	l.Name = name
	if l.Stays == 0 {
		return nil, fmt.Errorf("mobility: the log %s has no stay, only actions of types %v or none at all; give a log of visits: %w", name, notStays, poi.ErrEmpty)
	}
	l.Days = float64(c.last-c.first) / msPerDay
	l.TripFit = l.Trip.fitPowerLaw()
	if later := l.Stays - l.People; later > 0 {
		l.ReturnShare = float64(c.returns) / float64(later)
	}
	var points []Point
	for k, sum := range c.rank {
		if sum > 0 {
			l.Rank = append(l.Rank, sum/float64(l.People))
			if k < fitRanks {
				points = append(points, Point{float64(k + 1), l.Rank[k]})
			}
		}
	}
	l.RankSlope = slope(points)
	l.Explore, l.ExploreSlope = growth(exploreMarks, c.explore)
	l.ExploreDays, l.ExploreDaysSlope = growth(exploreDays, c.days)
	c.rankPlaces()
	return l, nil
}

// growth turns sums into a curve and its exponent, fitted where at least a tenth
// of the people of the first mark are left: the last few are not typical.
func growth(marks []int, sums []mean) (curve []Point, exponent float64) {
	var fitted []Point
	for i, m := range sums {
		if m.n == 0 {
			continue
		}
		p := Point{float64(marks[i]), m.sum / float64(m.n)}
		curve = append(curve, p)
		if m.n*10 >= sums[0].n {
			fitted = append(fitted, p)
		}
	}
	return curve, slope(fitted)
}

// rankPlaces measures the popularity of places.
func (c *Collector) rankPlaces() {
	l := &c.laws
	order := slices.SortedFunc(maps.Values(c.popularity), func(a, b int64) int { return cmp.Compare(b, a) })
	l.Places = int64(len(order))
	top := int64(0)
	for i, n := range order {
		l.Popularity.add(float64(n))
		if i < max(1, len(order)/100) {
			top += n
		}
	}
	l.TopShare = float64(top) / float64(l.Stays)
	var fitted []Point
	for rank := 1; rank <= len(order); rank = max(rank+1, rank*5/4) {
		p := Point{float64(rank), float64(order[rank-1])}
		l.Ranked = append(l.Ranked, p)
		// The first places are singular and the last have a stay or two each:
		// the power law lies between.
		if rank >= min(10, len(order)/10) && rank <= max(len(order)/5, 3) {
			fitted = append(fitted, p)
		}
	}
	l.PopularitySlope = slope(fitted)
}
