package city_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// feedConfig is a city with impressions.
func feedConfig() city.Config {
	cfg := city.DefaultConfig()
	cfg.Users, cfg.Impressions = 300, 6
	return cfg
}

// checkRequests fails on anything the impressions of a person may never be.
func checkRequests(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *city.City, u int, log []poi.Action, requests []poi.Impression, byID map[string]int) {
	t.Helper()
	ids, clicks := map[string]bool{}, 0
	for i, r := range requests {
		if ids[r.ID] || r.ID == "" || r.User != c.UserID(u) || !r.HasUser || geo.Valid(r.UserLat, r.UserLng) != nil {
			t.Fatalf("user %d request %d is not valid: %+v", u, i, r)
		}
		ids[r.ID] = true
		if i > 0 && r.TimeMS <= requests[i-1].TimeMS {
			t.Fatalf("user %d request %d is not after the one before", u, i)
		}
		if len(r.Shown) < 8 || len(r.Shown) > 14 {
			t.Fatalf("user %d request %d shows %d places, want 8 to 14", u, i, len(r.Shown))
		}
		seen := map[string]bool{}
		for k, s := range r.Shown {
			place, ok := byID[s.POI]
			if !ok || seen[s.POI] {
				t.Fatalf("user %d request %d shows %s twice or it does not exist", u, i, s.POI)
			}
			seen[s.POI] = true
			truth := c.Relevance(u, city.MomentOf(&r), place)
			if float32(truth) != s.Relevance || float32(truth*city.Examination(k)) != s.Click || !(truth > 0 && truth < 1) {
				t.Fatalf("user %d request %d place %d: relevance %g and click %g, City.Relevance says %g", u, i, k, s.Relevance, s.Click, truth)
			}
			if s.Clicked {
				clicks++
				if !slices.ContainsFunc(log, func(a poi.Action) bool {
					return a.POI == s.POI && a.Type == city.TypeClick && a.TimeMS > r.TimeMS && a.TimeMS < r.TimeMS+150_000 &&
						a.OffsetMin == r.OffsetMin && a.UserLat == r.UserLat
				}) {
					t.Fatalf("user %d request %d: the click on %s is not in the log", u, i, s.POI)
				}
			}
		}
	}
	if len(log) < clicks {
		t.Fatalf("user %d: %d clicks but %d actions", u, clicks, len(log))
	}
}

func TestImpressionsKeepTheLaws(t *testing.T) {
	cfg := feedConfig()
	c := mustNew(t, cfg)
	ids, n := byID(c), 0
	for u := range cfg.Users {
		log, requests := c.Live(u)
		n += len(requests)
		checkLog(t, c, cfg, u, log, ids)
		checkRequests(t, c, u, log, requests, ids)
	}
	if want := cfg.Impressions * float64(cfg.Users); math.Abs(float64(n)-want) > 0.1*want {
		t.Errorf("%d requests, want about %.0f", n, want)
	}
}

// The requests draw from a stream of their own: without their clicks the log is
// the log of a city without impressions.
func TestImpressionsOnlyAddClicks(t *testing.T) {
	cfg := feedConfig()
	with := mustNew(t, cfg)
	cfg.Impressions = 0
	without := mustNew(t, cfg)
	for u := range 30 {
		log, requests := with.Live(u)
		clicked := map[int64]bool{}
		for _, r := range requests {
			for _, a := range log {
				if a.Type == city.TypeClick && a.TimeMS > r.TimeMS && a.TimeMS < r.TimeMS+150_000 {
					clicked[a.TimeMS] = true
				}
			}
		}
		log = slices.DeleteFunc(log, func(a poi.Action) bool { return clicked[a.TimeMS] })
		plain := without.Actions(u)
		for i := range log {
			log[i].Seq = plain[min(i, len(plain)-1)].Seq // numbered over all actions
		}
		if !reflect.DeepEqual(log, plain) {
			t.Fatalf("user %d has %d actions beside the clicks, %d without impressions", u, len(log), len(plain))
		}
		if got := without.Impressions(u); got != nil {
			t.Fatalf("user %d has %d impressions in a city without", u, len(got))
		}
	}
}

// Streaming, order and the number of people do not matter, nor who asks at once.
func TestImpressionsAreAFunctionOfTheUser(t *testing.T) {
	cfg := feedConfig()
	a := mustNew(t, cfg)
	cfg.Users = 5000
	b := mustNew(t, cfg)
	var group sync.WaitGroup
	for u := range 16 {
		group.Go(func() {
			log, requests := b.Live(u)
			if !reflect.DeepEqual(requests, a.Impressions(u)) || !reflect.DeepEqual(log, a.Actions(u)) {
				t.Errorf("user %d differs in a city of more people", u)
			}
			for _, r := range requests {
				if got, want := a.Relevance(u, city.MomentOf(&r), 17), b.Relevance(u, city.MomentOf(&r), 17); got != want {
					t.Errorf("user %d: relevance %g and %g", u, got, want)
				}
			}
		})
	}
	group.Wait()
	for place := range 50 {
		if !reflect.DeepEqual(a.Details(place), b.Details(place)) || !reflect.DeepEqual(a.Attributes(place), b.Attributes(place)) {
			t.Errorf("place %d differs", place)
		}
	}
}

