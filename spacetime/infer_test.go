package spacetime

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// single keeps one request of each window, at the given actions.
func single(b *batch.Batch, at ...int) *batch.Batch {
	out := clone(b)
	m := b.Arrays[batch.InRequest].Dims[1]
	for array := batch.InRequest; array < batch.NumInputs; array++ {
		a := &out.Arrays[array]
		width := size(a.Dims[1:])
		var ints []int32
		var floats []float32
		for i := range at {
			if a.I != nil {
				ints = append(ints, a.I[i*width:i*width+width/m]...)
			} else {
				floats = append(floats, a.F[i*width:i*width+width/m]...)
			}
		}
		a.Dims[1], a.I, a.F = 1, ints, floats
	}
	n := b.Arrays[batch.InPlace].Dims[1]
	for i, action := range at {
		out.Arrays[batch.InRequest].I[i] = int32(action)
		out.Arrays[batch.InLabel].I[i] = out.Arrays[batch.InPlace].I[i*n+action]
		out.Arrays[batch.InWeight].F[i] = 1
		out.Arrays[batch.InChosen].I[i] = -1
	}
	return out
}

func clone(b *batch.Batch) *batch.Batch {
	out := *b
	for i, a := range b.Arrays {
		out.Arrays[i] = batch.Array{Dims: slices.Clone(a.Dims), I: slices.Clone(a.I), F: slices.Clone(a.F)}
	}
	return &out
}

// open forgets what the user did at the requests, as at inference.
func open(b *batch.Batch) *batch.Batch {
	out := clone(b)
	n := b.Arrays[batch.InPlace].Dims[1]
	for i, action := range b.Arrays[batch.InRequest].I {
		at := i*n + int(action)
		out.Arrays[batch.InPlace].I[at], out.Arrays[batch.InType].I[at] = 0, 0
		out.Arrays[batch.InAt].F[2*at], out.Arrays[batch.InAt].F[2*at+1] = 0, 0
		out.Arrays[batch.InLabel].I[i] = 0
	}
	return out
}

// visiting replaces the place of every request's action.
func visiting(b *batch.Batch, place int32) *batch.Batch {
	out := clone(b)
	n := b.Arrays[batch.InPlace].Dims[1]
	for i, action := range b.Arrays[batch.InRequest].I {
		out.Arrays[batch.InPlace].I[i*n+int(action)] = place
	}
	return out
}

// expanded runs First, then Expand on the blocks, as package recommend does.
func (tr *trial) expanded(b *batch.Batch, blocks []int32) (first, inner []float64) {
	outs := tr.call("first", tr.m.First, b)
	rows := b.Arrays[batch.InPlace].Dims[0]
	var chosen []int32
	for range rows {
		chosen = append(chosen, blocks...)
	}
	more := []any{tensors.FromFlatDataAndDimensions(chosen, rows, len(blocks))}
	for _, x := range outs[3:] {
		more = append(more, x)
	}
	expand := func(s *model.Scope, in []*Node) []*Node { return []*Node{tr.m.Expand(s, in)} }
	return wide(outs[0]), wide(tr.call("expand", expand, b, more...)[0])
}

// Trying a block against the cached request gives the inner tokens that training
// would see after a real visit to a place of that block: with every addition on and
// off, for requests at the end of a window and within it.
func TestExpandEqualsTraining(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for k, v := range variants() {
			if !v.hier || (name != "go" && v.name != "hier") {
				continue
			}
			t.Run(name+"/"+v.name, func(t *testing.T) {
				tr := newTrial(t, be, v, uint64(100+k))
				for _, at := range [][]int{{5, 3, 1}, {3, 1, 0}} {
					b := single(tr.b, at...)
					asked := b
					if at[0] == 5 {
						asked = open(b)
					}
					blocks := []int32{2, 3, 1}
					first, inner := tr.expanded(asked, blocks)
					for s, block := range blocks {
						place := int32(slices.Index(tr.m.Tables.Block, block))
						want := tr.say(visiting(b, place))
						tokens := tr.m.Tables.Tokens
						for i := range at {
							got := inner[(i*len(blocks)+s)*tokens : (i*len(blocks)+s+1)*tokens]
							close5(t, fmt.Sprintf("row %d, inner tokens of block %d", i, block), got[1:], want[saidInner][i*tokens+1:(i+1)*tokens])
						}
						close5(t, "blocks", first, want[saidFirst])
					}
				}
			})
		}
	}
}

// First gives a flat network's answers as training sees them, and zeros where there
// is no copy head.
func TestFirstEqualsTraining(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for k, v := range variants() {
			if v.hier || (name != "go" && v.name != "flat") {
				continue
			}
			t.Run(name+"/"+v.name, func(t *testing.T) {
				tr := newTrial(t, be, v, uint64(200+k))
				b := single(tr.b, 5, 3, 1)
				want := tr.say(b)
				got := tr.call("first", tr.m.First, open(b))
				if len(got) != 3 {
					t.Fatalf("%d results, want 3", len(got))
				}
				close5(t, "places", wide(got[0]), want[saidFirst])
				if !v.c.CopyHead {
					want[saidCopied], want[saidGate] = make([]float64, len(wide(got[1]))), make([]float64, len(wide(got[2])))
				}
				close5(t, "copied", wide(got[1]), want[saidCopied])
				close5(t, "gate", wide(got[2]), want[saidGate])
			})
		}
	}
}

// close5 wants each value within 1e-5 of the other, relative where it is above one.
func close5(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if d := got[i] - want[i]; !(max(d, -d) <= 1e-5*max(1, want[i], -want[i])) {
			t.Errorf("%s: value %d is %.7g, want %.7g", what, i, got[i], want[i])
			return
		}
	}
}
