package load

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
)

func TestParseMix(t *testing.T) {
	for _, c := range []struct{ text, want, err string }{
		{"recommend=80,rank=20", "recommend=80,rank=20", ""},
		{" actions=0.5 , recommend=1e2", "recommend=100,actions=0.5", ""},
		{"recommend=1,explain=0", "recommend=1", ""},
		{"", "", "want weights such as"},
		{"recommend", "", "want weights such as"},
		{"recommend=two", "", "want weights such as"},
		{"recommend=1 2", "", "want weights such as"},
		{"recommend=1,recommend=2", "", "has two weights"},
		{"guess=1", "", `there is no kind "guess"; there are recommend, rank, similar, explain, actions`},
		{"recommend=-1", "", "is -1, want 0 to"},
		{"recommend=NaN", "", "is NaN"},
		{"recommend=0", "", "all weights are 0"},
	} {
		m, err := ParseMix(c.text)
		if c.err == "" && (err != nil || m.String() != c.want) || c.err != "" && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("ParseMix(%q) = %q, %v; want %q, %q", c.text, m, err, c.want, c.err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, err string
		change    func(*Config)
	}{
		{"open", "", func(c *Config) { c.Rate = 10 }},
		{"closed", "", func(c *Config) { c.Clients = 1 }},
		{"neither", "set one of them", func(*Config) {}},
		{"both", "set one of them", func(c *Config) { c.Rate, c.Clients = 1, 1 }},
		{"negative rate", "rate is -1", func(c *Config) { c.Rate = -1 }},
		{"no rate", "rate is NaN", func(c *Config) { c.Rate = math.NaN() }},
		{"fast", "rate is 1e+06", func(c *Config) { c.Rate = 1e6 }},
		{"many clients", "clients is 1001", func(c *Config) { c.Clients = 1001 }},
		{"short", "duration in seconds is 0.5", func(c *Config) { c.Rate, c.Duration = 1, time.Second/2 }},
		{"warm-up", "warm-up in seconds is -1", func(c *Config) { c.Rate, c.Warmup = 1, -time.Second }},
		{"timeout", "timeout in seconds is 0", func(c *Config) { c.Rate, c.Timeout = 1, 0 }},
		{"slo", "SLO in seconds is 0", func(c *Config) { c.Rate, c.SLO = 1, 0 }},
		{"candidates", "candidates is 501", func(c *Config) { c.Rate, c.Candidates = 1, 501 }},
		{"memory of the load", "at most 20000000 are kept", func(c *Config) { c.Rate, c.Duration = 1e5, time.Hour }},
		{"nothing to verify", "add actions=10", func(c *Config) { c.Rate, c.VerifyWrites = 1, true }},
		{"mix", "all weights are 0", func(c *Config) { c.Rate, c.Mix = 1, nil }},
	} {
		cfg := Default()
		c.change(&cfg)
		err := cfg.Validate()
		if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}

// What cannot be drawn from, or not be reached, is said before the clock starts.
func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name, err string
		is        error
		change    func(*fake, *Config)
	}{
		{"setting", "set one of them", ErrInput, func(_ *fake, c *Config) { c.Rate = 0 }},
		{"address", "base URL", nil, func(_ *fake, c *Config) { c.URL = "whereto" }},
		{"nobody", "stores no action of anybody", ErrWorld, func(f *fake, _ *Config) { f.stored = nil }},
		{"nowhere", "no open place to rank", ErrWorld, func(f *fake, c *Config) { f.pois, c.Mix = nil, Mix{Rank: 1} }},
		{"down", "load: people", errRefused, func(f *fake, _ *Config) { f.reads = func(*http.Request) error { return errRefused } }},
		{"admin address", "without user and password", ErrInput, func(_ *fake, c *Config) { c.Admin = "http://me:sesame@localhost" }},
		{"not the admin listener", "process_resident_memory_bytes", nil, func(f *fake, c *Config) { f.metrics, c.Admin = "up 1\n", "http://whereto.test" }},
	} {
		f := newFake()
		cfg := f.config()
		cfg.Rate = 10
		c.change(f, &cfg)
		r, err := Run(t.Context(), cfg, nil)
		if err == nil || !strings.Contains(err.Error(), c.err) || c.is != nil && !errors.Is(err, c.is) || strings.Contains(err.Error(), "sesame") || len(f.asked) > 0 {
			t.Errorf("%s: %v, %v; want %q", c.name, r, err, c.err)
		}
	}
}

