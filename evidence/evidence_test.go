package evidence

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// close32 compares a float32 with the oracle's float64.
func close32(got float32, want float64) bool {
	return math.Abs(float64(got)-want) <= 3e-4*(1+math.Abs(want))
}

// TestComputeEqualsOracle holds every candidate and every feature against the
// slow second implementation.
func TestComputeEqualsOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := drawData(t), drawConfig(t)
		q := drawQuery(t, d)
		got, o := compute(Fit(d), c, q), newOracle(d, c, q)
		want, past := o.candidates(c)
		if !slices.Equal(got.POIs, want) || got.Past != past {
			t.Fatalf("candidates %v (%d past), oracle %v (%d past)", got.POIs, got.Past, want, past)
		}
		for i, p := range got.POIs {
			for k, w := range o.features(p) {
				if math.IsNaN(w) {
					t.Fatalf("feature %d (the %dth after the logged kernels) has no definition in the oracle: add it", k, k-logged)
				}
				if x := got.Features[i*NumFeatures+k]; !close32(x, w) {
					t.Fatalf("candidate %d (POI %d), feature %d (the %dth after the logged kernels): %v, oracle %v", i, p, k, k-logged, x, w)
				}
			}
		}
		for k, w := range o.context() {
			if !close32(got.Context[k], w) {
				t.Fatalf("context %d: %v, oracle %v", k, got.Context[k], w)
			}
		}
	})
}

// TestNothingIsReadAfterTheRequest changes everything from the target on: its
// POI, the visits after it, and with them everybody's statistics.
func TestNothingIsReadAfterTheRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := drawData(t), drawConfig(t)
		u := rapid.IntRange(0, len(d.Users)-1).Draw(t, "user")
		n := len(d.Users[u].Visits)
		if n == 0 {
			t.Skip("a user without visits")
		}
		target := poi.Target{User: int32(u), Pos: int32(rapid.IntRange(0, n-1).Draw(t, "pos"))}
		changed := clone(d)
		later := changed.Users[u].Visits[target.Pos:]
		for i := range later {
			later[i].POI = (later[i].POI + 1 + int32(i)) % int32(len(d.Places))
			if i > 0 {
				later[i].TimeMS += int64(i) * 3 * hourMS
			}
		}
		a, b := compute(Fit(d), c, d.QueryOf(target)), compute(Fit(changed), c, changed.QueryOf(target))
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("evidence of target %v changed with what came later:\n%v\n%v", target, a, b)
		}
	})
}

// TestOwnShareIsLeftOut takes the user's visits out of everybody's statistics by
// hand and expects the same evidence.
func TestOwnShareIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := drawData(t), drawConfig(t)
		q := drawQuery(t, d)
		without := clone(d)
		if q.User >= 0 && int(q.User) < len(d.Users) {
			without.Users[q.User].Visits = nil
		}
		a, b := compute(Fit(d), c, q), compute(Fit(without), c, q)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("evidence holds the user's own share of everybody's statistics:\n%v\n%v", a, b)
		}
	})
}

// TestOwnTargetDoesNotPromoteItself is the leak of TestOwnShareIsLeftOut by hand:
// two places next to the last one, each with one visit by somebody else; the user
// will visit the farther one a hundred times after the request.
func TestOwnTargetDoesNotPromoteItself(t *testing.T) {
	d := &poi.Dataset{Places: []poi.Place{{Lat: 40.7, Lng: -74}, {Lat: 40.701, Lng: -74}, {Lat: 40.704, Lng: -74}}}
	visit := func(p int32, hour int64) poi.Visit {
		return poi.Visit{POI: p, TimeMS: 1_700_000_000_000 + hour*hourMS, Intent: true}
	}
	d.Users = make([]poi.User, 2)
	d.Users[0].Visits = []poi.Visit{visit(0, 0), visit(1, 1), visit(0, 2), visit(2, 3)}
	d.Users[1].Visits = []poi.Visit{visit(0, 0)}
	for i := range int64(100) {
		d.Users[1].Visits = append(d.Users[1].Visits, visit(2, 2*i+1), visit(0, 2*i+2))
	}
	for name, c := range map[string]Config{
		"near": {MaxPast: 4, Near: 1, History: 10, WholeHistory: true}, "next": {MaxPast: 4, Next: 1, History: 10, WholeHistory: true},
	} {
		got := compute(Fit(d), c, d.QueryOf(poi.Target{User: 1, Pos: 1}))
		if want := []int32{0, 1}; !slices.Equal(got.POIs, want) {
			t.Errorf("%s: candidates %v, want %v: place 2 is ahead only by the user's own later visits", name, got.POIs, want)
		}
	}
	first := compute(Fit(d), Config{MaxPast: 4, Near: 3, History: 10, WholeHistory: true}, d.QueryOf(poi.Target{User: 1, Pos: 0}))
	if want := []int32{0, 1, 2}; !slices.Equal(first.POIs, want) {
		t.Errorf("popular places for an empty history are %v, want %v", first.POIs, want)
	}
}

