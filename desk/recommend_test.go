package desk_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/region"
)

// TestAnswersAreTheNetworks: a stored user at a moment of the past, and the same past
// given inline, get the list that package recommend gives the data set's question.
func TestAnswersAreTheNetworks(t *testing.T) {
	for _, hier := range []bool{false, true} {
		t.Run(fmt.Sprintf("hier %v", hier), func(t *testing.T) {
			g := newRig(t, hier, nil)
			for i := range 8 {
				q, r := g.target(i)
				want, err := g.p.Recommend(ctx, q, 10)
				if err != nil {
					t.Fatal(err)
				}
				inline := r
				for _, v := range q.History {
					inline.History = append(inline.History, api.Action{POI: g.d.Places[v.POI].ID, Time: at(v.TimeMS, v.OffsetMin), Type: g.d.Types[v.Type]})
				}
				for name, r := range map[string]api.RecommendRequest{"stored": r, "inline": inline} {
					got, err := g.Recommend(ctx, r)
					if err != nil {
						t.Fatal(err)
					}
					if len(got.Places) != 10 || got.History != len(q.History) || got.Source.Kind != "model" || got.Source.Reason != "" || got.Version.Model != "1" || !got.Time.Equal(r.Time) {
						t.Fatalf("question %d %s: %+v of %d actions", i, name, got, len(q.History))
					}
					for k, p := range got.Places {
						if math.Abs(p.Probability-want[k].Prob) > 1e-5 || p.Rank != k+1 || p.POI != want[k].ID && math.Abs(want[k].Prob-want[max(0, k-1)].Prob) > 1e-6 {
							t.Errorf("question %d %s, answer %d: %+v, want %+v", i, name, k, p, want[k])
						}
						if p.DistanceM == nil || math.Abs(*p.DistanceM-want[k].Metres) > 1e-6 && p.POI == want[k].ID {
							t.Errorf("question %d %s, answer %d: %v m, want %v", i, name, k, p.DistanceM, want[k].Metres)
						}
					}
				}
			}
		})
	}
}

func TestWhoIsUnknown(t *testing.T) {
	g := newRig(t, false, nil)
	got, err := g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: "somebody new", Lat: ptr(40.7), Lng: ptr(-74)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Places) != 10 || !strings.HasPrefix(got.Source.Reason, "new user") || got.History != 0 || !got.Time.Equal(g.now) {
		t.Errorf("a new user gets %+v", got)
	}
	want := geo.Metres(40.7, -74, got.Places[0].Lat, got.Places[0].Lng)
	if d := got.Places[0].DistanceM; d == nil || math.Abs(*d-want) > 1e-6 {
		t.Errorf("the first place is %v m away, want %v", d, want)
	}
	// Without a time it is now, in the zone of the person's last action.
	got, err = g.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: g.d.Users[0].ID}})
	if err != nil {
		t.Fatal(err)
	}
	if _, offset := got.Time.Zone(); offset != -300*60 || !got.Time.Equal(g.now) {
		t.Errorf("without a time the question is about %s, want %s at UTC-5", got.Time, g.now)
	}
}

// TestLimitsAreKept draws limits of every kind: answers are open, inside, allowed and as
// many as there are.
func TestLimitsAreKept(t *testing.T) {
	for _, hier := range []bool{false, true} {
		t.Run(fmt.Sprintf("hier %v", hier), func(t *testing.T) {
			g := newRig(t, hier, nil)
			if _, err := g.PutPOIs(ctx, []api.POI{{ID: "new gym", Category: "Leisure > Gym", Lat: g.d.Places[3].Lat, Lng: g.d.Places[3].Lng},
				{ID: g.d.Places[5].ID, Category: g.d.Places[5].Category, Lat: g.d.Places[9].Lat, Lng: g.d.Places[9].Lng}}); err != nil {
				t.Fatal(err)
			}
			if err := g.ClosePOI(ctx, g.d.Places[7].ID); err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) { g.checkLimits(t) })
		})
	}
}

