package evidence

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"sort"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// pair is an ordered pair of dense ids, the key of a transition.
type pair struct{ from, to int32 }

// edge is one outgoing transition of a POI, with how often all users made it.
type edge struct {
	to    int32
	count float32
}

// tally is one body of counts: everybody's, or one user's own share of it.
type tally struct {
	visits   map[int32]float32         // POI -> visits
	hours    map[int32]*[24]float32    // POI -> visits by local hour
	catHours map[int32]*[2][24]float32 // category -> visits by weekend flag and hour
	next     map[pair]float32          // POI -> next POI within a trajectory
	catNext  map[pair]float32          // category -> next category
	// ends counts visits that closed a trajectory.
	ends, catEnds, catVisits map[int32]float32
	total                    float32
}

func newTally() *tally {
	return &tally{visits: map[int32]float32{}, hours: map[int32]*[24]float32{},
		catHours: map[int32]*[2][24]float32{}, next: map[pair]float32{}, catNext: map[pair]float32{},
		ends: map[int32]float32{}, catEnds: map[int32]float32{}, catVisits: map[int32]float32{}}
}

// Stats holds what the training visits of all users say about places: popularity
// by hour, transitions, neighbours. Every look-up subtracts the asking user's own
// share, so a training target never finds itself in its evidence and the same
// number means the same thing in training and in serving.
type Stats struct {
	places   []poi.Place
	cat      []int32 // POI -> leaf category id
	numCats  int
	all      *tally
	own      []*tally
	popular  []int32   // POIs by visits, most first
	outgoing [][]edge  // POI -> likely next POIs, most first
	near     [][]int32 // POI -> popular places around it
	// nearMetres are the distances of near, ascending.
	nearMetres [][]float32
}

// keep bounds how many outgoing edges and neighbours a POI remembers.
const keep = 64

// Fit counts the training visits of d. Validation and test visits are not read.
func Fit(d *poi.Dataset) *Stats {
	s := &Stats{places: d.Places, all: newTally(), own: make([]*tally, len(d.Users))}
	s.cat, s.numCats = categories(d.Places)
	for u := range d.Users {
		s.own[u] = newTally()
		s.count(s.own[u], d.Users[u].Visits)
		s.all.add(s.own[u])
	}
	s.rank()
	return s
}

// categories numbers the category paths in order of first appearance.
func categories(places []poi.Place) ([]int32, int) {
	ids := map[string]int32{}
	cat := make([]int32, len(places))
	for i, p := range places {
		id, ok := ids[p.Category]
		if !ok {
			id = int32(len(ids))
			ids[p.Category] = id
		}
		cat[i] = id
	}
	return cat, len(ids)
}

func (s *Stats) count(t *tally, visits []poi.Visit) {
	for i, v := range visits {
		if v.Tag != poi.Train {
			break
		}
		hour, weekend := hourOf(v), weekendOf(v.TimeMS, v.OffsetMin)
		c := s.cat[v.POI]
		t.visits[v.POI]++
		t.catVisits[c]++
		if i+1 < len(visits) && visits[i+1].Tag == poi.Train && visits[i+1].Traj != v.Traj {
			t.ends[v.POI]++
			t.catEnds[c]++
		}
		t.total++
		if t.hours[v.POI] == nil {
			t.hours[v.POI] = new([24]float32)
		}
		t.hours[v.POI][hour]++
		if t.catHours[c] == nil {
			t.catHours[c] = new([2][24]float32)
		}
		t.catHours[c][weekend][hour]++
		if i > 0 && visits[i-1].Traj == v.Traj {
			prev := visits[i-1].POI
			t.next[pair{prev, v.POI}]++
			t.catNext[pair{s.cat[prev], c}]++
		}
	}
}

func (t *tally) add(o *tally) {
	t.total += o.total
	for _, m := range [][2]map[int32]float32{{t.visits, o.visits}, {t.ends, o.ends}, {t.catEnds, o.catEnds}, {t.catVisits, o.catVisits}} {
		for k, v := range m[1] {
			m[0][k] += v
		}
	}
	for k, v := range o.hours {
		if t.hours[k] == nil {
			t.hours[k] = new([24]float32)
		}
		for h := range v {
			t.hours[k][h] += v[h]
		}
	}
	for k, v := range o.catHours {
		if t.catHours[k] == nil {
			t.catHours[k] = new([2][24]float32)
		}
		for w := range v {
			for h := range v[w] {
				t.catHours[k][w][h] += v[w][h]
			}
		}
	}
	for k, v := range o.next {
		t.next[k] += v
	}
	for k, v := range o.catNext {
		t.catNext[k] += v
	}
}

