package batch

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

func one(*Row, int) float64 { return 1 }

// rowOf is the whole of a user's visits as one window, every action a request.
func rowOf(d *poi.Dataset, user int, window int) Row {
	v := d.Users[user].Visits
	r := Row{User: int32(user), Sequence: v, From: max(0, len(v)-window)}
	for i := r.From; i < len(v); i++ {
		r.Requests = append(r.Requests, i)
	}
	return r
}

func encode(d *poi.Dataset, c Config, r Row) *Batch {
	n := len(r.Sequence) - r.From
	stats := evidence.Fit(d)
	sets := func(r *Row, at int) *evidence.Set {
		q := d.QueryOf(poi.Target{User: r.User, Pos: int32(at)})
		set := new(evidence.Set)
		evidence.NewBuilder(stats, smallEvidence).Compute(&q, set)
		return set
	}
	return NewEncoder(d, c).Encode([]Row{r}, Shape{B: 2, N: n + 2, M: n + 1, C: smallEvidence.Max()}, one, sets)
}

func TestShapesAndPadding(t *testing.T) {
	d, c := toy(1), Default()
	c.Profile = 3
	const n, cands = 9, 46
	r := rowOf(d, 1, n)
	b := encode(d, c, r)
	want := [NumInputs][]int{InPlace: {2, n + 2}, InTimes: {2, n + 2, 4}, InClock: {2, n + 2}, InCells: {2, n + 2, geo.GridLevels},
		InAt: {2, n + 2, 2}, InFrom: {2, n + 2, 2}, InType: {2, n + 2}, InSegment: {2, n + 2}, InUser: {2}, InProfile: {2, 3},
		InRequest: {2, n + 1}, InWeight: {2, n + 1}, InLabel: {2, n + 1}, InCandidate: {2, n + 1, cands},
		InFeature: {2, n + 1, cands, evidence.NumFeatures}, InContext: {2, n + 1, evidence.NumContext}, InChosen: {2, n + 1}}
	for i, a := range b.Arrays {
		if !slices.Equal(a.Dims, want[i]) || (a.I == nil) == (a.F == nil) || len(a.I)+len(a.F) != product(a.Dims) {
			t.Errorf("input %d has dims %v and %d+%d values, want %v", i, a.Dims, len(a.I), len(a.F), want[i])
			continue
		}
		ints, floats, width := b.row(i, 1)
		if slices.ContainsFunc(ints, func(x int32) bool { return x != 0 }) || slices.ContainsFunc(floats, func(x float32) bool { return x != 0 }) {
			t.Errorf("input %d: the padding row is not zero", i)
		}
		used := map[bool]int{true: n, false: 0}[len(a.Dims) > 1 && i != InProfile]
		ints, floats, _ = b.row(i, 0)
		for k := used * width; used > 0 && k < len(ints)+len(floats); k++ {
			if ints != nil && ints[k] != 0 || floats != nil && floats[k] != 0 {
				t.Errorf("input %d: slot %d beyond the window is not zero", i, k/width)
			}
		}
	}
	if b.Targets != n || b.Tokens != n || b.Weight != n {
		t.Errorf("targets %d, tokens %d, weight %v of %d actions", b.Targets, b.Tokens, b.Weight, n)
	}
}

