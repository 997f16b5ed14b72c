// Package evidence says what a user's own past, and everybody's, tell about each
// candidate POI at one moment: counts under kernels of hour, weekday and age,
// transitions, recency, distance, popularity. It is the input of the history-copy
// head (an addition of ours to the paper, see docs/MODEL.md).
//
// The candidates of a request are the user's distinct past POIs (the copy part),
// then places that others go to next from the last POI, then popular places near
// it. Every feature costs O(history) a request. Nothing is read at or after the
// request's time from the user's own sequence, and everybody's statistics leave
// the user's own share out.
package evidence

import (
	"errors"
	"fmt"
	"sort"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Config sets the candidates of a request.
type Config struct {
	MaxPast int `yaml:"max_past"` // distinct past POIs kept, the likeliest by count and recency
	Next    int `yaml:"next"`     // new places from others' transitions out of the last POI
	Near    int `yaml:"near"`     // new popular places near the last POI or the user
	History int `yaml:"history"`  // visits looked back at most
	// WholeHistory off looks back to the start of the current trajectory only.
	WholeHistory bool `yaml:"whole_history"`
}

// Default is the setting of the shipped recipes.
func Default() Config {
	return Config{MaxPast: 96, Next: 16, Near: 32, History: 1000, WholeHistory: true}
}

// Validate reports the first value out of range.
func (c Config) Validate() error {
	if c.MaxPast < 1 || c.MaxPast > 4096 {
		return fmt.Errorf("evidence.max_past is %d, want 1 to 4096", c.MaxPast)
	}
	if c.Next < 0 || c.Next > keep || c.Near < 0 || c.Near > keep {
		return fmt.Errorf("evidence.next is %d and near is %d, want 0 to %d each", c.Next, c.Near, keep)
	}
	if c.History < 1 {
		return errors.New("evidence.history must be at least 1")
	}
	return nil
}

// Max returns the largest number of candidates of a request.
func (c Config) Max() int { return c.MaxPast + c.Next + c.Near }

// Set is the evidence of one request.
type Set struct {
	POIs     []int32   // distinct candidates; the first Past of them are past POIs
	Past     int       // how many of POIs the user visited before
	Features []float32 // [len(POIs), NumFeatures], row-major
	Context  []float32 // [NumContext], the same for all candidates
}

// Index returns the position of a POI among the candidates, -1 if absent.
func (s *Set) Index(p int32) int32 {
	for i, c := range s.POIs {
		if c == p {
			return int32(i)
		}
	}
	return -1
}

// Accumulated kernels of one past POI, then features computed from them.
const (
	kCount = iota
	kAge7
	kAge30
	kAge60
	kAge90
	kHalf
	kHour
	kTwo
	kThree
	kHourDay
	kHourWeekend
	kHourAge
	kHourWeekendAge
	kTwoAge7
	kDay
	kWeekend
	kNext
	kNextAge
	kNextHour
	kNextGap
	kNext2
	kCatNext
	kCatNextHour
	kEnd
	kEndAge
	kEndHour
	kStart
	kThreeDays
	kSimilar
	kHourDayAge
	kHalfAge
	kGapHour
	kCompany
	kAfter
	kAfterHour
	numKernels
)

// past is what the history says of one POI.
type past struct {
	k             [numKernels]float32
	nearest       float32 // smallest hour difference ever, hours
	nearestRecent float32 // the same over the last two weeks
	yesterday     float32
	lastWeek      float32
	first, last   int64 // local ms
	days          uint32
	rank          int32 // 0 = most recently visited POI
	current       float32
	today         float32
}

// Builder computes evidence; it holds scratch memory, so one goroutine uses one.
type Builder struct {
	stats   *Stats
	cfg     Config
	slot    []int32 // POI -> position in order, valid if stamp matches
	stamp   []int32
	tick    int32
	past    []past
	order   []int32 // POIs by slot
	cats    map[int32][2]float32
	company map[int32]int // POI of the last 24 hours -> visits in the 24 hours before the one scanned
	found   []scored      // places on offer
}

// NewBuilder returns a Builder over fitted statistics.
func NewBuilder(s *Stats, cfg Config) *Builder {
	return &Builder{stats: s, cfg: cfg, slot: make([]int32, len(s.places)), stamp: make([]int32, len(s.places)),
		cats: map[int32][2]float32{}, company: map[int32]int{}}
}

// Compute fills out with the candidates and evidence of a request. It reuses
// out's memory.
func (b *Builder) Compute(q *poi.Query, out *Set) {
	m := b.moment(q)
	b.scan(&m)
	b.candidates(q, &m, out)
	n := len(out.POIs)
	out.Features = grow(out.Features, n*NumFeatures)
	out.Context = grow(out.Context, NumContext)
	b.features(q, &m, out)
	b.context(&m, out)
}

func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// candidates lists past POIs, most visited and most recent first when they are
// too many, then proposals.
func (b *Builder) candidates(q *poi.Query, m *moment, out *Set) {
	out.POIs = append(out.POIs[:0], b.order...)
	if len(out.POIs) > b.cfg.MaxPast {
		weight := func(p int32) float32 {
			x := &b.past[b.slot[p]]
			return x.k[kAge60] + x.k[kTwo] + 2*x.k[kNext] + 1/(1+float32(x.rank))
		}
		sort.SliceStable(out.POIs, func(i, j int) bool { return weight(out.POIs[i]) > weight(out.POIs[j]) })
		out.POIs = out.POIs[:b.cfg.MaxPast]
	}
	kept := out.POIs[:0]
	for _, p := range out.POIs {
		if !b.stats.places[p].Closed {
			kept = append(kept, p)
		}
	}
	out.POIs, out.Past = kept, len(kept)
	b.propose(q, m, out)
}

// metres is the distance between two places.
func (s *Stats) metres(a, b int32) float64 {
	return geo.Metres(s.places[a].Lat, s.places[a].Lng, s.places[b].Lat, s.places[b].Lng)
}
