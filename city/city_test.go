package city_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

func TestConfigValidate(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*city.Config)
		word  string // in the message; "" means valid
	}{
		{"default", func(*city.Config) {}, ""},
		{"smallest", func(c *city.Config) { c.Users, c.POIs, c.Days = 1, 300, 7 }, ""},
		{"one persona", func(c *city.Config) { c.Personas = city.Mix{Retiree: 2} }, ""},
		{"no users", func(c *city.Config) { c.Users = 0 }, "users is 0"},
		{"few places", func(c *city.Config) { c.POIs = 299 }, "pois is 299"},
		{"one town", func(c *city.Config) { c.Towns = 1 }, "towns is 1"},
		{"towns without places", func(c *city.Config) { c.Towns, c.POIs = 6, 800 }, "pois is 800, want 900"},
		{"wild tastes", func(c *city.Config) { c.Taste = 5 }, "taste is 5"},
		{"no number", func(c *city.Config) { c.Impressions = math.NaN() }, "impressions is NaN"},
		{"no days", func(c *city.Config) { c.Days = -3 }, "days is -3"},
		{"bad day", func(c *city.Config) { c.Start = "3 March" }, `start "3 March"`},
		{"old day", func(c *city.Config) { c.Start = "1066-10-14" }, "1066"},
		{"polar", func(c *city.Config) { c.Lat = 89 }, "lat is 89"},
		{"NaN", func(c *city.Config) { c.Lat = math.NaN() }, "lat is NaN"},
		{"bad lng", func(c *city.Config) { c.Lng = 200 }, "centre"},
		{"small", func(c *city.Config) { c.RadiusKM = 1 }, "radius_km is 1"},
		{"no visits", func(c *city.Config) { c.Visits = 0 }, "visits is 0"},
		{"bad zone", func(c *city.Config) { c.Zone = "Mars/Olympus" }, "Mars/Olympus"},
		{"machine zone", func(c *city.Config) { c.Zone = "Local" }, "Local"},
		{"no zone", func(c *city.Config) { c.Zone = "" }, "zone"},
		{"negative weight", func(c *city.Config) { c.Personas.Tourist = -1 }, "tourist is -1"},
		{"no weight", func(c *city.Config) { c.Personas = city.Mix{} }, "sum to 0"},
		{"infinite weight", func(c *city.Config) { c.Personas.Office = math.Inf(1) }, "office is +Inf"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cfg := city.DefaultConfig()
			tc.spoil(&cfg)
			_, err := city.New(cfg)
			switch {
			case tc.word == "" && err != nil:
				t.Fatalf("New failed: %v", err)
			case tc.word != "" && !errors.Is(err, poi.ErrBadInput):
				t.Fatalf("New returned %v, want ErrBadInput", err)
			case tc.word != "" && !strings.Contains(err.Error(), tc.word):
				t.Errorf("message %q does not say %q", err, tc.word)
			}
		})
	}
}

func TestCatalog(t *testing.T) {
	cfg := city.DefaultConfig()
	c := mustNew(t, cfg)
	names, ids := map[string]bool{}, map[string]bool{}
	near, far := map[string]int{}, map[string]int{}
	for _, p := range c.Places {
		if names[p.Name] || ids[p.ID] || p.Name == "" || strings.Contains(p.Name, "%") {
			t.Errorf("name %q or id %q is empty, unfinished or not unique", p.Name, p.ID)
		}
		names[p.Name], ids[p.ID] = true, true
		if levels := strings.Split(p.Category, " > "); len(levels) != 2 {
			t.Errorf("category %q has %d levels, want 2", p.Category, len(levels))
		}
		if p.Closed {
			t.Errorf("%s is born closed", p.ID)
		}
		switch km := geo.Metres(cfg.Lat, cfg.Lng, p.Lat, p.Lng) / 1000; {
		case km < 1.4*cfg.RadiusKM:
			near[p.Category]++
		case km > 120 && km < 160:
			far[p.Category]++
		default:
			t.Errorf("%s lies %.1f km from the centre, in neither town", p.ID, km)
		}
	}
	for category := range near {
		if far[category] == 0 {
			t.Errorf("the far town has no %s", category)
		}
	}
	if len(near) < 25 || len(near) != len(far) {
		t.Errorf("%d categories in one town and %d in the other", len(near), len(far))
	}
}

