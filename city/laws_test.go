package city_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// abroadM is less than the open country between any two towns.
const abroadM = 55_000

// awayM is the distance beyond which a person cannot stand at the place: he
// looks it up from the other town.
const awayM = 80_000

// checkLog fails on anything a log may never hold.
func checkLog(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *city.City, cfg city.Config, u int, log []poi.Action, byID map[string]int) {
	t.Helper()
	zone, err := time.LoadLocation(cfg.Zone)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, a := range log {
		local := poi.LocalTime(a.TimeMS, a.OffsetMin)
		place, ok := byID[a.POI]
		if p := c.Places[place]; !ok || p.Name != a.Name || p.Category != a.Category || p.Lat != a.Lat || p.Lng != a.Lng {
			t.Fatalf("user %d action %d does not agree with the catalog: %+v", u, i, a)
		}
		if a.User != c.UserID(u) || !a.HasUser || geo.Valid(a.UserLat, a.UserLng) != nil || geo.Valid(a.Lat, a.Lng) != nil {
			t.Fatalf("user %d action %d is not valid: %+v", u, i, a)
		}
		if got := time.UnixMilli(a.TimeMS).In(zone).Format(time.DateTime); got != local.Format(time.DateTime) {
			t.Fatalf("user %d action %d: local time %s, the zone says %s", u, i, local, got)
		}
		day := int(local.Sub(must(time.Parse(time.DateOnly, cfg.Start))).Hours() / 24)
		if day < 0 || day > cfg.Days {
			t.Fatalf("user %d action %d on day %d of %d", u, i, day, cfg.Days)
		}
		// From afar, and in a list of recommendations, one may look at a closed place.
		far := geo.Metres(a.Lat, a.Lng, a.UserLat, a.UserLng) > abroadM || cfg.Impressions > 0 && a.Type == city.TypeClick
		if !far && !c.OpenAt(place, local) {
			t.Fatalf("user %d action %d: %s (%s) is closed at %s", u, i, a.Name, a.Category, local.Format("Mon 15:04"))
		}
		if i > 0 {
			b := log[i-1]
			if a.TimeMS <= b.TimeMS || a.Seq <= b.Seq || !local.After(poi.LocalTime(b.TimeMS, b.OffsetMin)) {
				t.Fatalf("user %d action %d is not after the one before", u, i)
			}
		}
	}
}

func must(t time.Time, err error) time.Time {
	if err != nil {
		panic(err)
	}
	return t
}

func byID(c *city.City) map[string]int {
	m := make(map[string]int, len(c.Places))
	for i, p := range c.Places {
		m[p.ID] = i
	}
	return m
}

// Any valid setting gives a valid log, in any zone and over any change of
// clocks.
func TestAnyCityKeepsTheLaws(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		cfg := city.DefaultConfig()
		cfg.Seed = rapid.Uint64().Draw(r, "seed")
		cfg.Users = rapid.IntRange(1, 6).Draw(r, "users")
		cfg.Towns = rapid.IntRange(2, 5).Draw(r, "towns")
		cfg.POIs = rapid.IntRange(150*cfg.Towns, 900).Draw(r, "pois")
		cfg.Impressions = rapid.Float64Range(0, 12).Draw(r, "impressions")
		cfg.Taste = rapid.Float64Range(0, 4).Draw(r, "taste")
		cfg.Days = rapid.IntRange(7, 60).Draw(r, "days")
		cfg.Visits = rapid.IntRange(5, 200).Draw(r, "visits")
		cfg.Lat = rapid.Float64Range(-70, 70).Draw(r, "lat")
		cfg.Lng = rapid.Float64Range(-180, 180).Draw(r, "lng")
		cfg.RadiusKM = rapid.Float64Range(2, 30).Draw(r, "radius")
		cfg.Zone = rapid.SampledFrom([]string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Europe/Paris"}).Draw(r, "zone")
		cfg.Start = rapid.SampledFrom([]string{"2024-02-20", "2025-03-20", "2025-09-25", "2025-10-20"}).Draw(r, "start")
		c, err := city.New(cfg)
		if err != nil {
			r.Fatal(err)
		}
		if len(c.Places) != cfg.POIs {
			r.Fatalf("%d places, want %d", len(c.Places), cfg.POIs)
		}
		for u := range cfg.Users {
			log, requests := c.Live(u)
			checkLog(r, c, cfg, u, log, byID(c))
			checkRequests(r, c, u, log, requests, byID(c))
		}
	})
}

func TestDefaultCityKeepsTheLaws(t *testing.T) {
	cfg := city.DefaultConfig()
	c := mustNew(t, cfg)
	ids, offsets := byID(c), map[int16]int{}
	for u := 0; u < c.Users(); u += 5 {
		log := c.Actions(u)
		checkLog(t, c, cfg, u, log, ids)
		for _, a := range log {
			offsets[a.OffsetMin]++
		}
	}
	if len(offsets) != 2 || offsets[60] == 0 || offsets[120] == 0 {
		t.Errorf("offsets %v, want winter and summer time of %s", offsets, cfg.Zone)
	}
}

func TestSameSeedSameLog(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 40
	a, b := mustNew(t, cfg), mustNew(t, cfg)
	if !reflect.DeepEqual(a.Places, b.Places) {
		t.Fatal("the same seed gave other places")
	}
	// b makes its users in another order, and there are more of them in big.
	order := rand.New(rand.NewPCG(1, 2)).Perm(cfg.Users)
	logs, profiles := make([][]poi.Action, cfg.Users), make([]poi.Profile, cfg.Users)
	for _, u := range order {
		logs[u], profiles[u] = b.Actions(u), b.Profile(u)
	}
	cfg.Users = 4000
	big := mustNew(t, cfg)
	for u := range logs {
		if got := a.Actions(u); !reflect.DeepEqual(got, logs[u]) || !reflect.DeepEqual(a.Profile(u), profiles[u]) {
			t.Fatalf("user %d differs when made in another order", u)
		} else if !reflect.DeepEqual(got, big.Actions(u)) {
			t.Fatalf("user %d differs in a city of more people", u)
		}
	}
	cfg.Seed++
	if other := mustNew(t, cfg); reflect.DeepEqual(other.Places, a.Places) || reflect.DeepEqual(other.Actions(0), logs[0]) {
		t.Error("another seed gave the same city")
	}
}