// rank prepares the lists from which new places are proposed.
func (s *Stats) rank() {
	n := len(s.places)
	s.outgoing = make([][]edge, n)
	for k, c := range s.all.next {
		if k.from != k.to {
			s.outgoing[k.from] = append(s.outgoing[k.from], edge{k.to, c})
		}
	}
	for i := range s.outgoing {
		e := s.outgoing[i]
		sort.Slice(e, func(a, b int) bool {
			if e[a].count != e[b].count {
				return e[a].count > e[b].count
			}
			return e[a].to < e[b].to
		})
		if len(e) > keep {
			s.outgoing[i] = append([]edge(nil), e[:keep]...)
		}
	}
	s.popular = make([]int32, n)
	for i := range s.popular {
		s.popular[i] = int32(i)
	}
	sort.SliceStable(s.popular, func(a, b int) bool {
		return s.all.visits[s.popular[a]] > s.all.visits[s.popular[b]]
	})
	s.near = nearest(s.places, s.all.visits)
	s.nearMetres = make([][]float32, n)
	for i, list := range s.near {
		d := make([]float32, len(list))
		for j, p := range list {
			d[j] = float32(s.metres(int32(i), p))
		}
		slices.Sort(d)
		s.nearMetres[i] = d
	}
}

// nearest lists for each place the popular places around it: visits discounted
// by distance. Places are bucketed in about 1 km cells so that the cost stays
// linear in cities; the search widens ring by ring until enough are seen.
func nearest(places []poi.Place, visits map[int32]float32) [][]int32 {
	type cell struct{ y, x int }
	const cellDeg = 0.01
	at := func(p poi.Place) cell {
		return cell{int(math.Floor(p.Lat / cellDeg)), int(math.Floor(p.Lng / cellDeg))}
	}
	grid := map[cell][]int32{}
	for i, p := range places {
		grid[at(p)] = append(grid[at(p)], int32(i))
	}
	out := make([][]int32, len(places))
	for i, p := range places {
		var found []scored
		c := at(p)
		for ring := 0; ring <= 6 && len(found) < 4*keep; ring++ {
			for dy := -ring; dy <= ring; dy++ {
				for dx := -ring; dx <= ring; dx++ {
					if max(abs(dy), abs(dx)) != ring {
						continue
					}
					for _, o := range grid[cell{c.y + dy, c.x + dx}] {
						if int(o) == i || places[o].Closed {
							continue
						}
						d := geo.Metres(p.Lat, p.Lng, places[o].Lat, places[o].Lng)
						found = append(found, scored{o, pull(visits[o], d)})
					}
				}
			}
		}
		sortScored(found)
		if len(found) > keep {
			found = found[:keep]
		}
		ids := make([]int32, len(found))
		for j, f := range found {
			ids[j] = f.id
		}
		out[i] = ids
	}
	return out
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}

// ownOf returns the user's own share of the counts, empty for a stranger.
func (s *Stats) ownOf(user int32) *tally {
	if user < 0 || int(user) >= len(s.own) {
		return stranger
	}
	return s.own[user]
}

var stranger = newTally()

// Fingerprint is a hex SHA-256 of the counts; an artefact that changes when
// validation or test visits change has read them.
func (s *Stats) Fingerprint() string {
	h := sha256.New()
	w := func(vs ...int64) {
		for _, v := range vs {
			_ = binary.Write(h, binary.LittleEndian, v)
		}
	}
	for p := range s.places {
		id := int32(p)
		w(int64(p), int64(s.all.visits[id]), int64(s.all.ends[id]))
		if hs := s.all.hours[id]; hs != nil {
			for _, x := range hs {
				w(int64(x))
			}
		}
		for _, e := range s.outgoing[p] {
			w(int64(e.to), int64(e.count))
		}
		for _, o := range s.near[p] {
			w(int64(o))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
