package ranker

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// floor is a ranker that scores each option by itself.
type floor struct {
	name  string
	score func(r *poi.Request, j int) float64
}

func (f *floor) Name() string { return f.name }

func (f *floor) Rank(ctx context.Context, requests []*poi.Request, dst [][]float64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(dst) != len(requests) {
		return fmt.Errorf("%s: rank %d requests into %d rows: %w", f.name, len(requests), len(dst), poi.ErrBadInput)
	}
	for i, r := range requests {
		if len(dst[i]) != len(r.Options) {
			return fmt.Errorf("%s, request %s: %d options into %d scores: %w", f.name, r.ID, len(r.Options), len(dst[i]), poi.ErrBadInput)
		}
		for j := range r.Options {
			dst[i][j] = f.score(r, j)
		}
	}
	return nil
}

// Random ranks by numbers that depend on the seed, the request's ID and the POI.
func Random(seed int64) poi.Ranker {
	return &floor{"random", func(r *poi.Request, j int) float64 {
		rng := rand.New(rand.NewPCG(uint64(seed), uint64(hashed(r.ID, 1<<31-1))<<32|uint64(uint32(r.Options[j].POI))))
		return rng.Float64()
	}}
}

// Displayed ranks by the order of display: what position alone explains.
func Displayed() poi.Ranker {
	return &floor{"as displayed", func(_ *poi.Request, j int) float64 { return -float64(j) }}
}

// Popularity ranks by the number of training visits, of all time: it must only
// rank requests that follow the training period.
func Popularity(d *poi.Dataset) poi.Ranker {
	visits := make([]float64, len(d.Places))
	for _, u := range d.Users {
		for _, v := range u.Visits {
			if v.Tag == poi.Train {
				visits[v.POI]++
			}
		}
	}
	return &floor{"popularity", func(r *poi.Request, j int) float64 { return visits[r.Options[j].POI] }}
}

// Nearest ranks by distance from the person or, if that is not known, from the
// last visited place; with neither all options are equal.
func Nearest(d *poi.Dataset) poi.Ranker {
	return &floor{"nearest", func(r *poi.Request, j int) float64 {
		lat, lng, known := whereabouts(d, d.QueryAt(r))
		if !known {
			return 0
		}
		p := d.Places[r.Options[j].POI]
		return -geo.Metres(lat, lng, p.Lat, p.Lng)
	}}
}

// ClickRate ranks by the place's smoothed clicks over expected clicks in the
// training requests before the request, the strongest single feature of a log.
func (t *Fit) ClickRate() poi.Ranker {
	b := t.builder(false)
	return &floor{"click rate", func(r *poi.Request, j int) float64 {
		return float64(b.rate(t.books.place.at(int64(r.Options[j].POI), r.TimeMS)))
	}}
}