func TestEachYieldsEveryActionInOrder(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 20
	c := mustNew(t, cfg)
	var got []poi.Action
	if err := c.Each(t.Context(), func(a *poi.Action) error { got = append(got, *a); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := slices.Concat(everyone(c)...); !reflect.DeepEqual(got, want) {
		t.Fatalf("Each gave %d actions, Actions %d", len(got), len(want))
	}
	if !slices.IsSortedFunc(got, func(a, b poi.Action) int { return int(a.Seq - b.Seq) }) {
		t.Error("Seq does not follow the order of Each")
	}
	stop, calls := errors.New("enough"), 0
	if err := c.Each(t.Context(), func(*poi.Action) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Each returned %v after %d calls, want the callback's error after 1", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Each(ctx, func(*poi.Action) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Each on a cancelled context returned %v", err)
	}
}

func TestHourlyRhythm(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 500
	var byHour [24]map[string]int
	for h := range byHour {
		byHour[h] = map[string]int{}
	}
	for _, log := range everyone(mustNew(t, cfg)) {
		for _, a := range log {
			if geo.Metres(a.Lat, a.Lng, a.UserLat, a.UserLng) > awayM {
				continue // looked up from the other town, at any hour
			}
			top, leaf, _ := strings.Cut(a.Category, " > ")
			hour := poi.LocalTime(a.TimeMS, a.OffsetMin).Hour()
			byHour[hour][leaf]++
			byHour[hour][top]++
		}
	}
	share := func(name string, from, until int) float64 {
		in, all := 0, 0
		for h := range byHour {
			all += byHour[h][name]
			if (h-from+24)%24 < (until-from+24)%24 {
				in += byHour[h][name]
			}
		}
		if all == 0 {
			t.Fatalf("nobody goes to %s", name)
		}
		return float64(in) / float64(all)
	}
	for _, c := range []struct {
		name        string
		from, until int
		least, most float64
	}{
		{"Coffee Shop", 20, 6, 0, 0}, {"Coffee Shop", 7, 12, .5, 1}, {"Office", 7, 12, .6, 1}, {"Bakery", 6, 12, .6, 1},
		{"Sandwich Bar", 11, 15, .8, 1}, {"French Restaurant", 19, 23, .4, 1}, {"Club", 21, 6, 1, 1}, {"Bar", 18, 3, .8, 1},
		{"Home", 17, 4, .75, 1}, {"Park", 22, 6, 0, .01},
	} {
		if got := share(c.name, c.from, c.until); got < c.least || got > c.most {
			t.Errorf("%.3f of the visits to %s are from %d to %d o'clock, want %.2f to %.2f", got, c.name, c.from, c.until, c.least, c.most)
		}
	}
}

// Trip lengths: rarer per square kilometre the longer, yet with a heavy tail.
func TestTripLengthsDecay(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 500
	km := measure(everyone(mustNew(t, cfg))).tripKM
	edges := []float64{0, 0.5, 1, 2, 4, 8, 16}
	before := math.Inf(1)
	for i := 1; i < len(edges); i++ {
		lo, _ := slices.BinarySearch(km, edges[i-1])
		hi, _ := slices.BinarySearch(km, edges[i])
		density := float64(hi-lo) / (edges[i]*edges[i] - edges[i-1]*edges[i-1])
		if density >= before {
			t.Errorf("%.0f trips per ring area at %g to %g km, %.0f nearer: no decay", density, edges[i-1], edges[i], before)
		}
		before = density
	}
	if p50, p95 := quantile(km, .5), quantile(km, .95); p95 < 3.5*p50 {
		t.Errorf("95 %% of trips are below %.1f km at a median of %.1f: no tail", p95, p50)
	}
}

// Popularity falls roughly as a power of the rank, and is not flat.
func TestPopularityIsZipf(t *testing.T) {
	count := map[string]float64{}
	for _, log := range everyone(mustNew(t, city.DefaultConfig())) {
		for _, a := range log {
			count[a.POI]++
		}
	}
	var visits []float64
	for _, n := range count {
		visits = append(visits, n)
	}
	slices.SortFunc(visits, func(a, b float64) int { return int(b - a) })
	if len(visits) < 2000 {
		t.Fatalf("only %d of 3000 places are ever visited", len(visits))
	}
	slope := math.Log(visits[999]/visits[9]) / math.Log(1000.0/10)
	if slope > -0.45 || slope < -1.5 {
		t.Errorf("visits fall as rank^%.2f from rank 10 to 1000, want an exponent of -0.45 to -1.5", slope)
	}
}

// New places get rarer as a person gets to know the town.
func TestExploringSlowsDown(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 400
	var fresh, all [2]float64
	for _, log := range everyone(mustNew(t, cfg)) {
		seen := map[string]bool{}
		for i, a := range log {
			half := 2 * i / len(log)
			if all[half]++; !seen[a.POI] {
				fresh[half]++
			}
			seen[a.POI] = true
		}
	}
	if early, late := fresh[0]/all[0], fresh[1]/all[1]; late > 0.75*early {
		t.Errorf("share of first visits %.3f in the first half, %.3f in the second: no slowing", early, late)
	}
}
