package spacetime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// eachVariant runs a test for every variant on "go", and for the whole hierarchical
// one, which has every kind of token, on the other backends too: they compile a
// graph a hundred times slower, and TestEqualsOracle compares them on all.
func eachVariant(t *testing.T, seed uint64, f func(t *testing.T, tr *trial)) {
	for name, be := range testkit.Backends(t) {
		for k, v := range variants() {
			if name != "go" && v.name != "hier" {
				continue
			}
			t.Run(name+"/"+v.name, func(t *testing.T) { f(t, newTrial(t, be, v, seed+uint64(k))) })
		}
	}
}

// onGo is the "go" backend alone, for laws that hold or fail on all alike.
func onGo(t *testing.T) map[string]compute.Backend {
	return map[string]compute.Backend{"go": testkit.Backends(t)["go"]}
}

// changed returns a copy of the trial's batch after f.
func (tr *trial) changed(f func(b *batch.Batch)) *batch.Batch {
	b := clone(tr.b)
	f(b)
	return b
}

// actions writes noise over everything that the first window's actions from to to
// say, besides being there.
func (tr *trial) actions(b *batch.Batch, from, to int) {
	rng := rand.New(rand.NewPCG(99, 98))
	for array := batch.InPlace; array <= batch.InSegment; array++ {
		a := b.Arrays[array]
		width := size(a.Dims[2:])
		values := map[int]int32{batch.InTimes: 7, batch.InCells: tinyGrid, batch.InType: tinyTypes + 1}[array]
		for j := from * width; j < to*width; j++ {
			switch {
			case array == batch.InPlace:
				a.I[j] = a.I[j]%tinyPlaces + 1
			case a.I != nil:
				a.I[j] = (a.I[j] + 1 + rng.Int32N(values-1)) % values
			default:
				a.F[j] += 1 + rng.Float32()
			}
		}
	}
}

// request cuts what was said of request r out of everything said.
func (tr *trial) request(out [][]float64, r int) map[string][]float64 {
	requests := tr.b.Arrays[batch.InRequest].Dims[0] * tr.b.Arrays[batch.InRequest].Dims[1]
	cut := map[string][]float64{}
	for what, i := range map[string]int{"first": saidFirst, "inner": saidInner, "copied": saidCopied, "gate": saidGate} {
		if width := len(out[i]) / requests; width > 0 {
			cut[what] = out[i][r*width : (r+1)*width]
		}
	}
	return cut
}

// same wants every answer to request r unchanged, or those of the given heads.
func (tr *trial) same(t *testing.T, what string, a, b [][]float64, r int, heads ...string) {
	t.Helper()
	x, y := tr.request(a, r), tr.request(b, r)
	for head := range x {
		if len(heads) == 0 || slices.Contains(heads, head) {
			close5(t, what+": "+head, x[head], y[head])
		}
	}
}

// differs wants an answer to request r changed: the check above it is not empty.
func (tr *trial) differs(t *testing.T, what string, a, b [][]float64, r int, head string) {
	t.Helper()
	if slices.Equal(tr.request(a, r)[head], tr.request(b, r)[head]) {
		t.Errorf("%s: %s of request %d did not change", what, head, r)
	}
}

// The requests of the first window are its actions 5, 3 and 1.
func TestCausality(t *testing.T) {
	eachVariant(t, 300, func(t *testing.T, tr *trial) {
		before := tr.say(tr.b)
		later := tr.say(tr.changed(func(b *batch.Batch) { tr.actions(b, 4, 6) }))
		tr.same(t, "actions 4 and 5 changed", later, before, 1)
		tr.same(t, "actions 4 and 5 changed", later, before, 2)
		tr.same(t, "another window changed", later, before, 3)
		tr.differs(t, "actions 4 and 5 changed", later, before, 0, "first")
		tr.differs(t, "actions 2 and 3 changed", tr.say(tr.changed(func(b *batch.Batch) { tr.actions(b, 2, 4) })), before, 1, "first")
	})
}

