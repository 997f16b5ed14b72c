package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// Monday 2024-04-01 08:00 UTC; every hand case counts hours from here.
const mondayMS = 1_711_958_400_000

// handCity has three places in a line, 1.112 km apart, the last one closed, and
// somebody else who went 0, 1, 0, 1 within a morning.
func handCity() *poi.Dataset {
	d := &poi.Dataset{Places: []poi.Place{{Category: "a", Lat: 40}, {Category: "b", Lat: 40.01}, {Category: "b", Lat: 40.02, Closed: true}},
		Users: make([]poi.User, 2)}
	for i := range 4 {
		d.Users[0].Visits = append(d.Users[0].Visits, poi.Visit{POI: int32(i % 2), TimeMS: mondayMS + int64(i)*hourMS})
	}
	return d
}

func TestHandComputed(t *testing.T) {
	d := handCity()
	c := Config{MaxPast: 5, Next: 5, Near: 5, History: 10, WholeHistory: true}
	visit := func(p int32, hours float64) poi.Visit {
		return poi.Visit{POI: p, TimeMS: mondayMS + int64(hours*hourMS)}
	}
	type want struct {
		candidate, feature int
		value              float64
	}
	for _, x := range []struct {
		name       string
		q          poi.Query
		candidates []int32
		past       int
		want       []want
	}{
		{"no history: popular places", poi.Query{User: 1, TimeMS: mondayMS}, []int32{0, 1}, 0,
			[]want{{0, fNew, 1}, {0, kCount, math.Log(0.05)}, {0, fPopular, math.Log(2.5)}, {0, fDistLast, 3.5}, {0, fDistUser, 3.5}}},
		{"no history, own statistics only: nothing", poi.Query{User: 0, TimeMS: mondayMS}, []int32{}, 0, nil},
		{"one visit, yesterday at this hour", poi.Query{User: 1, History: []poi.Visit{visit(0, 0)}, TimeMS: mondayMS + dayMS}, []int32{0, 1}, 1,
			[]want{{0, kCount, math.Log(1.05)}, {0, kHalf, math.Log(1.05)}, {0, kAge7, math.Log(math.Exp(-1./7) + 0.05)}, {0, kDay, math.Log(0.05)},
				{0, kEnd, math.Log(0.05)}, {0, kStart, math.Log(1.05)}, {0, fYesterday, 1}, {0, fLastWeek, 0}, {0, fSince, math.Log(25)}, {0, fIsLast, 1},
				{0, fDays, 1. / 30}, {0, fShareCount, 1}, {0, fCurrent, math.Log(2)},
				{1, fNew, 1}, {1, fOthersNext, math.Log(2.1)}, {1, fOthersNextShare, 2. / 7}, {1, fDistLast, math.Log1p(11.1195)}}},
		{"a minute over a day: the trajectory has ended", poi.Query{User: 1, History: []poi.Visit{visit(0, 0)}, TimeMS: mondayMS + dayMS + 60_000},
			[]int32{0, 1}, 1, []want{{0, kEnd, math.Log(1.05)}, {0, fCurrent, 0}}},
		{"a closed place is history, not a candidate", poi.Query{User: 1, History: []poi.Visit{visit(1, 0), visit(2, 1)}, TimeMS: mondayMS + 2*hourMS},
			[]int32{1, 0}, 1, []want{{0, fIsLast2, 1}, {0, fShareCount, 0.5}, {0, fRankLog, math.Log(2)}, {0, fDistLast, math.Log1p(11.1195)}}},
		{"weekly, local time: Sunday 23:00 at UTC-5", poi.Query{User: 1, History: []poi.Visit{{POI: 0, TimeMS: mondayMS - 4*hourMS, OffsetMin: -300}},
			TimeMS: mondayMS - 4*hourMS + 7*dayMS, OffsetMin: -300}, []int32{0, 1}, 1,
			[]want{{0, fLastWeek, 1}, {0, kDay, math.Log(1.05)}, {0, kWeekend, math.Log(1.05)}, {0, fNearest, 0}}},
		{"yesterday ends an hour and a half from 24 hours", poi.Query{User: 1, History: []poi.Visit{visit(0, 0), visit(1, 1./60)}, TimeMS: mondayMS + 25*hourMS + hourMS/2},
			[]int32{0, 1}, 2, []want{{0, fYesterday, 0}, {1, fYesterday, 1}}},
		{"and begins there", poi.Query{User: 1, History: []poi.Visit{visit(0, 0), visit(1, 1./60)}, TimeMS: mondayMS + 22*hourMS + hourMS/2 + 60_000},
			[]int32{0, 1}, 2, []want{{0, fYesterday, 1}, {1, fYesterday, 0}}},
		{"a position: the place there comes first", poi.Query{User: 1, TimeMS: mondayMS, HasPos: true, Lat: 40.011}, []int32{1, 0}, 0,
			[]want{{0, fDistUser, math.Log1p(1.11195)}}},
	} {
		got := compute(Fit(d), c, x.q)
		if fmt.Sprint(got.POIs) != fmt.Sprint(x.candidates) || got.Past != x.past {
			t.Errorf("%s: candidates %v (%d past), want %v (%d)", x.name, got.POIs, got.Past, x.candidates, x.past)
			continue
		}
		for _, w := range x.want {
			if v := got.Features[w.candidate*NumFeatures+w.feature]; !close32(v, w.value) {
				t.Errorf("%s: candidate %d, feature %d is %v, want %v", x.name, w.candidate, w.feature, v, w.value)
			}
		}
	}
}

