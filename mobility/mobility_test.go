package mobility_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/poi"
)

// monday is 00:00 UTC of a Monday.
var monday = time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC).UnixMilli()

const hourMS = 3600_000

// at is a stay of user u at place p, some hours after monday. Place "a" is on
// the equator at 0, "b" a hundredth of a degree east of it, "c" two.
func at(u, p string, hours float64) poi.Action {
	lng := map[string]float64{"a": 0, "b": .01, "c": .02}[p]
	category := map[string]string{"a": "Home > Flat", "b": "Food > Bar", "c": ""}[p]
	return poi.Action{User: u, POI: p, Category: category, Lng: lng, TimeMS: monday + int64(hours*hourMS), Type: "arrive"}
}

// tiny: one person goes a b a c a, one stays at b once.
func tiny() []poi.Action {
	return []poi.Action{at("u", "a", 1), at("u", "b", 2), at("u", "a", 4), at("u", "c", 30), at("u", "a", 31), at("v", "b", 2.5)}
}

func laws(t testing.TB, actions []poi.Action) *mobility.Laws {
	t.Helper()
	l, err := mobility.OfActions(t.Context(), "log", actions)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func near(t *testing.T, name string, got, want, relative float64) {
	t.Helper()
	if math.Abs(got-want) > relative*math.Abs(want)+1e-12 {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func TestTinyLogByHand(t *testing.T) {
	l := laws(t, tiny())
	if l.People != 2 || l.Stays != 6 || l.Places != 3 {
		t.Fatalf("%d people, %d stays, %d places", l.People, l.Stays, l.Places)
	}
	near(t, "days", l.Days, 30.0/24, 0)
	// Trips: a-b, b-a and c-a; a-c has a gap of 26 hours.
	degree := geo.Metres(0, 0, 0, 1)
	if l.Trip.N() != 3 || l.Gap.N() != 4 {
		t.Errorf("%d trips, %d gaps", l.Trip.N(), l.Gap.N())
	}
	near(t, "mean trip", l.Trip.Mean(), degree*.04/3, 1e-9)
	near(t, "median trip", l.Trip.Median(), degree*.01, .01)
	near(t, "longest trip", l.Trip.Max(), degree*.02, 1e-9)
	near(t, "mean gap", l.Gap.Mean(), 30*3600/4.0, 1e-9)
	near(t, "stays per person", l.Visits.Mean(), 3, 0)
	near(t, "places per person", l.Distinct.Mean(), 2, 0)
	// u: lng 0 0 0 .01 .02, mean .006, mean square deviation (3*36+16+196)/5 e-6 = 64e-6.
	if l.Gyration.N() != 1 {
		t.Errorf("%d radii of gyration, want that of u only", l.Gyration.N())
	}
	near(t, "gyration", l.Gyration.Mean(), degree*.008, 1e-6)
	near(t, "entropy", l.Entropy.Mean(), -.6*math.Log2(.6)-.4*math.Log2(.2), 1e-9)
	if want := []float64{(.6 + 1) / 2, .1, .1}; !closeAll(l.Rank, want) {
		t.Errorf("rank law %v, want %v", l.Rank, want)
	}
	// After 1 stay 1 place (both), after 2: 2, after 4: 3 (u only). After a day u has 2.
	if want := []mobility.Point{{X: 1, Y: 1}, {X: 2, Y: 2}, {X: 4, Y: 3}}; !reflect.DeepEqual(l.Explore, want) {
		t.Errorf("exploration %v, want %v", l.Explore, want)
	}
	if want := []mobility.Point{{X: 1, Y: 2}}; !reflect.DeepEqual(l.ExploreDays, want) {
		t.Errorf("exploration by days %v, want %v", l.ExploreDays, want)
	}
	near(t, "return share", l.ReturnShare, .5, 0)
	near(t, "top share", l.TopShare, .5, 0)
	if want := []mobility.Point{{X: 1, Y: 3}, {X: 2, Y: 2}, {X: 3, Y: 1}}; !reflect.DeepEqual(l.Ranked, want) {
		t.Errorf("places by rank %v, want %v", l.Ranked, want)
	}
	if l.Rhythm[time.Monday][2] != 2 || l.Rhythm[time.Tuesday][6] != 1 || l.Rhythm[time.Tuesday][7] != 1 || l.Rhythm[time.Sunday] != [24]int64{} {
		t.Errorf("rhythm %v", l.Rhythm)
	}
	if l.Mix["Food"][2] != 2 || l.Mix["Home"][1] != 1 || l.Mix[mobility.Other][6] != 1 || len(l.Mix) != 3 {
		t.Errorf("mix %v", l.Mix)
	}
	if l.TripFit.N != 0 {
		t.Error("three trips were fitted")
	}
}

func closeAll(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })
}

// What a person does from afar is no stay.
func TestOnlyStaysCount(t *testing.T) {
	log := tiny()
	for _, kind := range []string{"search", "click", "favourite"} {
		a := at("u", "c", 3)
		a.Type, a.Lat = kind, 50
		log = append(log, a)
	}
	log = append(log, poi.Action{User: "w", POI: "c", Type: "search"})
	if got, want := laws(t, log), laws(t, tiny()); !reflect.DeepEqual(got, want) {
		t.Errorf("searches changed the laws:\n%+v\n%+v", got, want)
	}
}

func TestLocalTimeMakesTheRhythm(t *testing.T) {
	a := at("u", "a", 1)
	a.OffsetMin = -120
	if l := laws(t, []poi.Action{a}); l.Rhythm[time.Sunday][23] != 1 {
		t.Errorf("rhythm %v, want Sunday 23", l.Rhythm)
	}
}

func TestFailures(t *testing.T) {
	far, nowhere, search := at("u", "a", 1), at("u", "a", 2), at("u", "a", 3)
	far.Lat, nowhere.POI, search.Type = 91, "", "search"
	for _, c := range []struct {
		name string
		log  []poi.Action
		want error
		says string
	}{
		{"nothing", nil, poi.ErrEmpty, "no stay"},
		{"searches only", []poi.Action{search}, poi.ErrEmpty, "no stay"},
		{"off the Earth", []poi.Action{far}, poi.ErrBadInput, "91"},
		{"no POI", []poi.Action{nowhere}, poi.ErrBadInput, "no POI"},
	} {
		if _, err := mobility.OfActions(t.Context(), "log", c.log); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v saying %q", c.name, err, c.want, c.says)
		}
	}
	if err := mobility.NewCollector().Add(tiny()); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("two people at once: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mobility.OfActions(ctx, "log", tiny()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	d := testkit.Toy(1, 2, 5)
	d.Users[0].Visits[0].POI = 99
	if _, err := mobility.OfDataset(d); !errors.Is(err, poi.ErrUnknownPOI) {
		t.Errorf("unknown POI: %v", err)
	}
}

// A data set and the log it stands for have the same laws.
func TestDatasetAndActionsAgree(t *testing.T) {
	d := testkit.Toy(3, 12, 20)
	var log []poi.Action
	for _, u := range d.Users {
		for i, v := range u.Visits {
			p := d.Places[v.POI]
			log = append(log, poi.Action{User: u.ID, POI: p.ID, Category: p.Category, Lat: p.Lat, Lng: p.Lng,
				TimeMS: v.TimeMS, OffsetMin: v.OffsetMin, Type: d.Types[v.Type], Seq: int64(i)})
		}
	}
	of, err := mobility.OfDataset(d)
	if err != nil {
		t.Fatal(err)
	}
	got := laws(t, log)
	got.Name = of.Name
	if !reflect.DeepEqual(of, got) {
		t.Errorf("data set %+v\nactions %+v", of, got)
	}
}

// The centre of one place is that place only up to rounding: nobody left it.
func TestWhoStaysHasNoRadius(t *testing.T) {
	var log []poi.Action
	for i := range 500 {
		a := poi.Action{User: fmt.Sprint("u", i), POI: fmt.Sprint("p", i), Lat: -80 + .321*float64(i), Lng: -170 + .677*float64(i), TimeMS: monday, Type: "checkin"}
		later := a
		later.TimeMS += hourMS
		log = append(log, a, later)
	}
	if g := laws(t, log).Gyration; g.N() != 500 || g.Zero() != 500 {
		t.Errorf("%d radii, %d of them zero, the greatest %v m", g.N(), g.Zero(), g.Max())
	}
}

// randomLog draws a log of up to 6 people.
func randomLog(r *rapid.T) []poi.Action {
	var log []poi.Action
	for i := range rapid.IntRange(1, 60).Draw(r, "n") {
		p := rapid.IntRange(0, 9).Draw(r, "place")
		log = append(log, poi.Action{User: string(rune('u' + rapid.IntRange(0, 5).Draw(r, "user"))), POI: string(rune('A' + p)),
			Category: []string{"Food > Bar", "Shop", ""}[p%3], Lat: float64(p) / 50, Lng: float64(p*p) / 100, Type: "checkin",
			TimeMS: monday + int64(rapid.IntRange(0, 90*24*60).Draw(r, "minute"))*60_000, Seq: int64(i)})
	}
	return log
}

// Names and order say nothing; whole weeks of shift move nothing but the dates;
// the same places seen from another meridian are as far apart.
func TestInvariances(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := randomLog(r)
		want := laws(t, log)
		other := slices.Clone(log)
		weeks := int64(rapid.IntRange(-100, 100).Draw(r, "weeks"))
		turn := rapid.Float64Range(-170, 170).Draw(r, "turn")
		for i := range other {
			a := &other[i]
			a.User, a.POI = "x"+a.User, "y"+a.POI
			a.TimeMS += weeks * 7 * 24 * hourMS
			if a.Lng += turn; a.Lng > 180 {
				a.Lng -= 360
			}
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		got := laws(t, other)
		for _, d := range mobility.Compare(want, got) {
			if d.JS > 1e-9 || math.Abs(d.A-d.B) > .02*math.Abs(d.A)+1e-9 {
				r.Fatalf("%s: %v before, %v after, JS %v", d.Law, d.A, d.B, d.JS)
			}
		}
		if want.Rhythm != got.Rhythm || !closeAll(want.Rank, got.Rank) || !reflect.DeepEqual(want.Explore, got.Explore) || want.ReturnShare != got.ReturnShare {
			r.Fatal("a shift of weeks or new names changed the laws")
		}
	})
}

