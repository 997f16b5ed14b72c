package metric

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestBootstrapOfConstantIsAPoint(t *testing.T) {
	got, err := Bootstrap{}.Mean([]float64{2, 2, 2})
	if err != nil || got != (Interval{2, 2, 2}) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// For n coin flips the interval is close to the normal one, 1.96 s/sqrt(n).
func TestBootstrapWidth(t *testing.T) {
	rows := make([]float64, 1000)
	for i := range 300 {
		rows[i] = 1
	}
	got, err := Bootstrap{Seed: 1}.Mean(rows)
	if err != nil {
		t.Fatal(err)
	}
	half := 1.96 * math.Sqrt(.3*.7/1000)
	if got.Value != .3 || math.Abs(got.Lo-(.3-half)) > .004 || math.Abs(got.Hi-(.3+half)) > .004 {
		t.Errorf("%+v, want .3 +- %.4f", got, half)
	}
}

// Ten equal rows a person carry no more than one: the interval by person is
// sqrt(10) times as wide.
func TestClusterWidensInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var rows []float64
	var users []int32
	for u := range int32(200) {
		x := rng.NormFloat64()
		for range 10 {
			rows, users = append(rows, x), append(users, 1000-u)
		}
	}
	plain, err1 := Bootstrap{Seed: 5}.Mean(rows)
	byUser, err2 := Bootstrap{Seed: 5, Cluster: users}.Mean(rows)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ratio := (byUser.Hi - byUser.Lo) / (plain.Hi - plain.Lo)
	if math.Abs(ratio-math.Sqrt(10)) > .35 || plain.Value != byUser.Value {
		t.Errorf("widths' ratio %.3f, want %.3f", ratio, math.Sqrt(10))
	}
}

// Pairing removes what the rows have in common: a constant gap over noisy rows
// is certain, though the two intervals overlap.
func TestPairedDifference(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	x, y := make([]float64, 50), make([]float64, 50)
	for i := range x {
		y[i] = rng.NormFloat64()
		x[i] = y[i] + .25
	}
	got, err := Bootstrap{Seed: 8}.Difference(x, y)
	if err != nil || math.Abs(got.Lo-.25) > 1e-9 || math.Abs(got.Hi-.25) > 1e-9 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := (Bootstrap{}).Difference(x, y[1:]); !errors.Is(err, ErrInput) {
		t.Errorf("unequal lengths: %v", err)
	}
}

func TestBootstrapRejects(t *testing.T) {
	one := [][]float64{{1}}
	for name, run := range map[string]func() ([]Interval, error){
		"no rows":        func() ([]Interval, error) { return Bootstrap{}.Means([][]float64{{}}) },
		"NaN":            func() ([]Interval, error) { return Bootstrap{}.Means([][]float64{{math.NaN()}}) },
		"infinite":       func() ([]Interval, error) { return Bootstrap{}.Means([][]float64{{math.Inf(1)}}) },
		"ragged":         func() ([]Interval, error) { return Bootstrap{}.Means([][]float64{{1, 2}, {1}}) },
		"clusters":       func() ([]Interval, error) { return Bootstrap{Cluster: []int32{1, 2}}.Means(one) },
		"negative":       func() ([]Interval, error) { return Bootstrap{Resamples: -1}.Means(one) },
		"many resamples": func() ([]Interval, error) { return Bootstrap{Resamples: maxResamples + 1}.Means(one) },
	} {
		if _, err := run(); !errors.Is(err, ErrInput) {
			t.Errorf("%s: error %v, want ErrInput", name, err)
		}
	}
	if out, err := (Bootstrap{}).Means(nil); out != nil || err != nil {
		t.Errorf("no columns: %v, %v", out, err)
	}
}

func TestBootstrapLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Float64Range(-5, 5), 1, 40).Draw(t, "rows")
		b := Bootstrap{Seed: rapid.Int64().Draw(t, "seed"), Resamples: 60}
		alone, err := b.Mean(rows)
		if err != nil {
			t.Fatal(err)
		}
		twice := make([]float64, len(rows))
		for i, x := range rows {
			twice[i] = 2 * x
		}
		both, err := b.Means([][]float64{rows, twice})
		if err != nil {
			t.Fatal(err)
		}
		if both[0] != alone {
			t.Fatalf("a column's interval depends on its neighbours: %+v, %+v", both[0], alone)
		}
		if both[1] != (Interval{2 * alone.Value, 2 * alone.Lo, 2 * alone.Hi}) {
			t.Fatalf("not linear: %+v, %+v", both[1], alone)
		}
		lo, hi := rows[0], rows[0]
		for _, x := range rows {
			lo, hi = min(lo, x), max(hi, x)
		}
		if alone.Lo < lo-1e-9 || alone.Hi > hi+1e-9 || alone.Lo > alone.Hi {
			t.Fatalf("%+v is outside the rows' range [%v, %v]", alone, lo, hi)
		}
	})
}

func TestQuantiles(t *testing.T) {
	xs := []float64{40, 10, 20, 30}
	got, err := Quantiles(xs, 0, .25, .5, .9, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{10, 17.5, 25, 37, 40} {
		near(t, "quantile", got[i], want)
	}
	if xs[0] != 40 {
		t.Error("the input was sorted in place")
	}
	if got, err := Quantile([]float64{math.Inf(1), math.Inf(1)}, .5); err != nil || !math.IsInf(got, 1) {
		t.Errorf("quantile of infinities: %v, %v", got, err)
	}
	for _, c := range []struct {
		xs []float64
		p  float64
	}{{nil, .5}, {[]float64{1}, -.1}, {[]float64{1}, 1.1}, {[]float64{1}, math.NaN()}, {[]float64{math.NaN()}, .5}} {
		if _, err := Quantile(c.xs, c.p); !errors.Is(err, ErrInput) {
			t.Errorf("Quantile(%v, %v): error %v, want ErrInput", c.xs, c.p, err)
		}
	}
}
