package clean

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for _, c := range []struct {
		name string
		edit func(*Config)
	}{
		{"max_active_ratio", func(c *Config) { c.MaxActiveRatio = -1 }},
		{"min_events", func(c *Config) { c.MinEvents = -1 }},
		{"min_richness", func(c *Config) { c.MinRichness = 1.01 }},
		{"home_km", func(c *Config) { c.HomeKM = 0 }},
		{"passive_types", func(c *Config) { c.MaxActiveRatio, c.PassiveTypes = 1, nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Default()
			c.edit(&cfg)
			err := cfg.Validate()
			if !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("got %v, want an error that wraps ErrBadInput and names %s", err, c.name)
			}
		})
	}
}

func TestFunctional(t *testing.T) {
	cfg := Default()
	cfg.FunctionalCategories = []string{"medical>hospital", "Home (private)", ""}
	cfg.MaxActiveRatio, cfg.MinEvents = 2, 6
	places := []poi.Place{
		{Category: "Medical > Hospital"},             // the rule itself
		{Category: "Medical > Hospital > Emergency"}, // below it
		{Category: "Medical > Hospitality"},          // a longer word is not below it
		{Category: "Medical"},                        // above it
		{Category: "home (PRIVATE)"},
		{},                 // no category
		{Category: "Food"}, // 4 searches, 2 clicks: ratio 2 is not above 2
		{Category: "Food"}, // 5 searches, 2 clicks
		{Category: "Food"}, // 5 searches, no click, too few events
		{Category: "Food"}, // 6 searches, no click
	}
	types := []string{"search", "click", "arrive"}
	tally := NewTally(cfg, len(places), types)
	for p, n := range map[int32][2]int{6: {4, 2}, 7: {5, 2}, 8: {5, 0}, 9: {6, 0}} {
		for range n[0] {
			tally.Add(poi.Visit{POI: p, Type: 0})
		}
		for range n[1] {
			tally.Add(poi.Visit{POI: p, Type: 1})
		}
		tally.Add(poi.Visit{POI: p, Type: 2})
	}
	want := []bool{true, true, false, false, true, false, false, true, false, true}
	if got := Functional(cfg, places, tally); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	cfg.MaxActiveRatio = 0
	if got := Functional(cfg, places, tally); got[7] || got[9] {
		t.Error("a ratio of 0 must switch the rule off")
	}
}

// A tally summed over a partition equals the tally of the whole: what lets the
// filter run in a distributed pipeline.
func TestTallyMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := []string{"search", "click", "arrive"}
		draw := rapid.Custom(func(t *rapid.T) poi.Visit {
			return poi.Visit{POI: rapid.Int32Range(0, 3).Draw(t, "poi"), Type: rapid.Uint8Range(0, 2).Draw(t, "type")}
		})
		visits := rapid.SliceOfN(draw, 0, 40).Draw(t, "visits")
		cut := rapid.IntRange(0, len(visits)).Draw(t, "cut")
		var part [3]*Tally
		for i := range part {
			part[i] = NewTally(Default(), 4, types)
		}
		for i, v := range visits {
			part[0].Add(v)
			part[1+min(1, i/max(cut, 1))].Add(v)
		}
		part[1].Merge(part[2])
		if !slices.Equal(part[0].Active, part[1].Active) || !slices.Equal(part[0].Passive, part[1].Passive) {
			t.Errorf("whole %v, merged %v", part[0], part[1])
		}
	})
}

func TestRichness(t *testing.T) {
	v := func(p int32, tag poi.Tag, intent bool) poi.Visit {
		return poi.Visit{POI: p, Tag: tag, Intent: intent}
	}
	for _, c := range []struct {
		name   string
		visits []poi.Visit
		want   float64
		n      int
	}{
		{"two points", []poi.Visit{v(1, 0, true), v(2, 0, true), v(1, 0, true), v(2, 0, true), v(1, 0, true)}, 0.4, 5},
		{"all distinct", []poi.Visit{v(1, 0, true), v(2, 0, true)}, 1, 2},
		{"functional and later visits do not count", []poi.Visit{v(1, 0, true), v(1, 0, true), v(2, 0, false), v(3, poi.Test, true)}, 0.5, 2},
		{"nothing to judge by", []poi.Visit{v(3, poi.Validation, true)}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r, n := Richness(c.visits); r != c.want || n != c.n {
				t.Errorf("got %v of %d, want %v of %d", r, n, c.want, c.n)
			}
		})
	}
}

// Two cities 300 km apart: New York (places 0, 1) and Boston (2, 3).
var cities = []poi.Place{
	{ID: "home", Category: "Home (private)", Lat: 40.73, Lng: -73.99}, {ID: "cafe", Category: "Food > Cafe", Lat: 40.75, Lng: -73.97},
	{ID: "museum", Category: "Arts", Lat: 42.34, Lng: -71.09}, {ID: "pub", Category: "Food > Pub", Lat: 42.35, Lng: -71.06},
}

func at(p int32) poi.Visit { return poi.Visit{POI: p} }

func standing(p, where int32) poi.Visit {
	return poi.Visit{POI: p, HasUser: true, UserLat: float32(cities[where].Lat), UserLng: float32(cities[where].Lng)}
}