// What the user did at a request reaches none of its answers, but the block
// reaches the inner token's.
func TestTargetIsHidden(t *testing.T) {
	eachVariant(t, 400, func(t *testing.T, tr *trial) {
		before, was := tr.say(tr.b), tr.b.Arrays[batch.InPlace].I[5]
		visit := func(fits func(p int32) bool) [][]float64 {
			return tr.say(tr.changed(func(b *batch.Batch) {
				for p := int32(1); p <= tinyPlaces; p++ {
					if p != was && fits(p) {
						b.Arrays[batch.InPlace].I[5] = p
					}
				}
				b.Arrays[batch.InType].I[5] = (b.Arrays[batch.InType].I[5] + 1) % (tinyTypes + 1)
				b.Arrays[batch.InAt].F[10] += 3
				b.Arrays[batch.InAt].F[11] -= 3
			}))
		}
		other := visit(func(int32) bool { return true })
		tr.same(t, "another place", other, before, 0, "first", "copied", "gate")
		if !tr.v.hier {
			return
		}
		block := tr.m.Tables.Block
		tr.same(t, "another place of the block", visit(func(p int32) bool { return block[p] == block[was] }), before, 0)
		tr.differs(t, "another block", visit(func(p int32) bool { return block[p] != block[was] }), before, 0, "inner")
	})
}

// Neither a larger bucket of actions or candidates, nor what stands in padding, nor
// the order of windows, nor an empty window changes anything.
func TestPaddingAndOrder(t *testing.T) {
	eachVariant(t, 500, func(t *testing.T, tr *trial) {
		before := tr.say(tr.b)
		equal := func(what string, b *batch.Batch, order ...int) {
			t.Helper()
			after := tr.say(b)
			close5(t, what+": loss", after[saidLoss], before[saidLoss])
			for _, head := range []int{saidFirst, saidInner, saidGate} {
				width := len(before[head]) / 3
				for i, from := range order {
					if width > 0 {
						close5(t, what, after[head][i*width:(i+1)*width], before[head][from*width:(from+1)*width])
					}
				}
			}
		}
		wider := tr.changed(func(b *batch.Batch) {
			for array := batch.InPlace; array <= batch.InSegment; array++ {
				widen(&b.Arrays[array], 1, 3)
			}
		})
		equal("larger bucket of actions", wider, 0, 1, 2)
		equal("more candidates", tr.changed(func(b *batch.Batch) {
			widen(&b.Arrays[batch.InCandidate], 2, 2)
			widen(&b.Arrays[batch.InFeature], 2, 2)
		}), 0, 1, 2)
		equal("an empty window", tr.changed(func(b *batch.Batch) {
			for array := range b.Arrays {
				widen(&b.Arrays[array], 0, 1)
			}
		}), 0, 1, 2)
		equal("other order", tr.changed(func(b *batch.Batch) {
			for array := range b.Arrays {
				reverse(&b.Arrays[array])
			}
		}), 2, 1, 0)
		equal("noise in padding", tr.changed(func(b *batch.Batch) {
			for array := batch.InTimes; array <= batch.InSegment; array++ {
				a := b.Arrays[array]
				width := size(a.Dims[2:])
				for j := (6 + 4) * width; j < 12*width; j++ { // the second window has four actions
					if a.I != nil {
						a.I[j] = 1
					} else {
						a.F[j] = -7
					}
				}
			}
		}), 0, 1, 2)
	})
}

// widen appends by zeros to an axis.
func widen(a *batch.Array, axis, by int) {
	inner, outer := size(a.Dims[axis:]), size(a.Dims[:axis])
	more := by * size(a.Dims[axis+1:])
	old := *a
	a.Dims = slices.Clone(old.Dims)
	a.Dims[axis] += by
	a.I, a.F = nil, nil
	for i := range outer {
		if old.I != nil {
			a.I = append(append(a.I, old.I[i*inner:(i+1)*inner]...), make([]int32, more)...)
		} else {
			a.F = append(append(a.F, old.F[i*inner:(i+1)*inner]...), make([]float32, more)...)
		}
	}
}

// reverse turns the order of windows.
func reverse(a *batch.Array) {
	width := size(a.Dims[1:])
	old := *a
	a.I, a.F = nil, nil
	for i := a.Dims[0] - 1; i >= 0; i-- {
		if old.I != nil {
			a.I = append(a.I, old.I[i*width:(i+1)*width]...)
		} else {
			a.F = append(a.F, old.F[i*width:(i+1)*width]...)
		}
	}
}