// TestNoRequestSeesItsOwnPOI changes one visit's POI, in a window where every
// action is a request, and wants nothing else to change up to its request.
func TestNoRequestSeesItsOwnPOI(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := toy(rapid.Uint64().Draw(t, "seed")), drawConfig(t)
		user := rapid.IntRange(0, len(d.Users)-1).Draw(t, "user")
		v := d.Users[user].Visits
		n := min(c.Window, len(v))
		r := rowOf(d, user, n)
		slot := rapid.IntRange(0, n-1).Draw(t, "slot")
		before := encode(d, c, r)
		at := r.From + slot
		v[at].POI = (v[at].POI + int32(rapid.IntRange(1, len(d.Places)-1).Draw(t, "other"))) % int32(len(d.Places))
		after := encode(d, c, r)
		for _, in := range []struct {
			input int
			free  int // slots from here on may change
		}{
			{InTimes, n}, {InClock, n}, {InSegment, n}, {InUser, 1}, {InProfile, 1}, {InRequest, n}, {InWeight, n}, {InType, n},
			{InPlace, slot}, {InAt, slot}, {InLabel, slot}, {InChosen, slot}, // the action itself
			{InFrom, slot + 1}, {InCells, slot + 1}, {InCandidate, slot + 1}, {InFeature, slot + 1}, {InContext, slot + 1}, // what came before
		} {
			ia, fa, width := before.row(in.input, 0)
			ib, fb, _ := after.row(in.input, 0)
			fixed := min(in.free*width, len(ia)+len(fa))
			if ia != nil && !slices.Equal(ia[:fixed], ib[:fixed]) || fa != nil && !slices.Equal(fa[:fixed], fb[:fixed]) {
				t.Fatalf("input %d at or before request %d depends on its POI", in.input, slot)
			}
		}
		places, _, _ := before.row(InPlace, 0)
		changed, _, _ := after.row(InPlace, 0)
		for k := range places {
			if (places[k] != changed[k]) != (k == slot) {
				t.Fatalf("place %d: %d, then %d, though visit %d changed", k, places[k], changed[k], slot)
			}
		}
	})
}

// TestOpenRows: the last action's place, type and label are unknown, everything
// else is as if they were known.
func TestOpenRows(t *testing.T) {
	d, c := toy(2), Default()
	r := rowOf(d, 0, 8)
	r.Requests = r.Requests[len(r.Requests)-1:]
	closed := encode(d, c, r)
	r.Open = true
	open := encode(d, c, r)
	for i := range NumInputs {
		a, b := closed.Arrays[i], open.Arrays[i]
		switch i {
		case InPlace, InType:
			a.I[7] = 0
		case InAt:
			a.F[14], a.F[15] = 0, 0
		case InLabel:
			a.I[0] = 0
		case InChosen:
			a.I[0] = -1
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("input %d of an open row is %v, want %v", i, b, a)
		}
	}
}

// TestClocksByHand reads local times at whole, half and quarter hours, over the
// end of a year and on a leap day.
func TestClocksByHand(t *testing.T) {
	utc := func(s string) int64 {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMilli()
	}
	d := &poi.Dataset{Places: []poi.Place{{}}, Types: []string{"checkin"}, Users: make([]poi.User, 1)}
	for _, c := range []struct {
		utc    string
		offset int16
		want   [4]int32 // month from 0, weekday from Sunday, day from 0, hour
	}{
		{"2024-02-29T23:59:00Z", 0, [4]int32{1, 4, 28, 23}},
		{"2024-02-29T18:29:59Z", 330, [4]int32{1, 4, 28, 23}},
		{"2024-02-29T18:30:00Z", 330, [4]int32{2, 5, 0, 0}},
		{"2024-12-31T18:14:59Z", 345, [4]int32{11, 2, 30, 23}},
		{"2024-12-31T18:15:00Z", 345, [4]int32{0, 3, 0, 0}},
		{"2025-01-01T03:29:00Z", -210, [4]int32{11, 2, 30, 23}},
		{"2025-06-01T12:00:00Z", -300, [4]int32{5, 0, 0, 7}},
		{"1969-12-31T23:00:00Z", 0, [4]int32{11, 3, 30, 23}},
	} {
		d.Users[0].Visits = []poi.Visit{{TimeMS: utc(c.utc), OffsetMin: c.offset}}
		got, _, _ := encode(d, Default(), rowOf(d, 0, 1)).row(InTimes, 0)
		if [4]int32(got) != c.want {
			t.Errorf("%s at %+d minutes: %v, want %v", c.utc, c.offset, got[:4], c.want)
		}
	}
	// Local time counts: 25 UTC hours are 24 where the clock went back an hour.
	d.Users[0].Visits = nil
	for _, v := range []struct {
		utc    string
		offset int16
	}{{"2024-10-26T10:30:00Z", 120}, {"2024-10-27T11:30:00Z", 60}, {"2024-10-28T11:30:00Z", 60}, {"2024-10-29T11:31:00Z", 60}} {
		d.Users[0].Visits = append(d.Users[0].Visits, poi.Visit{TimeMS: utc(v.utc), OffsetMin: v.offset})
	}
	b := encode(d, Default(), rowOf(d, 0, 4))
	_, clock, _ := b.row(InClock, 0)
	_, segment, _ := b.row(InSegment, 0)
	for i, want := range []float32{72 + 1./60, 48 + 1./60, 24 + 1./60, 0} {
		if math.Abs(float64(clock[i]-want)) > 1e-4 {
			t.Errorf("action %d is %v local hours before the end, want %v", i, clock[i], want)
		}
	}
	if got := fmt.Sprint(segment[:4]); got != "[0 0 0 1]" {
		t.Errorf("trajectories %v: only the last gap is over 24 local hours", got)
	}
}

