package mobility

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func distOf(whole bool, values ...float64) *Dist {
	d := newDist(whole)
	for _, v := range values {
		d.add(v)
	}
	return d
}

func TestDistByHand(t *testing.T) {
	d := distOf(true, 0, 1, 1, 2, 3, 3, 3, 10)
	for _, c := range []struct{ p, want float64 }{{0, 0}, {.125, 0}, {.126, 1}, {.375, 1}, {.5, 2}, {.51, 3}, {.875, 3}, {1, 10}, {7, 10}} {
		if got := d.Quantile(c.p); got != c.want {
			t.Errorf("quantile %v is %v, want %v", c.p, got, c.want)
		}
	}
	if d.N() != 8 || d.Zero() != 1 || d.Mean() != 23.0/8 || d.Max() != 10 || d.Median() != 2 {
		t.Errorf("n %d, zeros %d, mean %v, max %v", d.N(), d.Zero(), d.Mean(), d.Max())
	}
	if want := []Point{{1, 7.0 / 8}, {2, 5.0 / 8}, {3, 4.0 / 8}, {10, 1.0 / 8}}; !slices.Equal(d.Tail(), want) {
		t.Errorf("tail %v, want %v", d.Tail(), want)
	}
	// Half octaves of whole numbers: {1}, {2}, {3}, {8..11}.
	if want := []Point{{1, 2.0 / 8}, {2, 1.0 / 8}, {3, 3.0 / 8}, {9.5, 1.0 / 8 / 4}}; !slices.Equal(d.Density(), want) {
		t.Errorf("density %v, want %v", d.Density(), want)
	}
	empty := newDist(false)
	if empty.Mean() != 0 || empty.Median() != 0 || len(empty.Tail()) != 0 || len(empty.Density()) != 0 {
		t.Error("an empty distribution has values")
	}
}

// Quantiles are those of the sorted sample to the width of a bin, and exact for
// small whole numbers; densities sum to one.
func TestDistAgainstSorting(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		whole := rapid.Bool().Draw(r, "whole")
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 100).Draw(r, "values")
		if whole {
			for i := range values {
				values[i] = math.Floor(values[i] / 1e4)
			}
		}
		d := distOf(whole, values...)
		slices.Sort(values)
		p := rapid.Float64Range(0, 1).Draw(r, "p")
		want := values[max(int(math.Ceil(p*float64(len(values))))-1, 0)]
		if got := d.Quantile(p); math.Abs(got-want) > .016*want+1e-9 || whole && got != want {
			r.Fatalf("quantile %v of %v is %v, want %v", p, values, got, want)
		}
		if tail := d.Tail(); len(tail) > 0 && math.Abs(tail[0].Y-float64(d.n-d.zero)/float64(d.n)) > 1e-12 {
			r.Fatalf("tail begins at %v", tail[0])
		}
	})
}

func TestDivergenceByHand(t *testing.T) {
	for _, c := range []struct {
		a, b map[string]int64
		want float64
	}{
		{map[string]int64{"x": 3}, map[string]int64{"x": 7}, 0},
		{map[string]int64{"x": 3}, map[string]int64{"y": 7}, 1},
		// p=(1,0), q=(1/2,1/2), m=(3/4,1/4): (log2(4/3) + .5 log2(2/3) + .5 log2(2))/2.
		{map[string]int64{"x": 2}, map[string]int64{"x": 5, "y": 5}, (math.Log2(4.0/3) + .5*math.Log2(2.0/3) + .5) / 2},
		{map[string]int64{}, map[string]int64{"y": 7}, Undefined},
	} {
		if got := divergence(c.a, c.b); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("divergence of %v and %v is %v, want %v", c.a, c.b, got, c.want)
		}
		if x, y := divergence(c.a, c.b), divergence(c.b, c.a); x != y {
			t.Errorf("divergence is %v one way and %v the other", x, y)
		}
	}
}

func TestDistanceByHand(t *testing.T) {
	a, b := distOf(true, 1, 2, 3, 4), distOf(true, 2, 4, 6, 8)
	// Shares below 2: 1/2 and 1/4; below 4: 1 and 1/2.
	if got := distance(a.sorted(), b.sorted(), 1); got != .5 {
		t.Errorf("KS %v, want 0.5", got)
	}
	if got := distance(a.sorted(), b.sorted(), .5); got != 0 {
		t.Errorf("KS after scaling %v, want 0", got)
	}
	if got := distance(distOf(true, 0, 1).sorted(), distOf(true, 1).sorted(), 1); got != .5 {
		t.Errorf("KS with a zero %v, want 0.5", got)
	}
}

