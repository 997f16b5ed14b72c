package evidence

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// Random data sets stay below keep places, so that the bounded lists of Stats
// hold every place and the oracle need not know about the bound.
const maxPlaces = keep - 4

// clone copies a data set deeply enough to change visits, places and tags.
func clone(d *poi.Dataset) *poi.Dataset {
	c := *d
	c.Places = slices.Clone(d.Places)
	c.Users = slices.Clone(d.Users)
	for u := range c.Users {
		c.Users[u].Visits = slices.Clone(d.Users[u].Visits)
	}
	return &c
}

// drawData draws a toy city or an irregular data set: uneven users, odd zones,
// long gaps, repeated and closed places, a few logged positions.
func drawData(t *rapid.T) *poi.Dataset {
	seed := rapid.Uint64().Draw(t, "seed")
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		return testkit.Toy(seed, rapid.IntRange(1, 3).Draw(t, "users"), rapid.IntRange(5, 40).Draw(t, "places"))
	}
	return randomData(seed, rapid.IntRange(1, 5).Draw(t, "users"), rapid.IntRange(1, maxPlaces).Draw(t, "places"),
		rapid.IntRange(0, 70).Draw(t, "visits"))
}

func randomData(seed uint64, users, places, visits int) *poi.Dataset {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := &poi.Dataset{Types: []string{"checkin", "search"}}
	for p := range places {
		d.Places = append(d.Places, poi.Place{ID: fmt.Sprint(p), Category: fmt.Sprint("c", rng.IntN(5)),
			Lat: 40.7 + 0.05*rng.NormFloat64(), Lng: -74 + 0.05*rng.NormFloat64(), Closed: rng.IntN(10) == 0})
	}
	for u := range users {
		d.Users = append(d.Users, poi.User{ID: fmt.Sprint(u), Visits: randomVisits(rng, places, rng.IntN(visits+1))})
	}
	return d
}

func randomVisits(rng *rand.Rand, places, n int) []poi.Visit {
	offset := []int16{-300, 330, 345, 0}[rng.IntN(4)]
	at, traj := int64(1_700_000_000_000)+rng.Int64N(30*dayMS), int32(0)
	liked := rng.IntN(places) + 1
	out := make([]poi.Visit, n)
	for i := range out {
		gap := rng.Int64N([]int64{hourMS, 8 * hourMS, 2 * dayMS, 40 * dayMS}[rng.IntN(4)])
		if i > 0 && gap > dayMS {
			traj++
		}
		at += gap
		v := poi.Visit{POI: int32(rng.IntN(places)), Traj: traj, TimeMS: at, OffsetMin: offset, Intent: true}
		if rng.IntN(3) > 0 {
			v.POI = int32(rng.IntN(liked))
		}
		if rng.IntN(4) == 0 {
			v.HasUser, v.UserLat, v.UserLng = true, float32(40.7+0.1*rng.Float64()), float32(-74+0.1*rng.Float64())
		}
		switch {
		case i >= n*9/10:
			v.Tag = poi.Test
		case i >= n*8/10:
			v.Tag = poi.Validation
		}
		out[i] = v
	}
	return out
}

// drawConfig draws candidate settings, small ones often.
func drawConfig(t *rapid.T) Config {
	return Config{MaxPast: rapid.IntRange(1, 40).Draw(t, "max_past"), Next: rapid.IntRange(0, 20).Draw(t, "next"),
		Near: rapid.IntRange(0, 20).Draw(t, "near"), History: rapid.IntRange(1, 80).Draw(t, "history"),
		WholeHistory: rapid.IntRange(0, 4).Draw(t, "whole") > 0}
}

// drawQuery draws a request: a check-in of the data set, a stranger with
// somebody's history, or a moment long after the last visit.
func drawQuery(t *rapid.T, d *poi.Dataset) poi.Query {
	u := rapid.IntRange(0, len(d.Users)-1).Draw(t, "user")
	v := d.Users[u].Visits
	pos := rapid.IntRange(0, len(v)).Draw(t, "pos")
	q := poi.Query{User: int32(u), History: v[:pos:pos], OffsetMin: -300, TimeMS: 1_700_000_000_000}
	switch {
	case pos < len(v):
		q = d.QueryOf(poi.Target{User: int32(u), Pos: int32(pos)})
	case pos > 0:
		q.TimeMS, q.OffsetMin = v[pos-1].TimeMS+rapid.Int64Range(0, 800*dayMS).Draw(t, "later"), v[pos-1].OffsetMin
	}
	switch rapid.IntRange(0, 5).Draw(t, "variant") {
	case 0:
		q.User = -1
	case 1:
		q.User = int32(len(d.Users))
	case 2:
		q.HasPos, q.Lat, q.Lng = true, rapid.Float64Range(40, 41).Draw(t, "lat"), rapid.Float64Range(-75, -73).Draw(t, "lng")
	}
	return q
}

// compute is Compute with everything fresh.
func compute(s *Stats, c Config, q poi.Query) *Set {
	out := new(Set)
	NewBuilder(s, c).Compute(&q, out)
	return out
}