func testWorld(t *testing.T) (*world, Config) {
	t.Helper()
	f := newFake()
	cfg := f.config()
	w, err := readWorld(t.Context(), mustClient(t, cfg), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w, cfg
}

func TestReadWorld(t *testing.T) {
	w, _ := testWorld(t)
	if len(w.people) != 3 || w.users != 3 || w.actions != 100 || !slices.Equal(w.upTo, []int{60, 90, 100}) || len(w.places) != 196 {
		t.Fatalf("%d people of %d, %d actions, up to %v, %d places", len(w.people), w.users, w.actions, w.upTo, len(w.places))
	}
	a := w.people[0]
	if a.id != "a" || len(a.past) != maxPast || a.past[0].ID != "a10" || a.last.ID != "a59" || a.lat != 40 || math.Abs(a.lng+74-0.19) > 1e-9 {
		t.Errorf("person a: %+v", a)
	}
}

// Shares of kinds and people follow the weights. 20,000 draws of a fixed seed.
func TestDrawShares(t *testing.T) {
	w, cfg := testWorld(t)
	cfg.Mix, cfg.Candidates = Mix{Recommend: 50, Rank: 30, Similar: 0, Actions: 20}, 1
	const n = 20_000
	seen := map[string]int{}
	for i := range n {
		q := w.draw(cfg, "x", i, 0.5)
		seen[string(q.kind)]++
		seen[q.who.User+q.action.User]++
	}
	for what, share := range map[string]float64{"recommend": 0.5, "rank": 0.3, "similar": 0, "explain": 0, "actions": 0.2, "a": 0.6, "b": 0.3, "c": 0.1} {
		if got := float64(seen[what]) / n; math.Abs(got-share) > 4*math.Sqrt(share*(1-share)/n) {
			t.Errorf("%s: a share of %.4f, want %.2f", what, got, share)
		}
	}
}

// People ask at hours they know, the day after, around their last place; what is to be
// ranked lies about them, each place once.
func TestDrawIsLikePeople(t *testing.T) {
	w, cfg := testWorld(t)
	cfg.Mix, cfg.Candidates = Mix{Rank: 1}, 20
	hours := map[int]int{}
	var north, east float64
	const n = 3000
	for i := range n {
		q := w.draw(cfg, "x", i, 0.5)
		p := w.people[slices.IndexFunc(w.people, func(p person) bool { return p.id == q.who.User })]
		after := q.who.Time.Sub(p.last.Time)
		if _, offset := q.who.Time.Zone(); offset != -5*3600 || after < writeSpan || after > writeSpan+25*time.Hour {
			t.Fatalf("asked at %s, %s after the last action", q.who.Time, after)
		}
		hours[q.who.Time.Add(unpunctual).Hour()]++
		dy := (*q.who.Lat - p.lat) * 111_195
		dx := (*q.who.Lng - p.lng) * 111_195 * math.Cos(p.lat*math.Pi/180)
		north, east = north+dy*dy, east+dx*dx
		sorted := slices.Compact(slices.Sorted(slices.Values(q.candidates)))
		if len(q.candidates) != 20 || len(sorted) != 20 {
			t.Fatalf("candidates %q", q.candidates)
		}
		for _, id := range q.candidates {
			place := w.places[w.number[id]]
			if math.Abs(place.Lat-p.lat) > 3*cellDegrees || math.Abs(place.Lng-p.lng) > 3*cellDegrees || place.Closed {
				t.Fatalf("%v is not about %v, %v", place, p.lat, p.lng)
			}
		}
	}
	if hours[8]+hours[12]+hours[19] != n || min(hours[8], hours[12], hours[19]) < n/4 {
		t.Errorf("hours %v", hours)
	}
	for _, sd := range []float64{math.Sqrt(north / n), math.Sqrt(east / n)} {
		if math.Abs(sd-noiseM) > 30 {
			t.Errorf("positions are off by %.0f m, want %.0f", sd, noiseM)
		}
	}
	cfg.Candidates = 500
	if q := w.draw(cfg, "x", 1, 0.5); len(q.candidates) != len(w.places) {
		t.Errorf("%d candidates of %d places", len(q.candidates), len(w.places))
	}
}

// Positions stay on the globe at its edges, and are left out where none is known.
func TestPosition(t *testing.T) {
	for _, p := range []person{{lat: 90, lng: 0, located: true}, {lat: -89.9999, lng: 10, located: true}, {lat: 5, lng: 180, located: true}, {lat: 5, lng: -180, located: true}} {
		for i := range 200 {
			lat, lng := p.position(random(1, uint64(i)))
			if *lat < -90 || *lat > 90 || *lng < -180 || *lng > 180 {
				t.Fatalf("%v, %v from %v, %v", *lat, *lng, p.lat, p.lng)
			}
		}
	}
	if lat, lng := (&person{}).position(random(1, 1)); lat != nil || lng != nil {
		t.Error("a position of nowhere")
	}
}

func TestSample(t *testing.T) {
	const n, most, times = 50, 10, 4000
	seen := make([]int, n)
	for i := range times {
		s := sample[int]{most: most, pick: random(7, uint64(i)).IntN}
		for x := range n {
			s.add(x)
		}
		if len(s.kept) != most || s.seen != n {
			t.Fatalf("%d kept of %d", len(s.kept), s.seen)
		}
		for _, x := range s.kept {
			seen[x]++
		}
	}
	for x, got := range seen { // each with probability 1/5
		if math.Abs(float64(got)-times/5) > 4.5*math.Sqrt(times*0.2*0.8) {
			t.Errorf("%d was kept %d times of %d, want about %d", x, got, times, times/5)
		}
	}
}

// A place that is not in the catalog is not asked about.
func TestVisited(t *testing.T) {
	w := &world{}
	w.addPlaces([]api.POI{{ID: "known"}})
	p := &person{past: []api.Action{{POI: "gone"}}}
	if got := w.visited(random(1, 1), p); got != "known" {
		t.Errorf("visited %q", got)
	}
}