func TestLabel(t *testing.T) {
	test := func(v poi.Visit) poi.Visit { v.Tag = poi.Test; return v }
	for _, c := range []struct {
		name   string
		visits []poi.Visit
		want   []poi.Status
	}{
		{"check-ins: the user stands at the POI", []poi.Visit{at(0), at(1), at(2), at(0)},
			[]poi.Status{poi.Local, poi.Local, poi.InTravel, poi.Local}},
		{"a search from home, then the journey", []poi.Visit{standing(0, 0), standing(1, 0), standing(2, 0), standing(2, 3), standing(0, 2)},
			[]poi.Status{poi.Local, poi.Local, poi.PreTravel, poi.InTravel, poi.Local}},
		{"of equal cells the first is home", []poi.Visit{at(2), at(0)}, []poi.Status{poi.Local, poi.InTravel}},
		{"home is not learnt from the test part", []poi.Visit{at(0), test(at(2)), test(at(3))},
			[]poi.Status{poi.Local, poi.InTravel, poi.InTravel}},
		{"no home, no travel", []poi.Visit{test(at(0)), test(at(2))}, []poi.Status{poi.Local, poi.Local}},
		{"none", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			Label(Default(), c.visits, cities)
			var got []poi.Status
			for _, v := range c.visits {
				got = append(got, v.Status)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestHome(t *testing.T) {
	home, ok := Home(Default(), []poi.Visit{at(2), at(0), at(1)}, cities)
	if !ok || home.Lat < 40.739 || home.Lat > 40.741 || home.Lng < -73.981 || home.Lng > -73.979 {
		t.Errorf("got %v %v, want the mean of places 0 and 1, (40.74, -73.98)", home, ok)
	}
	if _, ok := Home(Default(), nil, cities); ok {
		t.Error("a user without visits has a home")
	}
}

// The runs of D_single cover the sequence, hold one status each and cannot be
// longer; a sequence with several runs is in D_multi.
func TestSingleCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) poi.Visit {
			return poi.Visit{Status: poi.Status(rapid.Uint8Range(0, 2).Draw(t, "status"))}
		})
		visits := rapid.SliceOfN(draw, 0, 30).Draw(t, "visits")
		spans := Single(visits)
		next := 0
		for i, s := range spans {
			if s.From != next || s.To <= s.From {
				t.Fatalf("span %v does not follow on %d", s, next)
			}
			next = s.To
			if Multi(visits[s.From:s.To]) {
				t.Fatalf("span %v has several statuses", s)
			}
			if i > 0 && visits[s.From].Status == visits[s.From-1].Status {
				t.Fatalf("span %v continues the one before", s)
			}
		}
		if next != len(visits) {
			t.Fatalf("spans end at %d of %d", next, len(visits))
		}
		if Multi(visits) != (len(spans) > 1) {
			t.Fatalf("Multi %v with %d spans", Multi(visits), len(spans))
		}
	})
}

func twoUsers() []poi.User {
	return []poi.User{
		{ID: "commuter", Visits: []poi.Visit{at(0), at(1), at(1), at(1), at(1), at(1), at(0)}}, // cafe 5 times: richness 1/5
		{ID: "traveller", Visits: []poi.Visit{at(0), at(1), at(2), at(3)}},                     // three distinct of three
	}
}

func TestSequences(t *testing.T) {
	cfg := Default()
	cfg.FunctionalCategories, cfg.MinRichness = []string{"Home (private)"}, 0.3
	kept, rep := Sequences(cfg, twoUsers(), cities, []string{"checkin"})
	if len(kept) != 1 || kept[0].ID != "traveller" {
		t.Fatalf("kept %v, want the traveller alone", kept)
	}
	if v := kept[0].Visits; v[0].Intent || !v[1].Intent || v[3].Status != poi.InTravel {
		t.Errorf("visits are not labelled: %+v", v)
	}
	want := []Step{
		{"coarse data", 2, 11, 0},
		{"+ action level", 2, 8, 3.0 / 11},
		{"+ sequence level", 1, 3, 5.0 / 8},
	}
	for i, s := range rep.Steps {
		if w := want[i]; s.Name != w.Name || s.Sequences != w.Sequences || s.Actions != w.Actions || s.Removed-w.Removed > 1e-12 || w.Removed-s.Removed > 1e-12 {
			t.Errorf("step %d: got %+v, want %+v", i, s, w)
		}
	}
	if rep.Status != (StatusCount{Local: 2, InTravel: 2}) || rep.SingleRuns != 2 || rep.MultiSequences != 1 {
		t.Errorf("got %+v, want 2 local, 2 in-travel, 2 runs, 1 sequence of several", rep)
	}
}

func TestSequencesOffByDefault(t *testing.T) {
	kept, rep := Sequences(Default(), twoUsers(), cities, []string{"checkin"})
	if len(kept) != 2 || rep.Steps[2].Actions != 11 {
		t.Errorf("the defaults dropped something: %+v", rep)
	}
}

func TestReportText(t *testing.T) {
	cfg := Default()
	cfg.FunctionalCategories = []string{"Home (private)"}
	_, rep := Sequences(cfg, twoUsers(), cities, []string{"checkin"})
	var b bytes.Buffer
	if err := rep.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `Filtering step    Sequences  Actions  Removed
coarse data       2          11       -
+ action level    2          8        27.3 %
+ sequence level  2          8        0.0 %
Status: 9 local, 0 pre-travel, 2 in-travel; D_single 3 runs, D_multi 1 sequences
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	js, err := json.Marshal(rep)
	if err != nil || !strings.Contains(string(js), `"pre_travel":0`) {
		t.Errorf("JSON %s, error %v", js, err)
	}
	if err := rep.WriteText(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

var errBroken = errors.New("disk full")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