// With one layer nothing passes on what an earlier request token holds, so hiding
// it as a key hides its time altogether. The bias reads the clock, not this time.
func TestHiddenRequests(t *testing.T) {
	for name, be := range onGo(t) {
		for _, hide := range []bool{true, false} {
			v := whole(true)
			v.c.Decoder.Layers, v.c.HideRequests = 1, hide
			tr := newTrial(t, be, v, 600)
			before := tr.say(tr.b)
			after := tr.say(tr.changed(func(b *batch.Batch) {
				for f := range 4 {
					b.Arrays[batch.InTimes].I[2*4+f] ^= 1
				}
			}))
			if hide {
				tr.same(t, name+": the time of action 2", after, before, 0)
			} else {
				tr.differs(t, name+": the time of action 2", after, before, 0, "first")
			}
		}
	}
}

// Other trajectories are out of sight unless the recipe has the whole history; the
// profile is seen from all.
func TestTrajectories(t *testing.T) {
	for name, be := range onGo(t) {
		for _, all := range []bool{true, false} {
			v := whole(true)
			v.c.WholeHistory = all
			tr := newTrial(t, be, v, 700)
			copy(tr.b.Arrays[batch.InSegment].F, []float32{0, 0, 0, 1, 1, 1})
			before := tr.say(tr.b)
			after := tr.say(tr.changed(func(b *batch.Batch) {
				tr.actions(b, 1, 2)
				b.Arrays[batch.InSegment].F[1] = 0
			}))
			if all {
				tr.differs(t, name+": the trajectory before", after, before, 0, "first")
			} else {
				tr.same(t, name+": the trajectory before", after, before, 0)
				tr.same(t, name+": the trajectory before", after, before, 1)
			}
			tr.differs(t, name+": the same trajectory", after, before, 2, "inner")
			profile := tr.say(tr.changed(func(b *batch.Batch) { b.Arrays[batch.InProfile].I[0] ^= 1 }))
			tr.differs(t, name+": the profile", profile, before, 0, "first")
			tr.same(t, name+": another user's profile", profile, before, 3)
		}
	}
}

// A request of weight zero has no part in the loss, whatever it asks; a stranger
// has no user embedding.
func TestWeightsAndStrangers(t *testing.T) {
	eachVariant(t, 800, func(t *testing.T, tr *trial) {
		tr.b.Arrays[batch.InWeight].F[1] = 0
		before := tr.say(tr.b)
		after := tr.say(tr.changed(func(b *batch.Batch) {
			b.Arrays[batch.InLabel].I[1] = b.Arrays[batch.InLabel].I[1]%tinyPlaces + 1
			b.Arrays[batch.InChosen].I[1] = -1
		}))
		close5(t, "loss", after[saidLoss], before[saidLoss])
		near(t, "loss of the others", before[saidLoss], []float64{tr.network(tr.b).loss()})
		if w := tr.w["user"]; w != nil {
			for i := range tr.v.c.Decoder.Dim {
				w[i] += 5 // row 0
			}
			tr.fill()
			close5(t, "loss with another vector for strangers", tr.say(tr.b)[saidLoss], before[saidLoss])
		}
	})
}

// Dropout is on in training only, and a function of the noise.
func TestDropout(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for k, rates := range [][2]float64{{0.4, 0}, {0, 0.4}} { // of everything, of the copy head's state
			v := whole(k == 0)
			v.c.Dropout, v.c.Decoder.Dropout, v.c.StateDropout = rates[0], rates[0], rates[1]
			tr := newTrial(t, be, v, 900)
			loss := func(training bool, noise float32) float64 {
				fn := func(s *model.Scope, in []*Node) []*Node {
					tr.store.SetTraining(in[0].Graph(), training)
					loss, _ := tr.m.Loss(s, in[:batch.NumInputs], in[batch.NumInputs])
					return []*Node{loss}
				}
				return wide(tr.call(fmt.Sprint("loss ", training), fn, tr.b, noise)[0])[0]
			}
			plain, a := tr.say(tr.b)[saidLoss][0], loss(true, 12345)
			if b := loss(true, 12345); a != b {
				t.Errorf("%s: equal noise gives %g and %g", name, a, b)
			}
			if b := loss(true, 54321); a == b || a == plain || math.IsNaN(a+b) {
				t.Errorf("%s: losses %g and %g under two noises, %g without", name, a, b, plain)
			}
			if b := loss(false, 12345); b != plain {
				t.Errorf("%s: loss %g outside training, want %g", name, b, plain)
			}
		}
	}
}
