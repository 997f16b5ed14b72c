package objective_test

import (
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/objective"
)

// The order of candidates means nothing: loss and gradient go with them.
func TestPermutation(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawProblem(t)
			order := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "order")
			q := p.clone()
			for i := range p.a {
				from := i/5*5 + order[i%5]
				q.a[i], q.b[i], q.first[i], q.second[i] = p.a[from], p.b[from], p.first[from], p.second[from]
			}
			for _, l := range losses {
				x, y := b.solve(l, p), b.solve(l, q)
				moved := make([]float64, len(x.a))
				for i := range moved {
					moved[i] = x.a[i/5*5+order[i%5]]
				}
				if !b.near(y.loss, x.loss) || !b.same(y.a, moved) {
					t.Fatalf("%s is %v in one order and %v in another", l.name, x.loss, y.loss)
				}
			}
		})
	})
}

// Padding, whatever stands in it, changes nothing: columns in no mask, and rows
// without weight, without a positive or without a negative.
func TestPadding(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawProblem(t)
			junk := rapid.SampledFrom([]float64{0, 1e4, math.NaN(), math.Inf(1), math.Inf(-1)})
			q := &problem{rows: 4, columns: 7}
			for i := range 28 {
				r, c := i/7, i%7
				if r < 3 && c < 5 {
					at := r*5 + c
					q.a, q.b = append(q.a, p.a[at]), append(q.b, p.b[at])
					q.first, q.second = append(q.first, p.first[at]), append(q.second, p.second[at])
					continue
				}
				q.a, q.b = append(q.a, junk.Draw(t, "a")), append(q.b, junk.Draw(t, "b"))
				q.first, q.second = append(q.first, r == 3 && c == 0), append(q.second, r == 3)
			}
			q.w = append(slices.Clone(p.w), 0)
			for _, l := range losses {
				x, y := b.solve(l, p), b.solve(l, q)
				padded := zeros(28)
				for i, g := range x.a {
					padded[i/5*7+i%5] = g
				}
				if !b.near(y.loss, x.loss) || !b.same(y.a, padded) {
					t.Fatalf("%s is %v, with padding %v (gradients %v and %v)", l.name, x.loss, y.loss, x.a, y.a)
				}
			}
		})
	})
}

// Requests that cannot be learned from cost nothing, alone or beside others.
func TestRowsThatDoNotCount(t *testing.T) {
	whole := row(3, []float64{1, -2, .5}, zeros(3), "100", "111")
	eachBench(t, func(t *testing.T, b *bench) {
		for name, odd := range map[string]struct{ first, second string }{
			"no click": {"000", "111"}, "only clicks": {"111", "111"}, "only clicks, no mask": {"111", "000"}, "nothing shown": {"000", "000"}} {
			for _, l := range append(slices.Clone(losses), surprise) {
				if l.name == "Binary" && odd.second == "111" {
					continue // classes mean nothing to it
				}
				alone := b.solve(l, row(3, []float64{3, 1, 2}, zeros(3), odd.first, odd.second))
				if alone.loss != 0 || !b.same(alone.a, zeros(3)) {
					t.Errorf("%s, %s: %+v, want zeros", l.name, name, alone)
				}
				both := row(3, append([]float64{3, 1, 2}, whole.a...), zeros(6), odd.first+"100", odd.second+"111")
				x, y := b.solve(l, whole), b.solve(l, both)
				if !b.near(y.loss, x.loss) || !b.same(y.a[3:], x.a) || !b.same(y.a[:3], zeros(3)) {
					t.Errorf("%s beside %s: %+v, want %+v", l.name, name, y, x)
				}
			}
		}
	})
}

// What each loss does not see: a shift of all scores of a request, and for
// preferences a shift of one candidate in policy and reference alike.
func TestShifts(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawProblem(t)
			all, each := p.clone(), p.clone()
			for i := range p.a {
				all.a[i] += float64(i/5)*4 - 3
				each.a[i] += float64(i) - 7
				each.b[i] += float64(i) - 7
			}
			for _, l := range losses {
				want := b.solve(l, p).loss
				if l.name != "Binary" && !b.near(b.solve(l, all).loss, want) {
					t.Fatalf("%s changes with a shift of each request", l.name)
				}
				if l.name != "Binary" && l.name != "InfoNCE" && !b.near(b.solve(l, each).loss, want) {
					t.Fatalf("%s changes with a shift of policy and reference", l.name)
				}
			}
		})
	})
}