// spoil changes the POI of every visit outside training.
func spoil(d *poi.Dataset) (out *poi.Dataset, changed int) {
	out = clone(d)
	for u := range out.Users {
		for i := range out.Users[u].Visits {
			if v := &out.Users[u].Visits[i]; v.Tag != poi.Train {
				v.POI = (v.POI + 1) % int32(len(d.Places))
				changed++
			}
		}
	}
	return out, changed
}

// leaky is the mistake that Fingerprint must show: all visits count as training.
func leaky(d *poi.Dataset) *Stats {
	all := clone(d)
	for u := range all.Users {
		for i := range all.Users[u].Visits {
			all.Users[u].Visits[i].Tag = poi.Train
		}
	}
	return Fit(all)
}

func TestFitReadsTrainingVisitsOnly(t *testing.T) {
	d := testkit.Toy(3, 4, 20)
	other, changed := spoil(d)
	if changed == 0 {
		t.Fatal("the toy has no validation or test visits")
	}
	a, b := Fit(d), Fit(other)
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("the fingerprint depends on validation or test visits")
	}
	if !reflect.DeepEqual(a.all, b.all) || !reflect.DeepEqual(a.own, b.own) {
		t.Error("counts depend on validation or test visits")
	}
	if leaky(d).Fingerprint() == leaky(other).Fingerprint() {
		t.Error("the fingerprint does not notice statistics that read validation and test visits")
	}
	moved := clone(d)
	moved.Users[0].Visits[0].POI++
	if Fit(moved).Fingerprint() == a.Fingerprint() {
		t.Error("the fingerprint does not depend on a training visit")
	}
}

// TestCandidates checks the laws of the list itself.
func TestCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := drawData(t), drawConfig(t)
		q := drawQuery(t, d)
		s := compute(Fit(d), c, q)
		visited, open := map[int32]bool{}, 0
		for _, v := range newOracle(d, c, q).h {
			if !visited[v.POI] && !d.Places[v.POI].Closed {
				open++
			}
			visited[v.POI] = true
		}
		if len(s.POIs) > c.Max() || s.Past > c.MaxPast || len(s.POIs)-s.Past > c.Next+c.Near {
			t.Fatalf("%d candidates, %d of them past, over the limits of %+v", len(s.POIs), s.Past, c)
		}
		for i, p := range s.POIs {
			switch {
			case d.Places[p].Closed:
				t.Fatalf("closed POI %d is a candidate", p)
			case (i < s.Past) != visited[p]:
				t.Fatalf("candidate %d, POI %d, is on the wrong side of Past = %d", i, p, s.Past)
			case s.Index(p) != int32(i):
				t.Fatalf("POI %d is at %d and at %d", p, s.Index(p), i)
			}
		}
		if len(visited) <= c.MaxPast && s.Past != open {
			t.Fatalf("%d open past POIs fit in %d, but only %d are candidates", open, c.MaxPast, s.Past)
		}
		if s.Index(int32(len(d.Places))) != -1 {
			t.Fatal("Index of a POI that is not there is not -1")
		}
	})
}

// TestNumbersAreFinite also reuses one Builder and one Set for all requests: the
// answer may not depend on what was asked before.
func TestNumbersAreFinite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, c := drawData(t), drawConfig(t)
		stats := Fit(d)
		reused, out := NewBuilder(stats, c), new(Set)
		for range 4 {
			q := drawQuery(t, d)
			reused.Compute(&q, out)
			if fresh := compute(stats, c, q); !slices.Equal(out.POIs, fresh.POIs) || out.Past != fresh.Past ||
				!slices.Equal(out.Features, fresh.Features) || !slices.Equal(out.Context, fresh.Context) {
				t.Fatalf("a used Builder says %v, a fresh one %v", out, fresh)
			}
			if len(out.Features) != len(out.POIs)*NumFeatures || len(out.Context) != NumContext {
				t.Fatalf("%d candidates have %d features and %d of context", len(out.POIs), len(out.Features), len(out.Context))
			}
			for i, x := range slices.Concat(out.Features, out.Context) {
				if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
					t.Fatalf("number %d is %v", i, x)
				}
			}
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for _, c := range []struct {
		change func(*Config)
		want   string // "" if valid
	}{
		{func(c *Config) { c.MaxPast = 0 }, "max_past is 0"},
		{func(c *Config) { c.MaxPast = 4097 }, "max_past is 4097"},
		{func(c *Config) { c.MaxPast = 1 }, ""},
		{func(c *Config) { c.Next = -1 }, "next is -1"},
		{func(c *Config) { c.Next = keep + 1 }, "next is 65"},
		{func(c *Config) { c.Near = -1 }, "near is -1"},
		{func(c *Config) { c.Near = keep + 1 }, "near is 65"},
		{func(c *Config) { c.Next, c.Near = 0, keep }, ""},
		{func(c *Config) { c.History = 0 }, "history"},
	} {
		cfg := Default()
		c.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", cfg, err, c.want)
		}
	}
	if c := (Config{MaxPast: 3, Next: 4, Near: 5}); c.Max() != 12 {
		t.Errorf("Max of 3+4+5 is %d", c.Max())
	}
}
