package ranker

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

func TestLedgerMatchesPlainCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []entry
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			events = append(events, entry{rapid.Int64Range(-2, 2).Draw(t, "key"), rapid.Int64Range(0, 9).Draw(t, "time"),
				tally{1, float32(rapid.IntRange(0, 1).Draw(t, "clicks")), .5}})
		}
		l := closed(slices.Clone(events))
		for key := int64(-3); key <= 3; key++ {
			for at := int64(-1); at <= 11; at++ {
				var want tally
				for _, e := range events {
					if e.key == key && e.timeMS < at {
						want.shown, want.clicks, want.expected = want.shown+e.shown, want.clicks+e.clicks, want.expected+e.expected
					}
				}
				if got := l.at(key, at); got != want {
					t.Fatalf("key %d before %d: %+v, want %+v", key, at, got, want)
				}
			}
		}
	})
}

// featuresOf are all features of every option of a request.
func featuresOf(t testing.TB, fit *Fit, r *poi.Request) *arrays {
	t.Helper()
	b := fit.builder(true)
	a := b.newArrays(1, len(r.Options))
	if err := b.put(a, 0, r); err != nil {
		t.Fatal(err)
	}
	return a
}

// Whatever happens at or after a request's time, to anyone, its features stay:
// clicks, shown places, visits, and tags of what comes later.
func TestFeaturesDoNotSeeTheFuture(t *testing.T) {
	d, feed := town(3, 8, 15, 15)
	before := mustNew(t, d, feed, nil, tiny())
	for _, at := range []int{3, 17, 40, 66, 99} {
		now := feed.Requests[at].TimeMS
		other, later := *d, *feed
		other.Users, later.Requests = slices.Clone(d.Users), slices.Clone(feed.Requests)
		changed := 0
		for u := range other.Users {
			other.Users[u].Visits = slices.Clone(other.Users[u].Visits)
			for i := range other.Users[u].Visits {
				if v := &other.Users[u].Visits[i]; v.TimeMS >= now {
					v.POI = (v.POI + 1) % int32(len(d.Places))
					changed++
				}
			}
		}
		for i := range later.Requests {
			r := &later.Requests[i]
			if r.TimeMS < now || i == at {
				continue
			}
			r.Options = slices.Clone(r.Options)
			for j := range r.Options {
				r.Options[j].Clicked = !r.Options[j].Clicked
				r.Options[j].POI = (r.Options[j].POI + 1) % int32(len(d.Places))
			}
			changed++
		}
		own := &later.Requests[at]
		own.Options = slices.Clone(own.Options)
		for j := range own.Options {
			own.Options[j].Clicked = !own.Options[j].Clicked
		}
		after := mustNew(t, &other, &later, nil, tiny())
		want, got := featuresOf(t, before, &feed.Requests[at]), featuresOf(t, after, own)
		want.label, got.label = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("request %d: features change with %d later events", at, changed)
		}
	}
}

// What comes before does count: otherwise the test above would pass for features
// that look at nothing.
func TestFeaturesSeeThePast(t *testing.T) {
	d, feed := town(3, 8, 15, 15)
	at := slices.MaxFunc(feed.ByTag[poi.Train], func(a, b int32) int {
		return int(feed.Requests[a].TimeMS/1000 - feed.Requests[b].TimeMS/1000)
	})
	want := featuresOf(t, mustNew(t, d, feed, nil, tiny()), &feed.Requests[at])
	later := *feed
	later.Requests = slices.Clone(feed.Requests)
	for i := range later.Requests {
		r := &later.Requests[i]
		r.Options = slices.Clone(r.Options)
		for j := range r.Options {
			r.Options[j].Clicked = !r.Options[j].Clicked
		}
	}
	got := featuresOf(t, mustNew(t, d, &later, nil, tiny()), &feed.Requests[at])
	for _, k := range []int{denseRate, denseCategoryRate, denseUserRate, denseTasteRate} {
		if got.dense[k] == want.dense[k] {
			t.Errorf("dense feature %d does not depend on earlier clicks", k)
		}
	}
}

// Clicks of validation and test requests enter no statistic.
func TestStatisticsAreOfTraining(t *testing.T) {
	d, feed := town(4, 6, 12, 20)
	want := mustNew(t, d, feed, nil, tiny()).books
	later := *feed
	later.Requests = slices.Clone(feed.Requests)
	for i := range later.Requests {
		if r := &later.Requests[i]; r.Tag != poi.Train {
			r.Options = slices.Clone(r.Options)
			for j := range r.Options {
				r.Options[j].Clicked = !r.Options[j].Clicked
			}
		}
	}
	if got := mustNew(t, d, &later, nil, tiny()).books; !reflect.DeepEqual(got, want) {
		t.Error("statistics change with clicks of validation and test")
	}
}