// checkLimits compares one drawn request with a walk over all places.
func (g *rig) checkLimits(t *rapid.T) {
	q, r := g.target(rapid.IntRange(0, 7).Draw(t, "question"))
	r.K = rapid.IntRange(1, 30).Draw(t, "k")
	centre := g.d.Places[rapid.IntRange(0, 23).Draw(t, "centre")]
	r.Lat, r.Lng = ptr(centre.Lat), ptr(centre.Lng)
	radius := math.Inf(1)
	if rapid.Bool().Draw(t, "in a circle") {
		radius = rapid.Float64Range(1, 20000).Draw(t, "radius")
		r.Area = &api.Area{RadiusM: radius}
	}
	box := region.Box{South: -90, West: -180, North: 90, East: 180}
	if rapid.Bool().Draw(t, "in a box") {
		box = region.Box{South: centre.Lat - 0.02, West: centre.Lng - 0.05, North: centre.Lat + 0.03, East: centre.Lng + 0.01}
		if r.Area == nil {
			r.Area = &api.Area{}
		}
		r.Area.Box = &api.Box{South: box.South, West: box.West, North: box.North, East: box.East}
	}
	r.Categories = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"Food", "Leisure > Gym", "Nowhere"}), rapid.ID[string]).Draw(t, "categories")
	r.ExcludeVisited = rapid.Bool().Draw(t, "only new")
	for _, p := range rapid.SliceOfDistinct(rapid.IntRange(0, 23), rapid.ID[int]).Draw(t, "exclude") {
		r.Exclude = append(r.Exclude, g.d.Places[p].ID)
	}
	visited := map[string]bool{}
	for _, v := range q.History {
		visited[g.d.Places[v.POI].ID] = true
	}
	places := slices.Clone(g.d.Places)
	places[5].Lat, places[5].Lng, places[7].Closed = places[9].Lat, places[9].Lng, true
	places = append(places, poi.Place{ID: "new gym", Category: "Leisure > Gym", Lat: places[3].Lat, Lng: places[3].Lng})
	allowed := map[string]bool{}
	for _, p := range places {
		inCategory := len(r.Categories) == 0 || slices.ContainsFunc(r.Categories, func(c string) bool { return strings.HasPrefix(p.Category+" > ", c+" > ") })
		near := geo.Metres(centre.Lat, centre.Lng, p.Lat, p.Lng)
		inside := near <= radius && p.Lat >= box.South && p.Lat <= box.North && p.Lng >= box.West && p.Lng <= box.East
		if p.ID == "new gym" && r.Area == nil {
			inside = near <= 5000 // without an area a new place is shown to those around it
		}
		allowed[p.ID] = !p.Closed && inCategory && inside && !slices.Contains(r.Exclude, p.ID) && !(r.ExcludeVisited && visited[p.ID])
	}
	got, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, is := range allowed {
		if is {
			n++
		}
	}
	if len(got.Places) != min(r.K, n) {
		t.Fatalf("%d answers, want %d of %d", len(got.Places), min(r.K, n), n)
	}
	seen := map[string]bool{}
	for i, p := range got.Places {
		if !allowed[p.POI] || seen[p.POI] {
			t.Fatalf("answer %d is %+v, which is not allowed or there twice", i, p)
		}
		if seen[p.POI] = true; i > 0 && got.Places[i-1].Probability < p.Probability {
			t.Fatalf("answers %d and %d are out of order", i-1, i)
		}
		if (p.Source == "cold") != (p.POI == "new gym") {
			t.Fatalf("answer %d comes from %q", i, p.Source)
		}
	}
}

