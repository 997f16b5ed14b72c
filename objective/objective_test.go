package objective_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/objective"
)

// Every loss is its printed formula, and its gradient the slope of that formula;
// references, labels and weights are constants.
func TestLossesMatchOracles(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		for _, l := range append(slices.Clone(losses), surprise) {
			rapid.Check(t, func(t *rapid.T) {
				p := drawProblem(t)
				got := b.solve(l, p)
				if want := l.oracle(p); !b.near(got.loss, want) {
					t.Fatalf("%s is %v, oracle says %v", l.name, got.loss, want)
				}
				for i := range p.a {
					if want := slope(l.oracle, p, p.a, i); !(math.Abs(got.a[i]-want) <= max(b.tol, 1e-8)*(1+math.Abs(want))) {
						t.Fatalf("%s: gradient at %d is %v, slope of the oracle %v", l.name, i, got.a[i], want)
					}
					if got.b[i] != 0 {
						t.Fatalf("%s: gradient %v flows into constant %d", l.name, got.b[i], i)
					}
				}
				for r, g := range got.w {
					if g != 0 {
						t.Fatalf("%s: gradient %v flows into the weight of row %d", l.name, g, r)
					}
				}
			})
		}
	})
}

func row(columns int, a, b []float64, first, second string) *problem {
	p := &problem{rows: len(a) / columns, columns: columns, a: a, b: b, first: make([]bool, len(a)), second: make([]bool, len(a))}
	for i := range a {
		p.first[i], p.second[i] = first[i] == '1', second[i] == '1'
	}
	for range p.rows {
		p.w = append(p.w, 1)
	}
	return p
}

// Numbers worked out on paper.
func TestByHand(t *testing.T) {
	click := row(4, []float64{.5, .2, .1, -.3}, zeros(4), "1010", "1111")
	// exp(.5/.4) + exp(.1/.4) = 3.490343 + 1.284025 = 4.774368 of the positives,
	// exp(.2/.4) + exp(-.3/.4) = 1.648721 + .472367 = 2.121088 of the negatives:
	// ln(1 + 2.121088/4.774368) = .367601.
	scores := row(3, []float64{2, 1, 9, -7, .5, 9}, []float64{1, 0, 0, 0, 1, 0}, "000000", "110010")
	scores.w = []float64{2, 1}
	// Row 0, weight 2: ln(1+e^-2) = .126928 and ln(1+e^1) = 1.313262; row 1, weight 1:
	// ln(1+e^-.5) = .474077. (2*.126928 + 2*1.313262 + .474077) / 5 = .670891.
	pairs := row(4, []float64{1.4, .3, .1, 1.3}, []float64{1, .5, 0, 1}, "1100", "0011")
	// delta+ = .4, -.2; delta- = .1, .3. With beta 2 the pairs' margins are .6, .2, -.6
	// and -1: .437488 + .598139 + 1.037488 + 1.313262 = 3.386376, their mean .846594.
	// S-DPO: ln(1 + e^-.6 + e^-.2) = .861852 and ln(1 + e^.6 + e^1) = 1.712067, sum
	// 2.573919, mean 1.286960.
	eachBench(t, func(t *testing.T, b *bench) {
		for _, tt := range []struct {
			name string
			l    loss
			p    *problem
			want float64
		}{
			{"InfoNCE", named("InfoNCE"), click, .367601},
			{"Binary", named("Binary"), scores, .670891},
			{"DPO sum", loss{name: "s", graph: dpo(2, objective.Sum)}, pairs, 3.386376},
			{"DPO mean", loss{name: "m", graph: dpo(2, objective.Mean)}, pairs, .846594},
			{"S-DPO sum", loss{name: "ss", graph: sdpo(2, objective.Sum)}, pairs, 2.573919},
			{"Surprise", surprise, pairs, -.85}, // -(1.4 + .3)/2
			{"S-DPO mean", loss{name: "sm", graph: sdpo(2, objective.Mean)}, pairs, 1.286960},
		} {
			if got := b.solve(tt.l, tt.p).loss; math.Abs(got-tt.want) > 2e-6 {
				t.Errorf("%s is %.6f, by hand %.6f", tt.name, got, tt.want)
			}
		}
	})
}