// byHand is one person with a known past: two visits to place 0, one to place 1.
func byHand() (*poi.Dataset, *poi.Feed) {
	hour := int64(3_600_000)
	start := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli() // a Wednesday
	d := &poi.Dataset{Types: []string{"checkin", "search"}, Places: []poi.Place{
		{ID: "a", Category: "Food > Cafe"}, {ID: "b", Category: "Food > Bar", Lng: .01}, {ID: "c", Category: "Shop", Lng: .03}, {ID: "d", Lat: .5}},
		Users: []poi.User{{ID: "u", Profile: poi.Profile{Gender: "x", Tags: []string{"runner"}}, Visits: []poi.Visit{
			{POI: 0, TimeMS: start}, {POI: 1, TimeMS: start + 2*hour, Type: 1}, {POI: 0, TimeMS: start + 24*hour}}}, {ID: "v"}}}
	options := func(clicked int, places ...int32) []poi.Option {
		var out []poi.Option
		for j, p := range places {
			out = append(out, poi.Option{POI: p, Clicked: j == clicked})
		}
		return out
	}
	feed := &poi.Feed{Requests: []poi.Request{
		{ID: "1", User: 0, TimeMS: start + hour, Pos: 1, Options: options(0, 0, 1)},
		{ID: "2", User: 1, TimeMS: start + 3*hour, Options: options(1, 2, 0)},
		{ID: "3", User: 0, TimeMS: start + 25*hour, OffsetMin: 60, Pos: 3, Options: options(0, 0, 2, 1), HasUser: true, UserLng: .01},
	}}
	feed.ByTag[poi.Train] = []int32{0, 1, 2}
	return d, feed
}

func TestFeaturesByHand(t *testing.T) {
	d, feed := byHand()
	c := tiny()
	c.WarmUp = 0
	fit := mustNew(t, d, feed, nil, c)
	a := featuresOf(t, fit, &feed.Requests[2])
	w := fit.builder(true).width()
	const near = .01 * math.Pi / 180 * 6371.0088 // kilometres of .01 degrees
	// Expected clicks: at the first request both positions have rate .1; at the
	// second the first position has (1+1)/(1+10), the other (0+1)/(1+10).
	first, second := 2./11, 1./11
	rate := func(clicks, expected float64) float64 { return math.Log((clicks + c.Prior) / (expected + c.Prior)) }
	for _, x := range []struct {
		option, feature int
		want            float64
	}{
		{0, denseDistance, math.Log1p(near)}, {2, denseDistance, 0}, {0, denseNowhere, 0},
		{0, denseVisits, math.Log(3)}, {2, denseVisits, math.Log(2)}, {1, denseVisits, 0},
		{0, denseShown, math.Log(3)}, {0, denseRate, rate(2, .1+second)}, {1, denseRate, rate(0, first)},
		{0, denseCategoryRate, rate(2, .1+second)}, {2, denseCategoryRate, rate(0, .1)},
		{0, denseUserShown, math.Log(3)}, {0, denseUserRate, rate(1, .2)},
		{0, denseTasteShown, math.Log(2)}, {0, denseTasteRate, rate(1, .1)}, {1, denseTasteShown, 0}, {1, denseTasteRate, 0},
		{0, denseReturns, math.Log(3)}, {0, denseNever, 0}, {0, denseAge, math.Log(2)}, {1, denseNever, 1}, {1, denseAge, 0},
		{0, denseShare, 1}, {0, denseShare + 1, 2. / 3}, {2, denseShare + 1, 1. / 3}, {1, denseShare, 0},
		// It is 14 o'clock here; visits were at 12, 14 and 12.
		{0, denseHourShare, 2. / 3}, {2, denseHourShare, 1. / 3},
		{0, denseLast, 0}, {2, denseLast, math.Log1p(near)}, {1, denseNear, math.Log1p(2 * near)},
		{0, denseHistory, math.Log(4)}, {0, densePosition, 0}, {2, densePosition, math.Log(3)},
	} {
		if got := a.dense[x.option*w+x.feature]; math.Abs(float64(got)-x.want) > 1e-5 {
			t.Errorf("option %d, feature %d: %v, want %v", x.option, x.feature, got, x.want)
		}
	}
	f := fit.fields
	if got := a.request[fieldHour] - f.hour; got != 15 {
		t.Errorf("hour row %d, want that of 14 o'clock", got)
	}
	if got := a.request[fieldWeekday] - f.weekday; got != 5 {
		t.Errorf("weekday row %d, want that of Thursday", got)
	}
	// The last visit comes first: place a at 12, then b by search at 14, then a at 12, then padding.
	for k, want := range []int32{f.place[0], f.place[1], f.place[0], 0} {
		if got := a.past[k*pastRows+pastPlace]; got != want {
			t.Errorf("recent visit %d is row %d, want %d", k, got, want)
		}
	}
	if got := a.past[pastRows+pastType] - f.action; got != 2 {
		t.Errorf("type row %d, want that of a search", got)
	}
	if got := a.pastAt[pastNumbers+pastX]; math.Abs(float64(got)-near) > 1e-4 {
		t.Errorf("the visit lies %v km east of the first option, want %v", got, near)
	}
	if got := a.pastAt[pastClock]; math.Abs(float64(got)-math.Cos(math.Pi/6)) > 1e-6 {
		t.Errorf("likeness of hours 12 and 14 is %v", got)
	}
	if got := a.option[optionFields+fieldCategory+1]; got != f.category[2][1] || got == f.category[0][1] {
		t.Errorf("second level of %q is row %d", d.Places[2].Category, got)
	}
}

func TestLocalTimeAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms, offset := rapid.Int64Range(-1e12, 3e12).Draw(t, "ms"), rapid.Int16Range(-840, 840).Draw(t, "offset")
		at := poi.LocalTime(ms, offset)
		if hourOf(ms, offset) != at.Hour() || dayOf(ms, offset) != int(at.Weekday()) {
			t.Fatalf("%v: hour %d, day %d", at, hourOf(ms, offset), dayOf(ms, offset))
		}
	})
}

// Rows of different value sets never meet, and none leaves the table.
func TestFieldRows(t *testing.T) {
	d, feed := town(6, 9, 20, 10)
	fit := mustNew(t, d, feed, nil, tiny())
	owner := make([]int, fit.model.Rows)
	claim := func(set int, row int32) {
		switch {
		case row < 1 || int(row) >= len(owner):
			t.Fatalf("row %d of set %d is outside 1..%d", row, set, len(owner)-1)
		case owner[row] != 0 && owner[row] != set:
			t.Fatalf("row %d belongs to sets %d and %d", row, owner[row], set)
		}
		owner[row] = set
	}
	set := func(field int) int { // tags share a set, block and whereabouts too
		switch {
		case field >= fieldTag && field < fieldHour:
			return fieldTag + 1
		case field == requestFields+fieldBlock:
			return fieldHere + 1
		}
		return field + 1
	}
	for i := range feed.Requests {
		a := featuresOf(t, fit, &feed.Requests[i])
		for f, row := range a.request {
			claim(set(f), row)
		}
		for k, row := range a.option {
			claim(set(requestFields+k%optionFields), row)
		}
	}
}

func TestBuckets(t *testing.T) {
	f := &fields{distance: 100, count: 200}
	for metres, want := range map[float64]int32{-1: 0, 0: 1, 49: 1, 50: 2, 79: 2, 81: 3, 1e9: distanceBuckets} {
		if got := f.distanceRow(metres) - 100; got != want {
			t.Errorf("%v m: bucket %d, want %d", metres, got, want)
		}
	}
	for n, want := range map[int]int32{0: 1, 1: 2, 2: 3, 3: 4, 4: 4, 5: 5, 9: 5, 10: 6, 99: 6} {
		if got := f.countRow(n) - 200; got != want {
			t.Errorf("%d visits: bucket %d, want %d", n, got, want)
		}
	}
	for category, want := range map[string][]string{
		"":                     nil,
		" Food >  French Food": {" > Food", " > Food > French Food"},
		"Food > > Bar":         {" > Food", " > Food > Bar"},
		"a > b > c > d":        {" > a", " > a > b", " > a > b > c > d"},
	} {
		if got := prefixes(category); !slices.Equal(got, want) {
			t.Errorf("prefixes of %q are %q, want %q", category, got, want)
		}
	}
}

