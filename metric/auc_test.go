package metric

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestAUC(t *testing.T) {
	for _, c := range []struct {
		scores  []float64
		clicked []bool
		want    float64
		defined bool
	}{
		{[]float64{1, 2, 3, 4}, []bool{false, false, true, true}, 1, true},
		{[]float64{1, 2, 3, 4}, []bool{true, true, false, false}, 0, true},
		{[]float64{1, 1, 1}, []bool{true, false, false}, .5, true},
		{[]float64{3, 1, 2, 2}, []bool{true, false, true, false}, .875, true},
		{[]float64{1, 2}, []bool{true, true}, 0, false},
		{nil, nil, 0, false},
	} {
		got, defined, err := AUC(c.scores, c.clicked)
		if err != nil || got != c.want || defined != c.defined {
			t.Errorf("AUC(%v, %v) = %v, %v, %v; want %v, %v", c.scores, c.clicked, got, defined, err, c.want, c.defined)
		}
	}
}

func TestAUCMatchesPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 25).Draw(t, "n")
		scores, clicked := make([]float64, n), make([]bool, n)
		for i := range n {
			scores[i] = float64(rapid.IntRange(0, 6).Draw(t, "score"))
			clicked[i] = rapid.Bool().Draw(t, "clicked")
		}
		var wins, pairs float64
		for i := range n {
			for j := range n {
				if clicked[i] && !clicked[j] {
					pairs++
					switch {
					case scores[i] > scores[j]:
						wins++
					case scores[i] == scores[j]:
						wins += .5
					}
				}
			}
		}
		got, defined, err := AUC(scores, clicked)
		if err != nil || defined != (pairs > 0) || defined && math.Abs(got-wins/pairs) > 1e-12 {
			t.Fatalf("AUC = %v, %v, %v; pairs say %v/%v", got, defined, err, wins, pairs)
		}
	})
}