// TestCurrentTrajectoryOnly: without the whole history a place of last week is new.
func TestCurrentTrajectoryOnly(t *testing.T) {
	d := handCity()
	c := Config{MaxPast: 5, Next: 5, Near: 5, History: 10}
	q := poi.Query{User: 1, TimeMS: mondayMS + 10*dayMS, History: []poi.Visit{
		{POI: 0, TimeMS: mondayMS}, {POI: 1, TimeMS: mondayMS + 9*dayMS}, {POI: 1, TimeMS: mondayMS + 10*dayMS - hourMS}}}
	for whole, past := range map[bool]int{true: 2, false: 1} {
		c.WholeHistory = whole
		if got := compute(Fit(d), c, q); got.Past != past || len(got.POIs) != 2 {
			t.Errorf("whole history %v: candidates %v, %d of them past, want %d", whole, got.POIs, got.Past, past)
		}
	}
}

// TestFitIsDeterministic matters because counts live in maps.
func TestFitIsDeterministic(t *testing.T) {
	d := randomData(5, 5, maxPlaces, 70)
	a := Fit(d)
	for range 5 {
		if b := Fit(d); a.Fingerprint() != b.Fingerprint() || !reflect.DeepEqual(a, b) {
			t.Fatal("two fits of one data set differ")
		}
	}
}

func TestClosestIsTheNearestOpenPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &poi.Dataset{}
		coordinate := func(name string, limit float64) float64 { return rapid.Float64Range(-limit, limit).Draw(t, name) }
		for range rapid.IntRange(0, 12).Draw(t, "places") {
			d.Places = append(d.Places, poi.Place{Lat: coordinate("lat", 90), Lng: coordinate("lng", 180), Closed: rapid.IntRange(0, 4).Draw(t, "closed") == 0})
		}
		lat, lng := coordinate("from lat", 90), coordinate("from lng", 180)
		got, best := Fit(d).Closest(lat, lng), math.Inf(1)
		for _, p := range d.Places {
			if !p.Closed {
				best = math.Min(best, geo.Metres(lat, lng, p.Lat, p.Lng))
			}
		}
		switch {
		case math.IsInf(best, 1):
			if got != -1 {
				t.Fatalf("no place is open, got %d", got)
			}
		case got < 0 || d.Places[got].Closed:
			t.Fatalf("got %d", got)
		default:
			if m := geo.Metres(lat, lng, d.Places[got].Lat, d.Places[got].Lng); m > best+1e-3 {
				t.Fatalf("place %d is %.3f m away, the nearest %.3f m", got, m, best)
			}
		}
	})
}

// TestMostPastPlacesAreKept is the recall of the copy part: on the toy, where
// people return, the target is among the candidates whenever it was visited.
func TestMostPastPlacesAreKept(t *testing.T) {
	d := testkit.Toy(7, 6, 60)
	stats, returns := Fit(d), 0
	for _, targets := range d.Targets {
		for _, target := range targets {
			q, label, visited := d.QueryOf(target), d.Label(target), false
			for _, v := range q.History {
				visited = visited || v.POI == label
			}
			if !visited {
				continue
			}
			returns++
			if i := compute(stats, Default(), q).Index(label); i < 0 {
				t.Fatalf("target %v returns to POI %d, which is not a candidate", target, label)
			}
		}
	}
	if returns < 50 {
		t.Fatalf("only %d targets return; the toy has changed", returns)
	}
}

func BenchmarkCompute(b *testing.B) {
	d := testkit.Toy(1, 30, 2000)
	stats := Fit(d)
	for _, n := range []int{50, 200, 1000} {
		rng := rand.New(rand.NewPCG(9, 9))
		history := make([]poi.Visit, n)
		for i := range history {
			history[i] = poi.Visit{POI: int32(rng.ExpFloat64()*20) % 2000, TimeMS: mondayMS + int64(i)*5*hourMS, OffsetMin: -300}
		}
		q := poi.Query{User: 0, History: history, TimeMS: mondayMS + int64(n)*5*hourMS, OffsetMin: -300}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			builder, out := NewBuilder(stats, Default()), new(Set)
			b.ReportAllocs()
			for b.Loop() {
				builder.Compute(&q, out)
			}
		})
	}
}
