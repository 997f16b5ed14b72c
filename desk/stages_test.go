package desk_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
)

// fakeStages score a place by its dense id and the length of the past, and give vectors
// of two numbers.
type fakeStages struct{ places int }

func (f fakeStages) Rank(_ context.Context, q poi.Query, places []int32) ([]float64, error) {
	out := make([]float64, len(places))
	for i, p := range places {
		out[i] = float64(p)/100 + float64(len(q.History))/1e6
	}
	return out, nil
}

func (f fakeStages) angle(a float64) []float32 {
	return []float32{float32(math.Cos(a)), float32(math.Sin(a))}
}

func (f fakeStages) User(_ context.Context, q poi.Query) ([]float32, error) {
	return f.angle(float64(len(q.History)) / 1000), nil
}

func (f fakeStages) Places(context.Context) ([]float32, int, error) {
	var out []float32
	for p := range f.places {
		out = append(out, f.angle(float64(p)/20)...)
	}
	return out, 2, nil
}

// TestStagesOfABundle: with a rank stage candidates have click probabilities, cold ones
// too; with an embed stage people have vectors and places are alike by theirs.
func TestStagesOfABundle(t *testing.T) {
	g := newRig(t, false, nil)
	g.rank, g.embed = fakeStages{24}, fakeStages{24}
	if _, err := g.ActivateModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	if m := g.Models()[1]; !slices.Equal(m.Roles, []string{"generate", "rank", "embed"}) {
		t.Errorf("roles %v", m.Roles)
	}
	fresh := g.d.Places[3]
	if _, err := g.PutPOIs(ctx, []api.POI{{ID: "fresh", Category: fresh.Category, Lat: fresh.Lat, Lng: fresh.Lng}}); err != nil {
		t.Fatal(err)
	}
	q, r := g.target(1)
	got, err := g.Rank(ctx, api.RankRequest{Who: r.Who, Candidates: []string{g.d.Places[5].ID, "fresh", g.d.Places[20].ID}})
	if err != nil || len(got.Places) != 3 {
		t.Fatalf("%+v (%v)", got, err)
	}
	past := float64(len(q.History)) / 1e6
	for _, p := range got.Places {
		switch p.POI {
		case g.d.Places[5].ID, g.d.Places[20].ID:
			i := slices.IndexFunc(g.d.Places, func(x poi.Place) bool { return x.ID == p.POI })
			if want := float64(i)/100 + past; math.Abs(p.Probability-want) > 1e-12 || p.Source != "rank" {
				t.Errorf("%+v, want a probability of %v", p, want)
			}
		case "fresh":
			if !(p.Probability > 0 && p.Probability < .12) || p.Source != "cold" {
				t.Errorf("the new place: %+v", p)
			}
		}
	}
	if got.Places[0].POI != g.d.Places[20].ID {
		t.Errorf("the first is %+v", got.Places[0])
	}
	e, err := g.Embed(ctx, api.EmbedRequest{Who: r.Who, POIs: []string{g.d.Places[7].ID}})
	if err != nil || e.Dim != 2 || math.Abs(float64(e.User[1])-math.Sin(float64(len(q.History))/1000)) > 1e-6 {
		t.Fatalf("%+v (%v)", e, err)
	}
	alike, err := g.Similar(ctx, api.SimilarRequest{POI: g.d.Places[7].ID, K: 2})
	if err != nil || len(alike.Places) != 2 {
		t.Fatalf("%+v (%v)", alike, err)
	}
	for _, p := range alike.Places {
		if p.POI != g.d.Places[6].ID && p.POI != g.d.Places[8].ID {
			t.Errorf("like place 7 is %+v", p)
		}
	}
}