// Given the stated probability, clicks happen as often as it says: decile by
// decile, and at every position.
func TestClicksAreCalibrated(t *testing.T) {
	cfg := feedConfig()
	c := mustNew(t, cfg)
	type bin struct{ n, want, got, variance float64 }
	bins := map[string]*bin{}
	none, requests, all := 0, 0, bin{}
	for u := range cfg.Users {
		for _, r := range c.Impressions(u) {
			clicks := 0
			for k, s := range r.Shown {
				p, y := float64(s.Click), 0.0
				if s.Clicked {
					y = 1
					clicks++
				}
				for _, name := range []string{"decile " + string('0'+rune(10*p)), "position " + string('a'+rune(k)), "all"} {
					b := bins[name]
					if b == nil {
						b = &bin{}
						bins[name] = b
					}
					b.n, b.want, b.got, b.variance = b.n+1, b.want+p, b.got+y, b.variance+p*(1-p)
				}
			}
			requests++
			if clicks == 0 {
				none++
			}
		}
	}
	for name, b := range bins {
		if math.Abs(b.got-b.want) > 4*math.Sqrt(b.variance)+1e-9 {
			t.Errorf("%s: %g clicks of %g, want %.1f", name, b.got, b.n, b.want)
		}
	}
	all = *bins["all"]
	if rate := all.got / all.n; rate < 0.15 || rate > 0.25 {
		t.Errorf("click rate %.3f, want 0.15 to 0.25", rate)
	}
	if share := float64(none) / float64(requests); share < 0.03 || share > 0.25 {
		t.Errorf("%.3f of the requests end without a click, want 0.03 to 0.25", share)
	}
}

// People ask on trips and before them, and are then shown places of that town.
func TestRequestsOfTravellers(t *testing.T) {
	cfg := feedConfig()
	cfg.Users, cfg.Impressions = 1500, 4
	c := mustNew(t, cfg)
	ids := byID(c)
	main := c.Towns()[0]
	away := func(lat, lng float64) bool { return geo.Metres(lat, lng, main.Lat, main.Lng) > awayM }
	in, before, total := 0, 0, 0
	for u := range cfg.Users {
		if c.Profile(u).Occupation == "" || u%3 != 0 {
			continue
		}
		for _, r := range c.Impressions(u) {
			total++
			first := c.Places[ids[r.Shown[0].POI]]
			switch from, to := away(r.UserLat, r.UserLng), away(first.Lat, first.Lng); {
			case from && to:
				in++
			case from != to:
				before++
			}
			for _, s := range r.Shown {
				if p := c.Places[ids[s.POI]]; away(p.Lat, p.Lng) != away(first.Lat, first.Lng) {
					t.Fatalf("request %s shows places of two towns", r.ID)
				}
			}
		}
	}
	if in*100 < 2*total || before*100 < 2*total {
		t.Errorf("of %d requests %d are in another town and %d about one; want 2 %% or more", total, in, before)
	}
}

// With several towns, people live in all of them and visit all, and every town
// is a town: apart from the others, with all categories.
func TestSeveralTowns(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Towns, cfg.Users, cfg.Days = 4, 900, 40
	c := mustNew(t, cfg)
	towns := c.Towns()
	places, names := 0, map[string]bool{}
	for i, a := range towns {
		places += a.Places
		names[a.Name] = true
		if i > 1 && a.Places >= towns[i-1].Places {
			t.Errorf("town %d has %d places, the one before %d", i, a.Places, towns[i-1].Places)
		}
		for _, b := range towns[:i] {
			km := geo.Metres(a.Lat, a.Lng, b.Lat, b.Lng) / 1000
			if open := km - a.RadiusKM - b.RadiusKM; open < 55 || km > 850 {
				t.Errorf("%s and %s are %.0f km apart, %.0f of them open country", a.Name, b.Name, km, open)
			}
		}
	}
	if places != cfg.POIs || len(names) != cfg.Towns {
		t.Errorf("%d places in %d towns, want %d in %d", places, len(names), cfg.POIs, cfg.Towns)
	}
	townOf := func(lat, lng float64) int {
		return slices.IndexFunc(towns, func(w city.Town) bool { return geo.Metres(lat, lng, w.Lat, w.Lng) < 1800*w.RadiusKM })
	}
	categories := make([]map[string]bool, len(towns))
	for i := range categories {
		categories[i] = map[string]bool{}
	}
	for _, p := range c.Places {
		if i := townOf(p.Lat, p.Lng); i >= 0 {
			categories[i][p.Category] = true
		}
	}
	lives, visits := make([]int, len(towns)), make([]int, len(towns))
	for u := range cfg.Users {
		home := -1
		for _, a := range c.Actions(u) {
			at := townOf(a.Lat, a.Lng)
			if home < 0 && strings.HasPrefix(a.Category, "Home") {
				home = at
				lives[at]++
			} else if home >= 0 && at >= 0 && at != home && geo.Metres(a.Lat, a.Lng, a.UserLat, a.UserLng) < 30_000 {
				visits[at]++
			}
		}
	}
	for i := range towns {
		if lives[i] < 20 || visits[i] == 0 || len(categories[i]) != len(categories[0]) {
			t.Errorf("town %d: %d people, %d actions of visitors, %d categories of %d", i, lives[i], visits[i], len(categories[i]), len(categories[0]))
		}
	}
	if lives[0] < 3*lives[1] || lives[1] < lives[3] {
		t.Errorf("people by town %v, want most in the main one and fewest in the last", lives)
	}
}
