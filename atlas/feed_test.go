package atlas

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// Four options by hand: clicked at .8 and .2, not at .5 and .2. Pairs in order:
// .8 beats both, .2 loses one and ties one.
func TestFeedByHand(t *testing.T) {
	var f Feed
	f.add(&poi.Impression{TimeMS: noon, OffsetMin: 60, Shown: []poi.Shown{
		{POI: "a", Clicked: true, Click: .8, Relevance: .8}, {POI: "b", Click: .5, Relevance: .9}}})
	f.add(&poi.Impression{TimeMS: noon, Shown: []poi.Shown{
		{POI: "a", Click: .2, Relevance: .3}, {POI: "b", Clicked: true, Click: .2, Relevance: .4}}})
	f.add(&poi.Impression{TimeMS: noon, Shown: []poi.Shown{{POI: "a", Clicked: true, Click: -1, Relevance: -1}}})
	f.add(&poi.Impression{TimeMS: noon, Shown: []poi.Shown{{POI: "a", Click: -1, Relevance: -1}}})
	f.add(&poi.Impression{})
	if f.Requests != 4 || f.Options != 6 || f.Clicks != 3 || f.NoClick != 1 || f.AllClicked != 1 {
		t.Errorf("%+v", f)
	}
	if c := f.ByPosition[0]; c.Shown != 4 || c.Clicked != 2 || c.Known != 2 || math.Abs(c.Click-1) > 1e-6 || math.Abs(c.Relevance-1.1) > 1e-6 {
		t.Errorf("first position %+v", c)
	}
	if f.ByHour[13].Shown != 2 || f.ByHour[12].Shown != 4 {
		t.Errorf("by hour %+v", f.ByHour)
	}
	if c := f.Calibration[4]; c.Shown != 2 || c.Clicked != 1 {
		t.Errorf("calibration at .2: %+v", c)
	}
	if click, relevance, ok := f.BayesAUC(); !ok || click != 2.5/4 || relevance != .5 {
		t.Errorf("AUC %v and %v, want 0.625 and 0.5", click, relevance)
	}
	for _, none := range []Feed{{}, func() (f Feed) {
		f.add(&poi.Impression{Shown: []poi.Shown{{Clicked: true, Click: .5, Relevance: .5}}})
		return f
	}()} {
		if _, _, ok := none.BayesAUC(); ok {
			t.Error("an AUC of one class")
		}
	}
}

// The binned AUC is that of all pairs, to the width of a bin.
func TestAUCAgainstPairs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var f Feed
		var shown []poi.Shown
		for range rapid.IntRange(2, 40).Draw(r, "n") {
			p := float32(rapid.IntRange(0, 64).Draw(r, "p")) / 64
			shown = append(shown, poi.Shown{Clicked: rapid.Bool().Draw(r, "clicked"), Click: p, Relevance: p})
		}
		f.add(&poi.Impression{Shown: shown})
		var wins, pairs float64
		for _, a := range shown {
			for _, b := range shown {
				if a.Clicked && !b.Clicked {
					pairs++
					switch {
					case a.Click > b.Click:
						wins++
					case a.Click == b.Click:
						wins += .5
					}
				}
			}
		}
		got, _, ok := f.BayesAUC()
		if ok != (pairs > 0) || ok && math.Abs(got-wins/pairs) > 1e-9 {
			r.Fatalf("AUC %v (%v), want %v of %v pairs", got, ok, wins, pairs)
		}
	})
}

func TestTownsOf(t *testing.T) {
	var places []poi.Place
	at := func(lat, lng float64, n int) {
		for i := range n {
			places = append(places, poi.Place{ID: fmt.Sprint(len(places)), Lat: lat + float64(i%5)/100, Lng: lng + float64(i%7)/100})
		}
	}
	at(45, 179.99, 60) // over the antimeridian
	for i := range places {
		if places[i].Lng > 180 {
			places[i].Lng -= 360
		}
	}
	at(10, 10, 120)
	at(60, 10, 1) // too small for a town
	towns := townsOf(places)
	if len(towns) != 2 || towns[0].Places != 120 || towns[1].Places != 60 {
		t.Fatalf("towns %+v", towns)
	}
	if d := math.Abs(towns[0].Lat-10.02) + math.Abs(towns[0].Lng-10.03); d > 1e-9 || towns[0].RadiusKM < 2 || towns[0].RadiusKM > 5 {
		t.Errorf("first town %+v", towns[0])
	}
}

func TestQuarters(t *testing.T) {
	got := Quarters([]Address{{"1 Fox Street, Mill Row, Owlton", 1, 1}, {"Elm Lane 3, Oak Hill, Owlton", 5, 5}, {"2 Fox Street, Mill Row, Owlton", 3, 3},
		{"9 Ash Road, Mill Row, Owlton", 2, 9}, {"nowhere", 0, 0}, {"a, , b", 0, 0}})
	if want := []Quarter{{"Mill Row", "Owlton", 2, 3}, {"Oak Hill", "Owlton", 5, 5}}; !slices.Equal(got, want) {
		t.Errorf("quarters %+v, want %+v", got, want)
	}
	towns := []Town{{Lat: 2, Lng: 3, RadiusKM: 9}, {Lat: 9, Lng: 9, RadiusKM: 9}, {Name: "kept", Lat: 5, Lng: 5, RadiusKM: 9}}
	nameTowns(towns, got)
	if towns[0].Name != "Owlton" || towns[1].Name != "" || towns[2].Name != "kept" {
		t.Errorf("towns %+v", towns)
	}
}

func TestPopularTakesGroupsInTurn(t *testing.T) {
	g := NewGather("x")
	var log []poi.Action
	for i, id := range []string{"f1", "f1", "f1", "f2", "f2", "a1", "a1", "h1", "h1", "h1"} {
		category := map[byte]string{'f': "Food > Bar", 'a': "Arts > Museum", 'h': "Home > Flat"}[id[0]]
		log = append(log, stay("u", id, id, category, float64(i), "arrive"))
	}
	must(t, g.Person(poi.Profile{}, nil, log))
	if got, want := g.Popular(9), []string{"f1", "a1", "f2"}; !slices.Equal(got, want) {
		t.Errorf("popular %v, want %v", got, want)
	}
	if got := g.Popular(2); len(got) != 2 || g.Stays("f2") != 2 || g.Stays("none") != 0 {
		t.Errorf("popular %v", got)
	}
}