// TestNewPlacesAreServedAtOnce: half of the mean of those alike around it, gone when it
// closes.
func TestNewPlacesAreServedAtOnce(t *testing.T) {
	g := newRig(t, false, nil)
	_, r := g.target(0)
	r.K = 25
	base, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	model := g.d.Places[3] // a gym
	fresh := api.POI{ID: "fresh", Name: "Fresh", Category: "Leisure > Gym", Lat: model.Lat, Lng: model.Lng}
	if _, err := g.PutPOIs(ctx, []api.POI{fresh}); err != nil {
		t.Fatal(err)
	}
	var gyms []float64
	type near struct{ metres, prob float64 }
	var around []near
	for _, p := range base.Places {
		if p.Category == model.Category {
			around = append(around, near{geo.Metres(model.Lat, model.Lng, p.Lat, p.Lng), p.Probability})
		}
	}
	slices.SortFunc(around, func(a, b near) int { return int(a.metres - b.metres) })
	for _, n := range around[:min(5, len(around))] {
		if n.metres <= 3000 {
			gyms = append(gyms, n.prob)
		}
	}
	want := 0.0
	for _, x := range gyms {
		want += x / float64(len(gyms)) / 2
	}
	r.Area = &api.Area{RadiusM: 100000}
	r.Lat, r.Lng = ptr(model.Lat), ptr(model.Lng)
	find := func() *api.Place {
		got, err := g.Recommend(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got.Places, func(p api.Place) bool { return p.POI == "fresh" })
		if i < 0 {
			return nil
		}
		return &got.Places[i]
	}
	if got := find(); got == nil || got.Source != "cold" || got.Name != "Fresh" {
		t.Fatalf("the new place is answered as %+v", got)
	}
	r.Lat, r.Lng, r.Area = nil, nil, &api.Area{Box: &api.Box{South: -90, West: -180, North: 90, East: 180}}
	if got := find(); got == nil || math.Abs(got.Probability-want) > 1e-6 || want == 0 {
		t.Errorf("the new place has %+v, want a probability of %v from %v", got, want, gyms)
	}
	if err := g.ClosePOI(ctx, "fresh"); err != nil {
		t.Fatal(err)
	}
	if got := find(); got != nil {
		t.Errorf("the place is closed and answered as %+v", got)
	}
	if p, err := g.POI(ctx, "fresh"); err != nil || !p.Closed || p.Known {
		t.Errorf("the closed place is %+v (%v)", p, err)
	}
	if err := g.ClosePOI(ctx, "nowhere"); desk.KindOf(err) != desk.NotFound {
		t.Errorf("closing a place that is not there: %v", err)
	}
}