// Losses that must agree where their meanings meet.
func TestKinships(t *testing.T) {
	unit := loss{name: "DPO at beta 1", graph: dpo(1, objective.Mean)}
	eachBench(t, func(t *testing.T, b *bench) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawProblem(t)
			scaled := p.clone()
			for i := range p.a {
				scaled.a[i], scaled.b[i] = beta*p.a[i], beta*p.b[i]
			}
			if x, y := b.solve(named("DPO mean"), p).loss, b.solve(unit, scaled).loss; !b.near(x, y) {
				t.Fatalf("DPO with beta %v is %v, with scaled inputs %v", beta, x, y)
			}
			// One positive and one negative a row: all preference losses are one.
			for r := range 3 {
				for c := range 5 {
					p.first[r*5+c], p.second[r*5+c] = c == 1, c == 3
				}
			}
			want := b.solve(named("DPO mean"), p).loss
			for _, name := range []string{"DPO sum", "SDPO mean", "SDPO sum"} {
				if got := b.solve(named(name), p).loss; !b.near(got, want) {
					t.Fatalf("%s is %v, DPO %v on single pairs", name, got, want)
				}
			}
			// InfoNCE of beta*tau*delta with both columns valid is that DPO as well, and so
			// is binary on the margin.
			near, margin := p.clone(), p.clone()
			for i := range p.a {
				near.a[i] = tau * beta * (p.a[i] - p.b[i])
				near.second[i] = p.first[i] || p.second[i]
				margin.second[i] = p.first[i]
				margin.b[i] = 1
				if p.first[i] {
					margin.a[i] = beta * ((p.a[i] - p.b[i]) - (p.a[i+2] - p.b[i+2]))
				}
			}
			if x, y := b.solve(named("InfoNCE"), near).loss, b.solve(named("Binary"), margin).loss; !b.near(x, want) || !b.near(y, want) {
				t.Fatalf("InfoNCE %v, binary %v, DPO %v on single pairs", x, y, want)
			}
			// Swapping the classes and the signs of the logits changes nothing.
			flipped := p.clone()
			for i := range p.a {
				flipped.a[i], flipped.b[i] = -p.a[i], 1-p.b[i]
			}
			if x, y := b.solve(named("Binary"), p).loss, b.solve(named("Binary"), flipped).loss; !b.near(x, y) {
				t.Fatalf("binary is %v and, classes swapped, %v", x, y)
			}
		})
	})
}

func measured(in []*Node) []*Node {
	m := objective.Measure(in[0], in[1], in[2], in[3], in[4], beta)
	return []*Node{m.Chosen, m.Rejected, m.Margin, m.Accuracy, objective.PairAccuracy(in[0], in[2], in[3], in[4])}
}

func TestMeasures(t *testing.T) {
	eachBench(t, func(t *testing.T, b *bench) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawProblem(t)
			got := b.run("measure", measured, p.inFrame())
			// Rewards that are equal on paper may differ in the last digit, so accuracy is
			// compared with a reference of zero, where they are equal exactly.
			want := p.measure(beta)
			for i := range 3 {
				if !b.near(got[i][0], want[i]) {
					t.Fatalf("measure %d is %v, oracle says %v", i, got[i][0], want[i])
				}
			}
			if want := p.pairAccuracy(func(i int) float64 { return p.a[i] }); !b.near(got[4][0], want) {
				t.Fatalf("pair accuracy %v, oracle says %v", got[4][0], want)
			}
			p.b = zeros(len(p.b))
			if got, want := b.run("measure", measured, p.inFrame())[3][0], p.measure(beta)[3]; !b.near(got, want) {
				t.Fatalf("accuracy %v, oracle says %v", got, want)
			}
		})
		// delta+ = .5; delta- = .5, -1, 0 -> .7*(.5 - (-.5/3)) = .466667; a tie and two wins.
		p := row(4, []float64{1.5, .5, -1, 0}, []float64{1, 0, 0, 0}, "1000", "0111")
		got := b.run("measure", measured, p.inFrame())
		for i, want := range []float64{.35, -.7 * .5 / 3, .7 * 2 / 3, 2.5 / 3, 1} {
			if math.Abs(got[i][0]-want) > 1e-6 {
				t.Errorf("measure %d is %v, by hand %v", i, got[i][0], want)
			}
		}
	})
}