// TestLocationsByHand: where the user stood is logged, or the previous place.
func TestLocationsByHand(t *testing.T) {
	d := &poi.Dataset{Types: []string{"a", "b"}, Users: make([]poi.User, 1),
		Places: []poi.Place{{Lat: 1, Lng: 0}, {Lat: -1, Lng: 1}, {Lat: 0, Lng: -1}}}
	d.Users[0].Visits = []poi.Visit{{POI: 0, Type: 1}, {POI: 1, TimeMS: 1, HasUser: true, UserLat: 0, UserLng: 2}, {POI: 2, TimeMS: 2}}
	const km = kmPerDegree
	for location, cellsOf := range map[string][3]int{ // place + 1 whose cells u carries; -1 for the logged position
		LocationNone: {0, 0, 0}, LocationUser: {0, -1, 0}, LocationPrevious: {0, 1, 2}} {
		c := Default()
		c.Location = location
		e := NewEncoder(d, c)
		b := encode(d, c, rowOf(d, 0, 3))
		_, at, _ := b.row(InAt, 0)
		_, from, _ := b.row(InFrom, 0)
		cells, _, _ := b.row(InCells, 0)
		if want := []float32{0, km, km, -km, -km, 0}; !near(at[:6], want) {
			t.Errorf("places at %v km, want %v", at[:6], want)
		}
		if want := []float32{0, 0, 2 * km, 0, km, -km}; !near(from[:6], want) {
			t.Errorf("%s: user at %v km, want %v", location, from[:6], want)
		}
		for i, p := range cellsOf {
			want := make([]int32, geo.GridLevels)
			switch {
			case p > 0:
				want = e.PlaceCells()[p*geo.GridLevels : (p+1)*geo.GridLevels]
			case p < 0:
				e.hash(geo.Cells(0, 2), want)
			}
			if got := cells[i*geo.GridLevels : (i+1)*geo.GridLevels]; !slices.Equal(got, want) {
				t.Errorf("%s: cells of action %d are %v, want %v", location, i, got, want)
			}
		}
		types, _, _ := b.row(InType, 0)
		if fmt.Sprint(types[:3]) != "[2 1 1]" {
			t.Errorf("types %v", types[:3])
		}
		for i, x := range e.PlaceCells() {
			if x < 0 || int(x) >= c.GeoTable || (x == 0) != (i < geo.GridLevels) {
				t.Fatalf("cell %d is %d: rows 1 to %d are places, 0 is unknown", i, x, c.GeoTable-1)
			}
		}
	}
}

func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) < 1e-2 })
}

func TestCategoriesByHand(t *testing.T) {
	got, n := Categories([]poi.Place{{Category: "Food > French > Bistro"}, {}, {Category: "Food"}, {Category: "Shop > French"},
		{Category: "Food>French"}, {Category: "Food > French > Bistro > Corner"}})
	want := []int32{0, 0, 0, 1, 2, 3, 0, 0, 0, 1, 0, 0, 4, 5, 0, 1, 2, 0, 1, 2, 6}
	if !slices.Equal(got, want) || n != 7 {
		t.Errorf("levels %v, vocabulary %d; want %v, 7", got, n, want)
	}
}