// A town half as large has trips and radii half as long, and the same shape; what
// is no length stays.
func TestScale(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := randomLog(r)
		half := slices.Clone(log)
		for i := range half {
			half[i].Lat, half[i].Lng = half[i].Lat/2, half[i].Lng/2
		}
		a, b := laws(t, log), laws(t, half)
		if math.Abs(a.Trip.Mean()-2*b.Trip.Mean()) > .01*a.Trip.Mean() || math.Abs(a.Gyration.Mean()-2*b.Gyration.Mean()) > .01*a.Gyration.Mean() {
			r.Fatalf("trips %v and %v, radii %v and %v", a.Trip.Mean(), b.Trip.Mean(), a.Gyration.Mean(), b.Gyration.Mean())
		}
		if a.ReturnShare != b.ReturnShare || a.Entropy.Mean() != b.Entropy.Mean() || a.Gap.Mean() != b.Gap.Mean() || a.Rhythm != b.Rhythm {
			r.Fatal("a smaller town changed what is no length")
		}
	})
}

// Oracles: plain counting over small logs.
func TestAgainstPlainCounting(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := randomLog(r)
		l := laws(t, log)
		byUser, places := map[string][]poi.Action{}, map[string]bool{}
		slices.SortStableFunc(log, func(a, b poi.Action) int { return int(a.TimeMS - b.TimeMS) })
		for _, a := range log {
			byUser[a.User] = append(byUser[a.User], a)
			places[a.POI] = true
		}
		var later, returns, trips int64
		for _, own := range byUser {
			for i, a := range own[1:] {
				later++
				if slices.ContainsFunc(own[:i+1], func(b poi.Action) bool { return a.POI == b.POI }) {
					returns++
				}
				if a.POI != own[i].POI && a.TimeMS-own[i].TimeMS <= 24*hourMS {
					trips++
				}
			}
		}
		if l.Stays != int64(len(log)) || l.People != int64(len(byUser)) || l.Places != int64(len(places)) || l.Trip.N() != trips || l.Gap.N() != later {
			r.Fatalf("laws %+v; want %d trips, %d gaps", l, trips, later)
		}
		if later > 0 && math.Abs(l.ReturnShare-float64(returns)/float64(later)) > 1e-12 {
			r.Fatalf("return share %v, want %d of %d", l.ReturnShare, returns, later)
		}
		week := int64(0)
		for _, hours := range l.Rhythm {
			for _, n := range hours {
				week += n
			}
		}
		if week != l.Stays {
			r.Fatalf("the week has %d of %d stays", week, l.Stays)
		}
	})
}