// Distances are symmetric, between 0 and 1, and 0 of a log and itself.
func TestDistanceLaws(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func(name string) *Dist {
			return distOf(false, rapid.SliceOfN(rapid.Float64Range(0, 1000), 1, 40).Draw(r, name)...)
		}
		a, b := draw("a"), draw("b")
		ks, js := distance(a.sorted(), b.sorted(), 1), divergence(a.coarse(), b.coarse())
		if ks != distance(b.sorted(), a.sorted(), 1) || ks < 0 || ks > 1 || js < 0 || js > 1 {
			r.Fatalf("KS %v, JS %v", ks, js)
		}
		if distance(a.sorted(), a.sorted(), 1) != 0 || divergence(a.coarse(), a.coarse()) > 1e-12 {
			r.Fatal("a distribution is apart from itself")
		}
	})
}

// A sample of a known law gives its exponent back.
func TestFitFindsTheLaw(t *testing.T) {
	for _, want := range []PowerLaw{{Beta: 1.75, X0: 1500, Cut: 400_000}, {Beta: 1.2, X0: 300, Cut: 20_000}, {Beta: 2.2, X0: 2000, Cut: 1e6}} {
		rng, d := rand.New(rand.NewPCG(5, 7)), newDist(false)
		for n := 0; n < 60_000; {
			// (x+x0)^-beta by inversion, its exponential cut-off by rejection.
			x := want.X0*math.Pow(1-rng.Float64(), 1/(1-want.Beta)) - want.X0
			if x < 20_000_000 && rng.Float64() < math.Exp(-x/want.Cut) {
				d.add(x)
				n++
			}
		}
		got := d.fitPowerLaw()
		t.Logf("want %+v, got %+v", want, got)
		if math.Abs(got.Beta-want.Beta) > .12 || got.X0 < want.X0/1.4 || got.X0 > want.X0*1.4 || got.KS > .01 {
			t.Errorf("fit %+v, want %+v", got, want)
		}
	}
	if law := distOf(false, 1000, 2000).fitPowerLaw(); law != (PowerLaw{}) {
		t.Errorf("two values gave %+v", law)
	}
}

func TestSlope(t *testing.T) {
	var points []Point
	for x := 1.0; x < 6; x++ {
		points = append(points, Point{x, 3 * math.Pow(x, -1.3)})
	}
	if got := slope(append(points, Point{9, 0})); math.Abs(got+1.3) > 1e-9 {
		t.Errorf("slope %v, want -1.3", got)
	}
	if got := slope(points[:2]); got != 0 {
		t.Errorf("slope of two points %v", got)
	}
}

func TestJudge(t *testing.T) {
	a, b := distOf(true, 1, 2, 3, 4), distOf(true, 2, 4, 6, 8)
	for _, c := range []struct {
		want   bound
		agrees bool
		words  string
	}{
		{bound{}, false, ""},
		{bound{ratio: 2}, true, "within a factor 2"},
		{bound{ratio: 1.9}, false, "within a factor 1.9"},
		{bound{ratio: 2, ks: .4}, false, "within a factor 2, KS <= 0.4"},
		{bound{shape: .1, diff: 2}, true, "difference <= 2, shape <= 0.1"},
		{bound{js: .01}, false, "JS <= 0.01"},
	} {
		if d := dists("law", a, b, c.want, ""); d.Agrees != c.agrees || d.Bound != c.words {
			t.Errorf("%+v: agrees %v, bound %q", c.want, d.Agrees, d.Bound)
		}
	}
	if d := dists("law", a, newDist(true), bound{ratio: 2}, ""); d.Agrees || d.KS != Undefined || d.Note == "" {
		t.Errorf("against nothing: %+v", d)
	}
}

func TestWriteDifferences(t *testing.T) {
	var b strings.Builder
	diffs := []Difference{figures("return share", .5, .6, bound{diff: .15}, ""), figures("beta", 1, 3, bound{diff: .5}, "odd"), figures("shown", 1, 2, bound{}, "")}
	if err := WriteDifferences(&b, "left", "right", diffs); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"left", "right", "0.5", "yes", "NO", "odd", "1 of 2 laws with a bound agree"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
}