// TestCoordinateSystems: a position of another system means the same place.
func TestCoordinateSystems(t *testing.T) {
	g := newRig(t, false, nil)
	lat, lng := 31.2304, 121.4737
	_, r := g.target(0)
	r.Lat, r.Lng = &lat, &lng
	want, err := g.Recommend(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, crs := range []region.CRS{region.GCJ02, region.BD09} {
		a, b := region.FromWGS84(crs, lat, lng)
		r.Lat, r.Lng, r.CRS = &a, &b, crs.String()
		got, err := g.Recommend(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(*got.Places[0].DistanceM-*want.Places[0].DistanceM) > 1 {
			t.Errorf("%s: the first place is %v m away, want %v", crs, *got.Places[0].DistanceM, *want.Places[0].DistanceM)
		}
	}
}

// TestMistakesNameTheirField walks what a request can get wrong.
func TestMistakesNameTheirField(t *testing.T) {
	g := newRig(t, false, nil)
	now := g.now
	place := g.d.Places[0].ID
	ring := [][]float64{{-74, 40.7}, {-73.9, 40.8}, {-74, 40.8}, {-73.9, 40.7}, {-74, 40.7}}
	for want, change := range map[string]func(r *api.RecommendRequest){
		"lat":           func(r *api.RecommendRequest) { r.Lng = ptr(1) },
		"lng":           func(r *api.RecommendRequest) { r.Lat = ptr(1) },
		"time":          func(r *api.RecommendRequest) { r.Time = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) },
		"k":             func(r *api.RecommendRequest) { r.K = 101 },
		"model":         func(r *api.RecommendRequest) { r.Model = "9" },
		"crs":           func(r *api.RecommendRequest) { r.CRS = "mars" },
		"area.radius_m": func(r *api.RecommendRequest) { r.Area = &api.Area{RadiusM: 100} },
		"area.bbox":     func(r *api.RecommendRequest) { r.Area = &api.Area{Box: &api.Box{South: 2, North: 1}} },
		"area.polygon":  func(r *api.RecommendRequest) { r.Area = &api.Area{Polygon: ring} },
		"history[1].time": func(r *api.RecommendRequest) {
			r.History = []api.Action{{POI: place, Time: now}, {POI: place, Time: now.Add(-time.Hour)}}
		},
		"history[0].time": func(r *api.RecommendRequest) { r.Time, r.History = now, []api.Action{{POI: place, Time: now}} },
		"history[0].type": func(r *api.RecommendRequest) { r.History = []api.Action{{POI: place, Time: now, Type: "teleport"}} },
		"history[0].poi":  func(r *api.RecommendRequest) { r.History = []api.Action{{Time: now}} },
		"history[0].lng":  func(r *api.RecommendRequest) { r.History = []api.Action{{POI: place, Time: now, Lat: ptr(1)}} },
		"user":            func(r *api.RecommendRequest) { r.User = strings.Repeat("x", 300) },
	} {
		var r api.RecommendRequest
		change(&r)
		got, err := g.Recommend(ctx, r)
		if desk.KindOf(err) != desk.Invalid || got != nil {
			t.Errorf("%s: %+v (%v)", want, got, err)
			continue
		}
		if f := desk.Fields(err); len(f) != 1 || !strings.HasPrefix(f[0].Field, want) || f[0].Reason == "" {
			t.Errorf("%s: %v names %+v", want, err, f)
		}
	}
}

// TestUnknownPlacesOfAHistory are left out, counted and told.
func TestUnknownPlacesOfAHistory(t *testing.T) {
	g := newRig(t, false, nil)
	r := api.RecommendRequest{Who: api.Who{Time: g.now, History: []api.Action{{POI: "gone", Time: g.now.Add(-2 * time.Hour)}, {POI: g.d.Places[1].ID, Time: g.now.Add(-time.Hour)}}}}
	got, err := g.Recommend(ctx, r)
	if err != nil || got.Ignored != 1 || got.History != 1 || len(got.Warnings) != 1 {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestRank(t *testing.T) {
	for _, hier := range []bool{false, true} {
		g := newRig(t, hier, nil)
		if _, err := g.PutPOIs(ctx, []api.POI{{ID: "fresh", Category: "Leisure > Gym", Lat: 40.7, Lng: -74}}); err != nil {
			t.Fatal(err)
		}
		_, r := g.target(1)
		r.K = 24
		all, err := g.Recommend(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{}
		for _, p := range all.Places {
			want[p.POI] = p.Probability
		}
		ids := []string{g.d.Places[9].ID, "fresh", g.d.Places[2].ID, g.d.Places[17].ID}
		got, err := g.Rank(ctx, api.RankRequest{Who: r.Who, Candidates: ids})
		if err != nil || len(got.Places) != 4 {
			t.Fatalf("%+v (%v)", got, err)
		}
		for i, p := range got.Places {
			if !slices.Contains(ids, p.POI) || p.POI != "fresh" && math.Abs(p.Probability-want[p.POI]) > 1e-5 || i > 0 && got.Places[i-1].Probability < p.Probability {
				t.Errorf("hier %v, answer %d: %+v, want a probability of %v", hier, i, p, want[p.POI])
			}
		}
		for want, list := range map[string][]string{"candidates": {}, "candidates[1]": {ids[0], ids[0]}, "candidates[2]": {ids[0], ids[2], "nowhere"}} {
			_, err := g.Rank(ctx, api.RankRequest{Who: r.Who, Candidates: list})
			if f := desk.Fields(err); len(f) != 1 || f[0].Field != want {
				t.Errorf("candidates %v: %v", list, err)
			}
		}
		if got, err := g.Rank(ctx, api.RankRequest{Who: r.Who, Candidates: []string{"fresh"}}); err != nil || len(got.Places) != 1 || got.Places[0].POI != "fresh" {
			t.Errorf("only a new place to rank: %+v (%v)", got, err)
		}
	}
}
