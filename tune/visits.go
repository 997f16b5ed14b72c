package tune

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Ours, beyond the paper: the embed stage learns from where people went, too. A log
// has many more visits than clicked candidates, and a place that somebody tried for
// the first time, beside others of its category nearby, tells what he likes of places
// apart from their being near, open or of a kind that he likes.

const (
	// leastPast is how many actions must come before a visit: fewer tell nothing of the
	// person.
	leastPast = 5
	// rivalTries bounds the draws for each rival.
	rivalTries = 4
	// rivalLevel is the level of the cells (geo.Cells) in which rivals are near: about
	// four kilometres.
	rivalLevel = 5
)

// shelf is where the alternatives to a place stand: its category in its cell.
type shelf struct {
	category string
	cell     uint64
}

// discoveries gives the positions of each user's first visits, if he has any: training
// visits up to an instant that the loss may use, of types that are not passive, to
// places he had not dealt with before.
func discoveries(d *poi.Dataset, passive []string, until int64) iter.Seq2[int32, []int32] {
	return func(yield func(int32, []int32) bool) {
		known := make([]int32, len(d.Places)) // user + 1 who dealt with the place last
		for u := range d.Users {
			var at []int32
			for pos, v := range d.Users[u].Visits {
				if v.Tag != poi.Train || v.TimeMS > until {
					break
				}
				if known[v.POI] != int32(u)+1 && v.Intent && pos >= leastPast && !slices.Contains(passive, d.Types[v.Type]) {
					at = append(at, int32(pos))
				}
				known[v.POI] = int32(u) + 1
			}
			if len(at) > 0 && !yield(int32(u), at) {
				return
			}
		}
	}
}

// visits are each user's last discoveries as requests with rivals, in the order of user
// and time. A visit without any rival teaches nothing and is left out.
func (a *Assembly) visits(until int64) []poi.Request {
	d := a.Dataset
	first := discoveries(d, a.Recipe.Data.Clean.PassiveTypes, until)
	s := newShelves(d, first)
	var out []poi.Request
	for u, at := range first {
		for _, pos := range at[max(0, len(at)-a.Recipe.Feed.Visits):] {
			v := d.Users[u].Visits[pos]
			rng := rand.New(rand.NewPCG(uint64(a.Recipe.Training.Seed), uint64(u)<<32|uint64(pos)))
			options := []poi.Option{{POI: v.POI, Clicked: true}}
			for _, p := range s.rivals(rng, v.POI, d.Users[u].Visits[:pos], a.Recipe.Feed.Rivals) {
				options = append(options, poi.Option{POI: p})
			}
			if len(options) > 1 {
				out = append(out, poi.Request{ID: fmt.Sprintf("visit %s/%d", d.Users[u].ID, pos), User: u, Pos: pos, TimeMS: v.TimeMS, OffsetMin: v.OffsetMin,
					HasUser: v.HasUser, UserLat: v.UserLat, UserLng: v.UserLng, Options: options})
			}
		}
	}
	return out
}

// shelves hold the places of every shelf, one entry for each time somebody discovered
// one, so that a draw goes by popularity.
type shelves struct {
	of    []shelf // by place
	stock map[shelf][]int32
}

func newShelves(d *poi.Dataset, first iter.Seq2[int32, []int32]) *shelves {
	s := &shelves{of: make([]shelf, len(d.Places)), stock: map[shelf][]int32{}}
	for i, p := range d.Places {
		s.of[i] = shelf{p.Category, geo.Cells(p.Lat, p.Lng)[rivalLevel]}
	}
	for u, at := range first {
		for _, pos := range at {
			place := d.Users[u].Visits[pos].POI
			s.stock[s.of[place]] = append(s.stock[s.of[place]], place)
		}
	}
	return s
}

// rivals are up to n other places of a place's shelf that are not among the visits.
func (s *shelves) rivals(rng *rand.Rand, place int32, visits []poi.Visit, n int) (out []int32) {
	taken := map[int32]bool{place: true}
	for _, v := range visits {
		taken[v.POI] = true
	}
	from := s.stock[s.of[place]]
	for tries := 0; tries < rivalTries*n && len(out) < n; tries++ {
		if p := from[rng.IntN(len(from))]; !taken[p] {
			taken[p] = true
			out = append(out, p)
		}
	}
	return out
}
