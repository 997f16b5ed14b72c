package evidence

import (
	"math"
	"sort"

	"github.com/whereto/whereto/poi"
)

// scored is a place on its way into the list of candidates.
type scored struct {
	id    int32
	score float64
}

// sortScored puts the highest score first, the smaller id among equals.
func sortScored(s []scored) {
	sort.Slice(s, func(a, b int) bool {
		if s[a].score != s[b].score {
			return s[a].score > s[b].score
		}
		return s[a].id < s[b].id
	})
}

// pull is how much a place attracts over a distance in metres.
func pull(visits float32, metres float64) float64 {
	return 0.4*math.Log(float64(visits)+0.5) - math.Log(100+metres)
}

// propose appends new places: others' next steps, then popular neighbours. The
// lists of Stats were ranked by everybody's counts; here they are ranked again
// without the user's own, or a training target would be proposed for its own
// sake, which no test target is.
func (b *Builder) propose(q *poi.Query, m *moment, out *Set) {
	own := b.stats.ownOf(q.User)
	if m.last >= 0 {
		b.found = b.found[:0]
		for _, e := range b.stats.outgoing[m.last] {
			b.offer(out, e.to, float64(e.count-own.next[pair{m.last, e.to}]), e.count-own.next[pair{m.last, e.to}])
		}
		b.take(out, b.cfg.Next)
	}
	b.found = b.found[:0]
	centre := m.last
	if q.HasPos {
		centre = b.stats.Closest(q.Lat, q.Lng)
	}
	visits := func(p int32) float32 { return b.stats.all.visits[p] - own.visits[p] }
	if centre < 0 {
		for _, p := range b.stats.popular {
			if len(b.found) == b.cfg.Near+len(own.visits) { // only the user's own can fall behind these
				break
			}
			b.offer(out, p, float64(visits(p)), visits(p))
		}
	} else {
		b.offer(out, centre, pull(visits(centre), 0), visits(centre))
		for _, p := range b.stats.near[centre] {
			b.offer(out, p, pull(visits(p), b.stats.metres(centre, p)), visits(p))
		}
	}
	b.take(out, b.cfg.Near)
}

// offer adds a place that others visited, that is open, new to the user and not
// proposed yet.
func (b *Builder) offer(out *Set, p int32, score float64, others float32) {
	if others > 0 && !b.stats.places[p].Closed && b.stamp[p] != b.tick && out.Index(p) < 0 {
		b.found = append(b.found, scored{p, score})
	}
}

// take moves the best n offers to the candidates.
func (b *Builder) take(out *Set, n int) {
	sortScored(b.found)
	for _, f := range b.found[:min(n, len(b.found))] {
		out.POIs = append(out.POIs, f.id)
	}
}