func TestExtra(t *testing.T) {
	d, feed := byHand()
	e, err := NewExtra(feed)
	if err != nil {
		t.Fatal(err)
	}
	scores := [][]float64{{1, 2}, {3, 4}, {5, 6, 7}}
	if err := e.AddScores("logit", scores); err != nil {
		t.Fatal(err)
	}
	requests := [][]float32{{1, 0}, {0, 0}, {3, 4}}
	places := [][]float32{{0, 2}, {1, 1}, {-1, 0}, {0, 0}}
	if err := e.AddVectors("e", requests, places, true); err != nil {
		t.Fatal(err)
	}
	if want := []string{"logit", "e cosine", "e product 0", "e product 1"}; !slices.Equal(e.Names(), want) {
		t.Errorf("names %q", e.Names())
	}
	// A copy of request 3 with its options in another order.
	r := feed.Requests[2]
	r.Options = []poi.Option{r.Options[1], r.Options[2], r.Options[0]}
	rows := make([]float32, 3*6)
	if err := e.put(rows, 6, 2, &r); err != nil {
		t.Fatal(err)
	}
	s := math.Sqrt2
	for i, want := range []float64{0, 0, 6, -.6, -.6, 0, 0, 0, 7, 1.4 / s, .6 / s, .8 / s, 0, 0, 5, .8, 0, .8} {
		if math.Abs(float64(rows[i])-want) > 1e-6 {
			t.Errorf("number %d is %v, want %v", i, rows[i], want)
		}
	}
	for name, err := range map[string]error{
		"twice":           e.AddScores("logit", scores),
		"too few":         e.AddScores("x", scores[:2]),
		"ragged":          e.AddScores("x", [][]float64{{1}, {3, 4}, {5, 6, 7}}),
		"NaN":             e.AddScores("x", [][]float64{{1, math.NaN()}, {3, 4}, {5, 6, 7}}),
		"few vectors":     e.AddVectors("x", requests[:1], places, false),
		"no places":       e.AddVectors("x", requests, nil, false),
		"few places":      e.AddVectors("x", requests, places[:1], false),
		"ragged vectors":  e.AddVectors("x", [][]float32{{1}, {1, 2}, {1, 2}}, places, false),
		"infinite vector": e.AddVectors("x", [][]float32{{1, float32(math.Inf(1))}, {1, 2}, {1, 2}}, places, false),
		"unknown request": e.put(rows, 6, 2, &poi.Request{ID: "none"}),
		"other options":   e.put(rows, 6, 2, &poi.Request{ID: "1", Options: []poi.Option{{POI: 0}, {POI: 3}}}),
		"fewer options":   e.put(rows, 6, 2, &poi.Request{ID: "1", Options: []poi.Option{{POI: 0}}}),
	} {
		if !errors.Is(err, poi.ErrBadInput) && !errors.Is(err, poi.ErrEmpty) && !errors.Is(err, poi.ErrUnknownPOI) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	feed.Requests[1].ID = "1"
	if _, err := NewExtra(feed); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("equal IDs: %v", err)
	}
	if w := mustNew(t, d, feed, nil, tiny()).builder(true).width(); w != denseFeatures {
		t.Errorf("without extra features a row has %d numbers, want %d", w, denseFeatures)
	}
}

func TestNewRejects(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *poi.Feed, c *Config)
		want   error
	}{
		"config":     {func(_ *poi.Feed, c *Config) { c.Dim = 0 }, poi.ErrBadInput},
		"user":       {func(f *poi.Feed, _ *Config) { f.Requests[0].User = 9 }, poi.ErrUnknownUser},
		"place":      {func(f *poi.Feed, _ *Config) { f.Requests[0].Options[0].POI = 9 }, poi.ErrUnknownPOI},
		"position":   {func(f *poi.Feed, _ *Config) { f.Requests[0].Pos = 9 }, poi.ErrBadInput},
		"options":    {func(f *poi.Feed, _ *Config) { f.Requests[0].Options = make([]poi.Option, MaxOptions+1) }, poi.ErrBadInput},
		"no train":   {func(f *poi.Feed, _ *Config) { f.ByTag[poi.Train] = nil }, poi.ErrEmpty},
		"no options": {func(f *poi.Feed, _ *Config) { f.Requests[0].Options, f.ByTag[poi.Train] = nil, []int32{0} }, poi.ErrEmpty},
		"only clicks": {func(f *poi.Feed, _ *Config) {
			for i := range f.Requests {
				for j := range f.Requests[i].Options {
					f.Requests[i].Options[j].Clicked = true
				}
			}
		}, poi.ErrEmpty},
	} {
		d, feed := byHand()
		cfg := tiny()
		cfg.WarmUp = 0
		c.change(feed, &cfg)
		if _, err := New(d, feed, nil, cfg, 1); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(c *Config){
		"dim": func(c *Config) { c.Dim = 0 }, "user_table": func(c *Config) { c.UserTable = 1 }, "place_table": func(c *Config) { c.PlaceTable = 1 << 30 },
		"geo_table": func(c *Config) { c.GeoTable = 0 }, "cross_table": func(c *Config) { c.CrossTable = 0 },
		"block_km": func(c *Config) { c.BlockKM = math.NaN() }, "history": func(c *Config) { c.History = 0 },
		"attention_hidden": func(c *Config) { c.AttentionHidden = 0 }, "hidden": func(c *Config) { c.Hidden = nil },
		"hidden[1]": func(c *Config) { c.Hidden = []int{4, 0} }, "dropout": func(c *Config) { c.Dropout = 1 },
		"field_dropout": func(c *Config) { c.FieldDropout = -.1 }, "position": func(c *Config) { c.Position = "maybe" },
		"prior": func(c *Config) { c.Prior = 0 }, "warm_up": func(c *Config) { c.WarmUp = 1 }, "batch": func(c *Config) { c.Batch = 0 },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "ranker."+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
