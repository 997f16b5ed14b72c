package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/whereto/whereto/api"
)

// Kind is a kind of request.
type Kind string

// The kinds of requests. Actions writes one action into the history of a person.
const (
	Recommend Kind = "recommend"
	Rank      Kind = "rank"
	Similar   Kind = "similar"
	Explain   Kind = "explain"
	Actions   Kind = "actions"
)

var kinds = []Kind{Recommend, Rank, Similar, Explain, Actions}

func (k Kind) number() int { return slices.Index(kinds, k) }

// request is one thing to ask.
type request struct {
	kind       Kind
	who        api.Who
	candidates []string
	poi        string
	action     api.Action
}

const (
	// A person asks from where he was last, give or take this.
	noiseM = 500.0
	// Actions are written in the hours after the last known one, questions are about
	// the day after that: a question never lies before an action of the same load.
	writeSpan = 12 * time.Hour
	// People are not punctual: hours of the past move by up to this.
	unpunctual = 30 * time.Minute
)

// random makes the numbers of request i. Odd multiples keep the streams of neighbours
// apart.
func random(seed, i uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, i*0x9e3779b97f4a7c15)) }

// arrivals is the stream of the moments of an open loop.
func arrivals(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(^seed, 0)) }

// draw makes request i of a load: a function of the world, the settings and i. Only
// the times of written actions look at the clock, so as not to lie in the future, and
// at how much of the load is over, from 0 to 1, so as to come in the order of time.
func (w *world) draw(cfg Config, label string, i int, over float64) request {
	r := random(cfg.Seed, uint64(i))
	q := request{kind: cfg.Mix.draw(r)}
	p := w.person(r)
	if q.kind != Actions {
		q.who = api.Who{User: p.id, Time: p.moment(r)}
		q.who.Lat, q.who.Lng = p.position(r)
	}
	switch q.kind {
	case Rank:
		q.candidates = w.around(r, p, cfg.Candidates)
	case Similar:
		q.poi = w.visited(r, p)
	case Actions:
		span := max(0, min(writeSpan, time.Since(p.last.Time)))
		at := p.last.Time.Add(time.Duration(over * float64(span))).Truncate(time.Millisecond)
		q.action = api.Action{ID: fmt.Sprintf("load-%s-%d", label, i), User: p.id, POI: w.visited(r, p), Time: at, Type: p.last.Type}
	}
	return q
}

func (m Mix) draw(r *rand.Rand) Kind {
	sum := 0.0
	for _, k := range kinds {
		sum += m[k]
	}
	x := r.Float64() * sum
	last := kinds[0]
	for _, k := range kinds {
		if m[k] == 0 {
			continue
		}
		last = k
		if x -= m[k]; x < 0 {
			break
		}
	}
	return last
}

// person draws somebody, the busy ones more often.
func (w *world) person(r *rand.Rand) *person {
	x := r.IntN(w.upTo[len(w.upTo)-1])
	i, exact := slices.BinarySearch(w.upTo, x)
	if exact {
		i++ // upTo[i] is the first number of the person after i
	}
	return &w.people[i]
}

// moment is at an hour of the person's own past, on the day after his last action.
func (p *person) moment(r *rand.Rand) time.Time {
	habit := p.past[r.IntN(len(p.past))].Time
	least := p.last.Time.Add(writeSpan)
	y, m, d := least.Date()
	at := time.Date(y, m, d, habit.Hour(), habit.Minute(), 0, 0, least.Location())
	at = at.Add(time.Duration((2*r.Float64() - 1) * float64(unpunctual))).Truncate(time.Second)
	for at.Before(least) {
		at = at.Add(24 * time.Hour)
	}
	return at
}

// position is around the person's last place; nil if nobody knows where that is.
func (p *person) position(r *rand.Rand) (lat, lng *float64) {
	north, east := r.NormFloat64()*noiseM, r.NormFloat64()*noiseM
	if !p.located {
		return nil, nil
	}
	const metresPerDegree = 6371008.8 * math.Pi / 180
	y := max(-90, min(90, p.lat+north/metresPerDegree))
	x := p.lng + east/metresPerDegree/max(0.01, math.Cos(p.lat*math.Pi/180))
	x = math.Remainder(x, 360)
	return &y, &x
}

// visited is a place of the person's past that the catalog has, or any place.
func (w *world) visited(r *rand.Rand, p *person) string {
	id := p.past[r.IntN(len(p.past))].POI
	if _, ok := w.number[id]; !ok && len(w.places) > 0 {
		id = w.places[r.IntN(len(w.places))].ID
	}
	return id
}

// around draws n different places near the person, or all if there are no more.
func (w *world) around(r *rand.Rand, p *person, n int) []string {
	if n >= len(w.places) {
		n = len(w.places)
	}
	var pool []int
	if p.located {
		pool = w.near(p, 2*n)
	}
	if len(pool) < n { // the person is off the map: any places
		pool = w.every
	}
	pool = slices.Clone(pool)
	out := make([]string, n)
	for i := range out {
		j := i + r.IntN(len(pool)-i)
		pool[i], pool[j] = pool[j], pool[i]
		out[i] = w.places[pool[i]].ID
	}
	return out
}