// OpenAt agrees with what the category's hours say whatever the place's own
// half hour more or less.
func TestOpenAt(t *testing.T) {
	c := mustNew(t, city.DefaultConfig())
	at := func(s string) time.Time { return must(time.Parse("2006-01-02 15:04", s)) } // 2025-03-03 is a Monday
	for _, tc := range []struct {
		category, when string
		open           bool
	}{
		{"Coffee Shop", "2025-03-04 03:00", false}, {"Coffee Shop", "2025-03-04 10:00", true},
		{"Museum", "2025-03-03 12:00", false}, {"Museum", "2025-03-04 12:00", true},
		{"Club", "2025-03-08 02:00", true}, // Friday's night
		{"Club", "2025-03-09 02:00", true}, {"Club", "2025-03-10 02:00", false}, {"Club", "2025-03-08 12:00", false},
		{"French Restaurant", "2025-03-04 16:30", false}, {"French Restaurant", "2025-03-04 20:00", true},
		{"Residential Building", "2025-03-04 04:00", true}, {"Office", "2025-03-09 11:00", false},
	} {
		found := 0
		for i, p := range c.Places {
			if !strings.HasSuffix(p.Category, tc.category) {
				continue
			}
			if found++; c.OpenAt(i, at(tc.when)) != tc.open {
				t.Errorf("%s %s open at %s is %v, want %v", tc.category, p.ID, tc.when, !tc.open, tc.open)
			}
		}
		if found == 0 {
			t.Errorf("no place of category %s", tc.category)
		}
	}
}

// Some people travel: they look up places of the other town from home, then
// stand in it. Without them status labels would have nothing to say.
func TestSomePeopleTravel(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users, cfg.Personas.Tourist = 400, 0
	c := mustNew(t, cfg)
	travellers, planners, kept := 0, 0, 0
	for _, log := range everyone(c) {
		lookedUp, stood, visited := map[string]bool{}, 0, 0
		for _, a := range log {
			poiAway := geo.Metres(cfg.Lat, cfg.Lng, a.Lat, a.Lng) > awayM
			userAway := geo.Metres(cfg.Lat, cfg.Lng, a.UserLat, a.UserLng) > awayM
			switch {
			case poiAway && userAway:
				stood++
				if lookedUp[a.POI] {
					visited++
				}
			case poiAway && (a.Type == city.TypeSearch || a.Type == city.TypeClick):
				lookedUp[a.POI] = true
			}
		}
		if stood > 0 {
			travellers++
		}
		if len(lookedUp) > 0 {
			planners++
		}
		if visited > 0 {
			kept++
		}
	}
	if travellers < 30 || travellers > 120 || planners < 15 || kept < 8 {
		t.Errorf("of 400 people %d travelled, %d looked up places before, %d went to one of them; want 30 to 120, 15 and 8",
			travellers, planners, kept)
	}
}

func TestActionTypesAndPositions(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 300
	types, total, atPlace := map[string]int{}, 0, 0
	for _, log := range everyone(mustNew(t, cfg)) {
		for _, a := range log {
			types[a.Type]++
			total++
			if geo.Metres(a.Lat, a.Lng, a.UserLat, a.UserLng) < 100 {
				atPlace++
			}
		}
	}
	if len(types) != 5 || types[city.TypeFavourite] == 0 || types[city.TypeArrive]*100 < 65*total || types[city.TypeSearch] == 0 || types[city.TypeClick] == 0 || types[city.TypeNavigate] == 0 {
		t.Errorf("types %v of %d, want five, mostly arrivals", types, total)
	}
	// The user's position is where he set out, else it would give the answer away.
	if atPlace*100 > 15*total {
		t.Errorf("in %d of %d actions the user stands at the place already", atPlace, total)
	}
}

func TestProfilesFollowThePersona(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Personas = city.Mix{Student: 1}
	c := mustNew(t, cfg)
	genders := map[string]int{}
	for u := range 100 {
		p := c.Profile(u)
		if p.Occupation != "student" || p.AgeBand != "18-24" || len(p.Tags) != 3 {
			t.Fatalf("user %d of a city of students: %+v", u, p)
		}
		genders[p.Gender]++
	}
	if len(genders) != 3 {
		t.Errorf("genders %v, want two and unknown", genders)
	}
}

// The last action before a silence of a day is scored by the
// last-of-trajectory protocol; were it nearly always at home, a counter would
// solve the task.
func TestTrajectoriesDoNotAllEndAtHome(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 300
	ends, home := 0, 0
	for _, log := range everyone(mustNew(t, cfg)) {
		for i := 3; i < len(log); i++ {
			if log[i].TimeMS-log[i-1].TimeMS > 24*3600_000 {
				ends++
				if strings.HasPrefix(log[i-1].Category, "Home") {
					home++
				}
			}
		}
	}
	if share := float64(home) / float64(ends); share < 0.1 || share > 0.35 {
		t.Errorf("%.3f of %d trajectories end at home, want 0.10 to 0.35", share, ends)
	}
}
