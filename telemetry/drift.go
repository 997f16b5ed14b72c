package telemetry

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sizes of the sliding windows.
const (
	answerWindow = 10_000 // answers
	actionWindow = 2_000  // actions that followed an answer
)

// million is the scale of probabilities in the windows: whole numbers add up without
// rounding, however long the service runs.
const million = 1_000_000

// hitRanks are the k of the online hit rate.
var hitRanks = [...]int{1, 5, 10}

// Answer is what Recommended needs to know of one recommendation.
type Answer struct {
	User        string        // empty: an inline history; nothing is remembered of it
	Asked       time.Time     // the moment asked about
	POIs        []string      // best first
	Source      AnswerSource  // of the first place
	Probability float64       // of the first place, 0 to 1
	DistanceM   float64       // of the first place from the person, metres; negative: not known
	HistoryAge  time.Duration // of the latest action at the moment asked about; negative: no history
}

// drift compares what the model expects with what people do.
type drift struct {
	mu      sync.Mutex
	answers ring[answered]
	bySrc   [4]int64 // answers of the window, by source
	top     int64    // sum of their first probabilities, in millionths
	follows ring[followed]
	expect  int64 // sum of the first probabilities of followed answers, in millionths
	first   int64 // followed answers whose first place it was
	memory  memory

	hits    []prometheus.Counter // by hitRanks
	actions prometheus.Counter

	share, expected, calibration *prometheus.Desc
}

type answered struct {
	source AnswerSource
	top    int64 // probability of the first place, in millionths
}

type followed struct {
	top   int64
	first bool // the person went to the first place
}

func newDrift(b *builder, now func() time.Time) *drift {
	d := &drift{answers: newRing[answered](answerWindow), follows: newRing[followed](actionWindow), memory: newMemory(now)}
	var ks []string
	for _, k := range hitRanks {
		ks = append(ks, strconv.Itoa(k))
	}
	d.hits = perWord(ks, b.counters("online_hits_total",
		"Actions on one of the first k places of the user's latest answer; a list shorter than k counts as far as it goes.", "k").WithLabelValues)
	d.actions = b.counter("online_actions_total", "Actions that were the first to follow an answer to their user within a day.")
	d.share = b.described("answers_ratio", "Share of the last 10000 answers by the source of their first place; absent before the first.", "source")
	d.expected = b.described("expected_hit_ratio",
		"Mean probability of the first place over the last 10000 answers: the accuracy the model expects of itself; absent before the first.")
	d.calibration = b.described("calibration_error",
		"Expected minus observed share of people who went to the first place, over the last 2000 answers that an action followed; absent before the first.")
	b.register(d)
	return d
}

// Recommended records one recommendation.
func (m *Metrics) Recommended(a Answer) {
	if a.DistanceM >= 0 {
		m.distance.Observe(a.DistanceM)
	}
	if a.HistoryAge >= 0 {
		m.historyAge.Observe(a.HistoryAge.Seconds())
	}
	m.drift.recommended(a)
}

// Acted compares an action with the latest answer its user got. It counts if it is the
// first one after the moment asked about, and within a day; an action of any type
// counts, because each says where the person turned.
func (m *Metrics) Acted(user, poi string, at time.Time) { m.drift.acted(user, poi, at) }

// Forget drops what is remembered of a user.
func (m *Metrics) Forget(user string) {
	m.drift.mu.Lock()
	defer m.drift.mu.Unlock()
	m.drift.memory.forget(user)
}

func (d *drift) recommended(a Answer) {
	if int(a.Source) >= len(d.bySrc) {
		return
	}
	now := answered{a.Source, millionths(a.Probability)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, full := d.answers.push(now); full {
		d.bySrc[old.source]--
		d.top -= old.top
	}
	d.bySrc[now.source]++
	d.top += now.top
	if a.User != "" && len(a.POIs) > 0 {
		d.memory.remember(a.User, a.Asked, a.POIs, now.top)
	}
}

func (d *drift) acted(user, poi string, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rank, top, follows := d.memory.follow(user, poi, at)
	if !follows {
		return
	}
	d.actions.Inc()
	for i, k := range hitRanks {
		if rank > 0 && rank <= k {
			d.hits[i].Inc()
		}
	}
	now := followed{top, rank == 1}
	if old, full := d.follows.push(now); full {
		d.expect -= old.top
		d.first -= one(old.first)
	}
	d.expect += now.top
	d.first += one(now.first)
}

// Describe and Collect let the registry work out the gauges when it is scraped.
func (d *drift) Describe(ch chan<- *prometheus.Desc) {
	ch <- d.share
	ch <- d.expected
	ch <- d.calibration
}

// Collect sends nothing of an empty window: 0 would read as a measurement.
func (d *drift) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	answers, follows := d.answers.n, d.follows.n
	bySrc, top, expect, first := d.bySrc, d.top, d.expect, d.first
	d.mu.Unlock()
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	if answers > 0 {
		for i, n := range bySrc {
			gauge(d.share, float64(n)/float64(answers), sourceNames[i])
		}
		gauge(d.expected, float64(top)/million/float64(answers))
	}
	if follows > 0 {
		gauge(d.calibration, (float64(expect)/million-float64(first))/float64(follows))
	}
}

// millionths clamps to 0 to 1; what is no number is 0.
func millionths(p float64) int64 {
	if math.IsNaN(p) {
		return 0
	}
	return int64(math.Round(min(max(p, 0), 1) * million))
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ring holds the last values pushed.
type ring[T any] struct {
	buf     []T
	next, n int
}

func newRing[T any](size int) ring[T] { return ring[T]{buf: make([]T, size)} }

// push adds a value and returns the one it replaces, if the ring is full.
func (r *ring[T]) push(v T) (old T, full bool) {
	old, full = r.buf[r.next], r.n == len(r.buf)
	r.buf[r.next] = v
	r.next = (r.next + 1) % len(r.buf)
	if !full {
		r.n++
	}
	return old, full
}