func TestJSONAndText(t *testing.T) {
	l := laws(t, tiny())
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got["people"] != 2.0 || got["return_share"] != .5 || got["stays_per_person"].(map[string]any)["mean"] != 3.0 {
		t.Errorf("JSON %s", text)
	}
	var b strings.Builder
	if err := mobility.WriteText(&b, l); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"log: 6 stays of 2 people at 3 places in 1.25 days", "return share 0.500", "shares 0.800 0.100 0.100",
		"the top 1 % have 50.0 % of the stays", "too few", "1.11 km", "7.5 h", "Mon"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, b.String())
		}
	}
	if err := mobility.WriteText(broken{}, l); err == nil {
		t.Error("a broken writer went unnoticed")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// newYork reads the columns user, POI, category, lat, lng, offset and time of
// the log.
func newYork(t *testing.T) []poi.Action {
	t.Helper()
	f, err := os.Open(testkit.DataFile(t, "foursquare-nyc", "checkins.tsv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var log []poi.Action
	for line := range strings.Lines(string(text)) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		lat, err1 := strconv.ParseFloat(c[4], 64)
		lng, err2 := strconv.ParseFloat(c[5], 64)
		offset, err3 := strconv.Atoi(c[6])
		when, err4 := time.Parse(time.RubyDate, c[7])
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		log = append(log, poi.Action{User: c[0], POI: c[1], Category: c[3], Lat: lat, Lng: lng, OffsetMin: int16(offset), TimeMS: when.UnixMilli()})
	}
	return log
}

// The New York log: its counts are known, and its laws are in the range of the
// literature on check-ins.
func TestNewYork(t *testing.T) {
	actions := newYork(t)
	l := laws(t, actions)
	var b strings.Builder
	if err := mobility.WriteText(&b, l); err != nil {
		t.Fatal(err)
	}
	t.Log(b.String())
	for _, c := range []struct {
		name           string
		got, low, high float64
	}{
		{"stays", float64(l.Stays), float64(len(actions)), float64(len(actions))},
		{"return share", l.ReturnShare, .5, .85},
		{"median trip", l.Trip.Median(), 800, 6000},
		{"exponent of a person's places", l.RankSlope, -1.6, -.6},
		{"exponent of exploration", l.ExploreSlope, .5, .95},
		{"exponent of trips", l.TripFit.Beta, .3, 2.5},
	} {
		if !(c.got >= c.low && c.got <= c.high) {
			t.Errorf("%s is %v, want %v to %v", c.name, c.got, c.low, c.high)
		}
	}
}
