package recommend

import (
	"context"
	"fmt"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// MaxK is the largest number of answers of a request.
const MaxK = 1000

// Recommend returns the k likeliest places for a query, best first. Probability
// ties go to the smaller dense id, which is the more popular place.
func (r *Predictor) Recommend(ctx context.Context, q poi.Query, k int) ([]poi.Ranked, error) {
	if k < 1 || k > MaxK {
		return nil, fmt.Errorf("recommend: k is %d, want 1 to %d: %w", k, MaxK, poi.ErrBadInput)
	}
	if err := check(&q, len(r.p.Dataset.Users), len(r.p.Dataset.Places)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answers, err := r.ask([]poi.Query{q}, 1, r.p.Index.Trie())
	if err != nil {
		return nil, err
	}
	return r.choose(&q, &answers[0], &Want{K: k}), nil
}

func (r *Predictor) ranked(q *poi.Query, p int32, prob, copied float64) poi.Ranked {
	place := r.p.Dataset.Places[p]
	out := poi.Ranked{POI: p, ID: place.ID, Name: place.Name, Category: place.Category, Lat: place.Lat, Lng: place.Lng,
		Prob: prob, Metres: -1, Source: "generate"}
	if 2*copied > prob {
		out.Source = "copy"
	}
	switch {
	case q.HasPos:
		out.Metres = geo.Metres(q.Lat, q.Lng, place.Lat, place.Lng)
	case len(q.History) > 0:
		last := r.p.Dataset.Places[q.History[len(q.History)-1].POI]
		out.Metres = geo.Metres(last.Lat, last.Lng, place.Lat, place.Lng)
	}
	return out
}

// check refuses what the network must never see.
func check(q *poi.Query, users, places int) error {
	if q.User < -1 || int(q.User) >= users {
		return fmt.Errorf("recommend: user %d of %d: %w; use -1 for somebody new", q.User, users, poi.ErrUnknownUser)
	}
	if q.HasPos {
		if err := geo.Valid(q.Lat, q.Lng); err != nil {
			return fmt.Errorf("recommend: position: %w: %w", poi.ErrBadInput, err)
		}
	}
	last := int64(0)
	for i, v := range q.History {
		if v.POI < 0 || int(v.POI) >= places {
			return fmt.Errorf("recommend: history item %d has POI %d of %d: %w", i, v.POI, places, poi.ErrUnknownPOI)
		}
		if at := v.TimeMS + int64(v.OffsetMin)*60_000; i > 0 && at < last {
			return fmt.Errorf("recommend: history item %d is earlier than the one before it: %w; sort it by time", i, poi.ErrBadInput)
		} else {
			last = at
		}
	}
	if n := len(q.History); n > 0 && q.History[n-1].TimeMS > q.TimeMS {
		return fmt.Errorf("recommend: the history ends at %s, after the request's time %s: %w; give a later --time or cut the history",
			q.History[n-1].Local(), poi.LocalTime(q.TimeMS, q.OffsetMin), poi.ErrBadInput)
	}
	return nil
}