func TestGAUC(t *testing.T) {
	groups := []int32{2, 1, 2, 1, 2, 3}
	scores := []float64{1, 5, 2, 4, 0, 9}
	clicked := []bool{true, true, false, false, false, true}
	// Group 1 has one pair, won. Group 2 has two: 1 beats 0, loses to 2. Group 3 has none.
	got, pairs, err := GAUC(groups, scores, clicked)
	if err != nil || pairs != 3 || got != 2./3 {
		t.Errorf("GAUC = %v, %v, %v", got, pairs, err)
	}
	for name, c := range map[string]struct {
		groups  []int32
		scores  []float64
		clicked []bool
	}{
		"one class": {[]int32{1}, []float64{1}, []bool{true}},
		"NaN":       {[]int32{1}, []float64{math.NaN()}, []bool{true}},
		"groups":    {nil, []float64{1}, []bool{true}},
		"labels":    {[]int32{1}, []float64{1}, nil},
	} {
		if _, _, err := GAUC(c.groups, c.scores, c.clicked); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// clicks draws rows of several users with scores that tie often.
func clicks(t *rapid.T, columns int) (scores [][]float64, clicked []bool, users []int32) {
	n := rapid.IntRange(4, 40).Draw(t, "n")
	scores = make([][]float64, columns)
	for range n {
		users = append(users, rapid.Int32Range(0, 5).Draw(t, "user"))
		clicked = append(clicked, rapid.Bool().Draw(t, "clicked"))
		for c := range scores {
			scores[c] = append(scores[c], float64(rapid.IntRange(0, 4).Draw(t, "score")))
		}
	}
	clicked[0], clicked[1] = true, false
	return scores, clicked, users
}

// Each resample of AUCs and Ratios equals the figure of the rows written out as
// often as their user was drawn.
func TestResamplesMatchRowsWrittenOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scores, clicked, users := clicks(t, 2)
		b := Bootstrap{Seed: rapid.Int64().Draw(t, "seed"), Resamples: 5, Cluster: users}
		aucs, err := b.AUCs(scores, clicked)
		if err != nil {
			t.Fatal(err)
		}
		ratios, err := b.Ratios(scores[:1], [][]float64{ones(len(users))})
		if err != nil {
			t.Fatal(err)
		}
		means, err := b.Mean(scores[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := ratios[0].Interval(); math.Abs(got.Value-means.Value) > 1e-12 || math.Abs(got.Lo-means.Lo) > 1e-12 || math.Abs(got.Hi-means.Hi) > 1e-12 {
			t.Fatalf("Ratios %+v, Means %+v: not the same resamples", got, means)
		}
		unit := b.units(len(users))
		r := 0
		largest := 0
		for _, u := range unit {
			largest = max(largest, u)
		}
		b.resample(largest+1, 5, func(times []int32) {
			for c := range scores {
				var s []float64
				var k []bool
				for row, u := range unit {
					for range times[u] {
						s, k = append(s, scores[c][row]), append(k, clicked[row])
					}
				}
				wins, pairs := pairwise(s, k)
				if got := aucs[c].draws[r]; pairs == 0 && !math.IsNaN(got) || pairs > 0 && math.Abs(got-wins/pairs) > 1e-12 {
					t.Fatalf("resample %d of column %d: %v, want %v/%v", r, c, got, wins, pairs)
				}
			}
			r++
		})
	})
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// pairwise counts pairs and wins one by one.
func pairwise(scores []float64, clicked []bool) (wins, pairs float64) {
	for i := range scores {
		for j := range scores {
			if clicked[i] && !clicked[j] {
				pairs++
				switch {
				case scores[i] > scores[j]:
					wins++
				case scores[i] == scores[j]:
					wins += .5
				}
			}
		}
	}
	return wins, pairs
}

func TestFigures(t *testing.T) {
	f := Figure{Value: 3, draws: []float64{2, 4, math.NaN()}}
	g := Figure{Value: 1, draws: []float64{1, 1, math.NaN()}}
	top := Figure{Value: 5, draws: []float64{5, 5, math.NaN()}}
	if d := f.Minus(g); d.Value != 2 || d.draws[0] != 1 || d.draws[1] != 3 {
		t.Errorf("difference %+v", d)
	}
	if a := Average(f, g); a.Value != 2 || a.draws[1] != 2.5 {
		t.Errorf("average %+v", a)
	}
	if s, ok := f.Closed(g, top); !ok || s.Value != .5 || s.draws[0] != .25 || s.draws[1] != .75 {
		t.Errorf("share closed %+v, %v", s, ok)
	}
	if i := f.Interval(); i != (Interval{3, 2.05, 3.95}) {
		t.Errorf("interval %+v: undefined resamples must be left out", i)
	}
	low := Figure{Value: 5, draws: []float64{1, 5, 5}}
	for name, top := range map[string]Figure{"no gap": g, "no gap in one resample": low} {
		if _, ok := f.Closed(g, top); ok {
			t.Errorf("%s: a share is defined", name)
		}
	}
	if i := (Figure{Value: 2}).Interval(); i != (Interval{2, 2, 2}) {
		t.Errorf("without resamples %+v", i)
	}
}

// Two equal scorers differ by nothing in every resample; a scorer that knows the
// labels closes the whole gap.
func TestPairedAUC(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 400
	base, top, users := make([]float64, n), make([]float64, n), make([]int32, n)
	clicked := make([]bool, n)
	for i := range n {
		clicked[i], users[i] = rng.IntN(5) == 0, int32(i/10)
		base[i] = rng.Float64()
		if clicked[i] {
			base[i], top[i] = base[i]+.3, 1
		}
	}
	got, err := Bootstrap{Seed: 1, Resamples: 200, Cluster: users}.AUCs([][]float64{base, base, top}, clicked)
	if err != nil {
		t.Fatal(err)
	}
	if d := got[0].Minus(got[1]).Interval(); d != (Interval{}) {
		t.Errorf("difference of equal scorers %+v", d)
	}
	if s, ok := got[2].Closed(got[0], got[2]); !ok || s.Interval() != (Interval{1, 1, 1}) {
		t.Errorf("share of the top %+v, %v", s.Interval(), ok)
	}
	if d := got[2].Minus(got[0]).Interval(); !(d.Lo > 0 && d.Lo < d.Value && d.Value < d.Hi) {
		t.Errorf("gain %+v", d)
	}
}

func TestFiguresReject(t *testing.T) {
	one := [][]float64{{1, 2}}
	for name, run := range map[string]func() ([]Figure, error){
		"one class":     func() ([]Figure, error) { return Bootstrap{}.AUCs(one, []bool{true, true}) },
		"no rows":       func() ([]Figure, error) { return Bootstrap{}.AUCs([][]float64{{}}, nil) },
		"lengths":       func() ([]Figure, error) { return Bootstrap{}.AUCs(one, []bool{true}) },
		"NaN":           func() ([]Figure, error) { return Bootstrap{}.AUCs([][]float64{{1, math.NaN()}}, []bool{true, false}) },
		"resamples":     func() ([]Figure, error) { return Bootstrap{Resamples: -1}.AUCs(one, []bool{true, false}) },
		"clusters":      func() ([]Figure, error) { return Bootstrap{Cluster: []int32{1}}.AUCs(one, []bool{true, false}) },
		"columns":       func() ([]Figure, error) { return Bootstrap{}.Ratios(one, nil) },
		"zero":          func() ([]Figure, error) { return Bootstrap{}.Ratios(one, [][]float64{{0, 0}}) },
		"negative":      func() ([]Figure, error) { return Bootstrap{}.Ratios(one, [][]float64{{2, -1}}) },
		"ragged":        func() ([]Figure, error) { return Bootstrap{}.Ratios(one, [][]float64{{2}}) },
		"infinite":      func() ([]Figure, error) { return Bootstrap{}.Ratios(one, [][]float64{{2, math.Inf(1)}}) },
		"no rows ratio": func() ([]Figure, error) { return Bootstrap{}.Ratios([][]float64{{}}, [][]float64{{}}) },
	} {
		if _, err := run(); !errors.Is(err, ErrInput) {
			t.Errorf("%s: error %v, want ErrInput", name, err)
		}
	}
	if out, err := (Bootstrap{}).Ratios(nil, nil); out != nil || err != nil {
		t.Errorf("no columns: %v, %v", out, err)
	}
}

func TestLogLossesByHand(t *testing.T) {
	got, err := LogLosses([]float64{.8, .8, 0, 1}, []bool{true, false, true, true})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{-math.Log(.8), -math.Log(.2), -math.Log(1e-7), -math.Log(1 - 1e-7)} {
		near(t, "log loss", got[i], want)
	}
	for _, p := range []float64{-.1, 1.1, math.NaN()} {
		if _, err := LogLosses([]float64{p}, []bool{true}); !errors.Is(err, ErrInput) {
			t.Errorf("probability %v: %v", p, err)
		}
	}
	if _, err := LogLosses(nil, []bool{true}); !errors.Is(err, ErrInput) {
		t.Errorf("lengths: %v", err)
	}
}

func TestCalibrateByHand(t *testing.T) {
	probs := []float64{.9, .1, .1, .1, .5, .7}
	clicked := []bool{true, false, true, false, false, true}
	got, err := Calibrate(probs, clicked, 3)
	if err != nil {
		t.Fatal(err)
	}
	// The first third ends among equal probabilities and takes the third one too.
	want := []Bin{{3, .1, 1. / 3}, {1, .5, 0}, {2, .8, 1}}
	if len(got.Bins) != len(want) {
		t.Fatalf("bins %+v", got.Bins)
	}
	for i, w := range want {
		if b := got.Bins[i]; b.N != w.N || math.Abs(b.Predicted-w.Predicted) > 1e-12 || math.Abs(b.Observed-w.Observed) > 1e-12 {
			t.Errorf("bin %d: %+v, want %+v", i, b, w)
		}
	}
	near(t, "ratio", got.Ratio, 2.4/3)
	near(t, "error", got.Error, (.7+.5+.4)/6)
	if _, err := Calibrate(nil, nil, 3); !errors.Is(err, ErrInput) {
		t.Errorf("no rows: %v", err)
	}
	if _, err := Calibrate(probs, clicked, 0); !errors.Is(err, ErrInput) {
		t.Errorf("no bins: %v", err)
	}
	if got, err := Calibrate([]float64{.2}, []bool{false}, 3); err != nil || got.Ratio != 0 {
		t.Errorf("no clicks: %+v, %v", got, err)
	}
}

func TestListNDCGByHand(t *testing.T) {
	second := 1 / math.Log2(3)
	for _, c := range []struct {
		name    string
		scores  []float64
		clicked []bool
		k       int
		want    float64
		defined bool
	}{
		{"first", []float64{3, 2, 1}, []bool{true, false, false}, 1, 1, true},
		{"second of one", []float64{3, 2, 1}, []bool{false, true, false}, 1, 0, true},
		{"second of two", []float64{3, 2, 1}, []bool{false, true, false}, 2, second, true},
		{"both of two", []float64{3, 2, 1}, []bool{true, true, false}, 5, 1, true},
		{"one of two clicks", []float64{3, 2, 1}, []bool{true, false, true}, 2, 1 / (1 + second), true},
		{"all tied", []float64{1, 1, 1, 1}, []bool{true, false, false, false}, 1, .25, true},
		{"tied across the end", []float64{5, 1, 1, 1}, []bool{false, true, false, false}, 2, second / 3, true},
		{"no click", []float64{1, 2}, []bool{false, false}, 1, 0, false},
	} {
		got, defined, err := ListNDCG(c.scores, c.clicked, c.k)
		if err != nil || defined != c.defined || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, %v, %v; want %v, %v", c.name, got, defined, err, c.want, c.defined)
		}
	}
	if _, _, err := ListNDCG([]float64{1}, []bool{true}, 0); !errors.Is(err, ErrInput) {
		t.Errorf("k=0: %v", err)
	}
	if _, _, err := ListNDCG([]float64{math.NaN()}, []bool{true}, 1); !errors.Is(err, ErrInput) {
		t.Errorf("NaN: %v", err)
	}
}

// With one clicked entry the list's gain is that of its standing.
func TestListNDCGAgreesWithStanding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, k := rapid.IntRange(1, 15).Draw(t, "n"), rapid.IntRange(1, 15).Draw(t, "k")
		scores, clicked := make([]float64, n), make([]bool, n)
		for i := range scores {
			scores[i] = float64(rapid.IntRange(0, 4).Draw(t, "score"))
		}
		at := rapid.IntRange(0, n-1).Draw(t, "clicked")
		clicked[at] = true
		s, err := Stand(scores, at)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := ListNDCG(scores, clicked, k)
		if err != nil || math.Abs(got-s.NDCG(k)) > 1e-12 {
			t.Fatalf("%v, %v; standing says %v", got, err, s.NDCG(k))
		}
	})
}

func TestDeviation(t *testing.T) {
	near(t, "deviation", Deviation([]float64{1, 2, 3, 6}), math.Sqrt(14./3))
	near(t, "of one value", Deviation([]float64{5}), 0)
}

func BenchmarkAUCs(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 100_000
	scores, clicked, users := make([]float64, n), make([]bool, n), make([]int32, n)
	for i := range scores {
		scores[i], clicked[i], users[i] = rng.Float64(), rng.IntN(10) == 0, int32(i/50)
	}
	for b.Loop() {
		if _, err := (Bootstrap{Resamples: 1000, Cluster: users}).AUCs([][]float64{scores}, clicked); err != nil {
			b.Fatal(err)
		}
	}
}