func TestProfilesByHand(t *testing.T) {
	users := []poi.User{
		{Profile: poi.Profile{Gender: "f", AgeBand: "20", Tags: []string{"tea", "f"}}},
		{Profile: poi.Profile{Gender: "m", AgeBand: "20", Tags: []string{"tea"}}}, {},
	}
	got, n := profileTokens(users, 5)
	// gender=f 1, age=20 2, no occupation 3, tag=tea 4, tag=f 5 (not the gender); gender=m 6; no gender 7, no age 8.
	if want := "[[1 2 3 4 5] [6 2 3 4] [7 8 3]]"; fmt.Sprint(got) != want || n != 9 {
		t.Errorf("tokens %v, vocabulary %d; want %s, 9", got, n, want)
	}
	if got, n := profileTokens(users, 0); fmt.Sprint(got) != "[[] [] []]" || n != 1 {
		t.Errorf("without profile tokens: %v, vocabulary %d", got, n)
	}
	d, c := toy(3), Default()
	c.Profile = 2
	e := NewEncoder(d, c)
	r := rowOf(d, 1, 3)
	r.User = -1
	b := e.Encode([]Row{rowOf(d, 1, 3), r}, Shape{B: 2, N: 3, M: 3, C: 1}, one, nil)
	if p := b.Arrays[InProfile].I; p[0] != e.profiles[1][0] || p[1] != e.profiles[1][1] || p[2] != 0 || p[3] != 0 {
		t.Errorf("profiles %v, want %v and nothing for a stranger", p, e.profiles[1])
	}
	if u := b.Arrays[InUser].I; u[0] != 2 || u[1] != 0 {
		t.Errorf("users %v, want 2 and 0 for a stranger", u)
	}
	if ch := b.Arrays[InChosen].I; slices.ContainsFunc(ch, func(x int32) bool { return x != -1 }) {
		t.Errorf("without evidence nothing is chosen, got %v", ch)
	}
}

func TestTooLargeForTheBucketPanics(t *testing.T) {
	d := toy(4)
	for _, s := range []Shape{{B: 1, N: 2, M: 9, C: 1}, {B: 1, N: 9, M: 2, C: 1}} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "bucket of 2") {
					t.Errorf("%+v: recovered %v", s, r)
				}
			}()
			NewEncoder(d, Default()).Encode([]Row{rowOf(d, 0, 5)}, s, one, nil)
		}()
	}
}

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Window = 1 }, "batch.window is 1"}, {func(c *Config) { c.Window = 4097 }, "batch.window is 4097"},
		{func(c *Config) { c.Chunk = 0 }, "batch.chunk is 0"}, {func(c *Config) { c.Chunk = 65 }, "batch.chunk is 65, want 1 to batch.window (64)"},
		{func(c *Config) { c.Size = 0 }, "batch.size is 0"}, {func(c *Config) { c.Size = 65537 }, "batch.size is 65537"},
		{func(c *Config) { c.Location = "here" }, `batch.location is "here"`},
		{func(c *Config) { c.LastWeight = 0 }, "batch.last_weight is 0"}, {func(c *Config) { c.LastWeight = math.NaN() }, "batch.last_weight is NaN"},
		{func(c *Config) { c.LastWeight = math.Inf(1) }, "batch.last_weight is +Inf"},
		{func(c *Config) { c.Profile = -1 }, "batch.profile is -1"}, {func(c *Config) { c.Profile = 17 }, "batch.profile is 17"},
		{func(c *Config) { c.GeoTable = 1 }, "batch.geo_table is 1"}, {func(c *Config) { c.GeoTable = 1 << 40 }, "batch.geo_table is 1099511627776"},
		{func(c *Config) { c.Curriculum = -1 }, "batch.curriculum is -1"}, {func(c *Config) { c.CacheMB = -1 }, "batch.cache_mb is -1"},
		{func(c *Config) { c.CacheMB = 1 << 50 }, "batch.cache_mb is 1125899906842624"},
	} {
		cfg := Default()
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", cfg, err, c.want)
		}
	}
}
