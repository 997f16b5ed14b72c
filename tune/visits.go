package tune

import (
	"fmt"
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

// discoveries are the last most first visits of each user, in the order of user and
// time: training visits up to an instant that the loss may use, of types that are not
// passive, to places he had not dealt with before.
func discoveries(d *poi.Dataset, passive []string, until int64, most int) []poi.Request {
	var out []poi.Request
	for u := range d.Users {
		start := len(out)
		known := map[int32]bool{}
		for pos, v := range d.Users[u].Visits {
			if v.Tag != poi.Train || v.TimeMS > until {
				break
			}
			if !known[v.POI] && v.Intent && pos >= leastPast && !slices.Contains(passive, d.Types[v.Type]) {
				out = append(out, poi.Request{ID: fmt.Sprintf("visit %s/%d", d.Users[u].ID, pos), User: int32(u), Pos: int32(pos),
					TimeMS: v.TimeMS, OffsetMin: v.OffsetMin, HasUser: v.HasUser, UserLat: v.UserLat, UserLng: v.UserLng,
					Options: []poi.Option{{POI: v.POI, Clicked: true}}})
			}
			known[v.POI] = true
		}
		out = slices.Delete(out, start, max(start, len(out)-most))
	}
	return out
}

// visits are discoveries with rivals: places of the same shelf that the user had not
// dealt with, drawn by how many people discovered them. A visit without any rival
// teaches nothing and is left out.
func (a *Assembly) visits(until int64) []poi.Request {
	d, cfg := a.Dataset, a.Recipe.Feed
	of := make([]shelf, len(d.Places))
	for i, p := range d.Places {
		of[i] = shelf{p.Category, geo.Cells(p.Lat, p.Lng)[rivalLevel]}
	}
	passive := a.Recipe.Data.Clean.PassiveTypes
	stock := map[shelf][]int32{}
	for _, q := range discoveries(d, passive, until, len(d.Places)) {
		place := q.Options[0].POI
		stock[of[place]] = append(stock[of[place]], place)
	}
	out := discoveries(d, passive, until, cfg.Visits)
	for i := range out {
		q := &out[i]
		taken := map[int32]bool{q.Options[0].POI: true}
		for _, v := range d.Users[q.User].Visits[:q.Pos] {
			taken[v.POI] = true
		}
		from := stock[of[q.Options[0].POI]]
		rng := rand.New(rand.NewPCG(uint64(a.Recipe.Training.Seed), uint64(q.User)<<32|uint64(q.Pos)))
		for tries := 0; tries < rivalTries*cfg.Rivals && len(q.Options) <= cfg.Rivals; tries++ {
			if p := from[rng.IntN(len(from))]; !taken[p] {
				taken[p] = true
				q.Options = append(q.Options, poi.Option{POI: p})
			}
		}
	}
	return slices.DeleteFunc(out, func(q poi.Request) bool { return len(q.Options) < 2 })
}
