package desk_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

func TestExplainAndWhatIf(t *testing.T) {
	g := newRig(t, true, nil)
	_, r := g.target(2)
	list, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	later := r.Time.Add(6 * time.Hour)
	got, err := g.Explain(ctx, api.ExplainRequest{Who: r.Who, WhatIf: []api.WhatIf{{Time: later}, {Lat: ptr(40.8), Lng: ptr(-73.9)}}})
	if err != nil {
		t.Fatal(err)
	}
	first := list.Places[0]
	if got.Place.POI != first.POI || math.Abs(got.Place.Probability-first.Probability) > 1e-5 || math.Abs(got.Copied+got.Generated-got.Place.Probability) > 1e-9 {
		t.Errorf("explained is %+v, the first answer %+v", got.Place, first)
	}
	if len(got.Actions) == 0 || len(got.Blocks) == 0 || len(got.WhatIf) != 2 {
		t.Fatalf("%d actions, %d blocks, %d other moments", len(got.Actions), len(got.Blocks), len(got.WhatIf))
	}
	for i, a := range got.Actions {
		if math.Abs(got.Place.Probability-a.Without-a.Delta) > 1e-12 || !a.Time.Before(r.Time) {
			t.Errorf("action %d: %+v", i, a)
		}
	}
	r.Time = later
	then, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	// The past is the same only if nothing was done in between.
	if between := then.History - list.History; between == 0 && got.WhatIf[0].Places[0].POI != then.Places[0].POI {
		t.Errorf("six hours later: %+v, want %+v", got.WhatIf[0].Places[0], then.Places[0])
	}
	if d := got.WhatIf[1].Places[0].DistanceM; d == nil || math.Abs(*d-geo.Metres(40.8, -73.9, got.WhatIf[1].Places[0].Lat, got.WhatIf[1].Places[0].Lng)) > 1e-6 {
		t.Errorf("elsewhere the first place is %v m away", d)
	}
	for want, bad := range map[string]api.ExplainRequest{
		"poi":             {Who: r.Who, POI: "nowhere"},
		"what_if[0].time": {Who: r.Who, WhatIf: []api.WhatIf{{Time: time.Unix(0, 0)}}},
		"what_if[0].lng":  {Who: r.Who, WhatIf: []api.WhatIf{{Lat: ptr(1)}}},
		"what_if":         {Who: r.Who, WhatIf: make([]api.WhatIf, 25)},
	} {
		if _, err := g.Explain(ctx, bad); len(desk.Fields(err)) != 1 || desk.Fields(err)[0].Field != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestSimilarAndEmbed(t *testing.T) {
	g := newRig(t, true, nil)
	of := g.d.Places[4]
	e, err := g.Embed(ctx, api.EmbedRequest{POIs: []string{of.ID, g.d.Places[8].ID}})
	if err != nil || e.Dim != 12 || len(e.POIs) != 2 {
		t.Fatalf("%+v (%v)", e, err)
	}
	got, err := g.Similar(ctx, api.SimilarRequest{POI: of.ID, K: 23})
	if err != nil || len(got.Places) != 23 {
		t.Fatalf("%d places (%v)", len(got.Places), err)
	}
	for i, p := range got.Places {
		if p.POI == of.ID || i > 0 && got.Places[i-1].Score < p.Score || p.Score > 1.0001 || p.Rank != i+1 {
			t.Errorf("place %d: %+v", i, p)
		}
		if p.POI == g.d.Places[8].ID {
			cosine := 0.0
			for k, x := range e.POIs[of.ID] {
				cosine += float64(x) * float64(e.POIs[p.POI][k])
			}
			if math.Abs(cosine-p.Score) > 1e-5 {
				t.Errorf("place 8 has a score of %v, its vector a cosine of %v", p.Score, cosine)
			}
		}
	}
	near, err := g.Similar(ctx, api.SimilarRequest{POI: of.ID, K: 23, Area: &api.Area{RadiusM: 8000}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range g.d.Places {
		if p.ID != of.ID && geo.Metres(of.Lat, of.Lng, p.Lat, p.Lng) <= 8000 {
			n++
		}
	}
	if len(near.Places) != n || n == 0 || n == 23 {
		t.Errorf("%d places within 8 km, want %d", len(near.Places), n)
	}
	if _, err := g.Embed(ctx, api.EmbedRequest{Who: api.Who{User: "u"}}); desk.KindOf(err) != desk.Invalid {
		t.Errorf("a person's vector: %v", err)
	}
	if _, err := g.Similar(ctx, api.SimilarRequest{POI: "nowhere"}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a place that is not there: %v", err)
	}
}