// Where a DPO begins the policy is the reference: each pair costs ln 2 and pulls
// with beta/2 on either side.
func TestPreferenceAtTheStart(t *testing.T) {
	p := row(2, []float64{-3, -5}, []float64{-3, -5}, "10", "01")
	eachBench(t, func(t *testing.T, b *bench) {
		for _, name := range []string{"DPO mean", "DPO sum", "SDPO mean", "SDPO sum"} {
			got := b.solve(named(name), p)
			if !b.near(got.loss, math.Ln2) || !b.same(got.a, []float64{-beta / 2, beta / 2}) {
				t.Errorf("%s: loss %v, gradient %v; want ln 2 and -/+ %v", name, got.loss, got.a, beta/2)
			}
		}
		// InfoNCE and binary at equal scores: ln 2, and half the scale.
		even := row(2, []float64{0, 0}, []float64{1, 0}, "10", "11")
		if got := b.solve(named("InfoNCE"), even); !b.near(got.loss, math.Ln2) || !b.same(got.a, []float64{-.5 / tau, .5 / tau}) {
			t.Errorf("InfoNCE at a tie: %+v", got)
		}
		if got := b.solve(named("Binary"), even); !b.near(got.loss, math.Ln2) || !b.same(got.a, []float64{-.25, .25}) {
			t.Errorf("Binary at zero: %+v", got)
		}
	})
}

// Scores far beyond any that training meets.
func TestExtremesAreFinite(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		for _, l := range losses {
			for _, a := range [][]float64{{1e4, -1e4, 0}, {-1e4, 1e4, 0}, {1e4, 1e4, 1e4}, {-1e4, -1e4, -1e4}, {0, 0, 1e4}} {
				p := row(3, a, zeros(3), "100", "111")
				got := b.solve(l, p)
				for _, x := range append(got.a, got.loss) {
					if math.IsNaN(x) || math.IsInf(x, 0) {
						t.Fatalf("%s of %v: %+v", l.name, a, got)
					}
				}
				if got.loss < 0 {
					t.Errorf("%s of %v is %v, below 0", l.name, a, got.loss)
				}
			}
		}
		// A pair hopelessly wrong costs its margin, and still pulls with full force.
		wrong := row(2, []float64{-1e4, 1e4}, zeros(2), "10", "01")
		if got := b.solve(named("DPO sum"), wrong); !b.near(got.loss, beta*2e4) || !b.same(got.a, []float64{-beta, beta}) {
			t.Errorf("a pair wrong by 2e4: %+v", got)
		}
		wrong.second = []bool{true, true}
		if got := b.solve(named("InfoNCE"), wrong); !b.near(got.loss, 2e4/tau) || !b.same(got.a, []float64{-1 / tau, 1 / tau}) {
			t.Errorf("cosines wrong by 2e4: %+v", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	b := &bench{be: testkit.Backends(t)["go"], dtype: dtypes.Float32, execs: map[string]*Exec{}}
	p := row(2, zeros(2), zeros(2), "10", "01")
	for name, tt := range map[string]struct {
		graph func(in []*Node) *Node
		want  string
	}{
		"tau 0":     {func(in []*Node) *Node { return objective.InfoNCE(in[0], in[2], in[3], in[4], 0) }, "temperature is 0"},
		"tau NaN":   {func(in []*Node) *Node { return objective.InfoNCE(in[0], in[2], in[3], in[4], math.NaN()) }, "NaN"},
		"beta":      {dpo(-1, objective.Mean), "beta is -1"},
		"beta inf":  {sdpo(math.Inf(1), objective.Mean), "beta is +Inf"},
		"reduction": {dpo(1, "median"), `"median"`},
		"weights":   {func(in []*Node) *Node { return objective.Binary(in[0], in[1], in[3], in[0]) }, "one for each row"},
		"rank":      {func(in []*Node) *Node { return objective.Binary(in[4], in[1], in[3], in[4]) }, "want floats"},
		"shape": {func(in []*Node) *Node {
			return objective.Binary(in[0], Concatenate([]*Node{in[1], in[1]}, 1), in[3], in[4])
		}, "array 1"},
		"bools": {func(in []*Node) *Node { return objective.PairAccuracy(in[2], in[2], in[3], in[4]) }, "want floats"},
	} {
		err := exceptions.TryCatch[error](func() { b.run(name, func(in []*Node) []*Node { return []*Node{tt.graph(in)} }, p) })
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if !objective.Mean.Valid() || !objective.Sum.Valid() || objective.Reduction("").Valid() {
		t.Error("Valid does not know the two reductions")
	}
}
