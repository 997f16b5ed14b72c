package spacetime

import (
	"fmt"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/testkit"
)

// window is row i of a batch on its own.
func window(b *batch.Batch, i int) *batch.Batch {
	out := clone(b)
	for array := range out.Arrays {
		a := &out.Arrays[array]
		width := size(a.Dims[1:])
		a.Dims[0] = 1
		if a.I != nil {
			a.I = a.I[i*width : (i+1)*width]
		} else {
			a.F = a.F[i*width : (i+1)*width]
		}
	}
	return out
}

// before is a window of only its first n actions, with clocks that end at the last of
// them; the rest holds what padding may hold.
func before(b *batch.Batch, n int) *batch.Batch {
	out := clone(b)
	clock := out.Arrays[batch.InClock].F
	if n > 0 {
		end := clock[n-1]
		for i := range clock {
			clock[i] -= end
		}
		out.Arrays[batch.InRequest].I[0] = int32(n - 1)
	}
	for i := n; i < len(clock); i++ {
		out.Arrays[batch.InPlace].I[i], out.Arrays[batch.InType].I[i] = 0, 0
		out.Arrays[batch.InAt].F[2*i], out.Arrays[batch.InAt].F[2*i+1] = 7, -7
		out.Arrays[batch.InSegment].F[i] = 99
	}
	return out
}

// past is the KV of the first n actions of a window: made at once, or with the last
// grown actions added one by one.
func (tr *trial) past(b *batch.Batch, n, grown int) []any {
	kv := tr.call("past", tr.m.Past, before(b, n-grown), tr.places()...)
	for i := n - grown + 1; i <= n; i++ {
		more := tr.places()
		for _, x := range kv {
			more = append(more, x)
		}
		kv = tr.call("grow", tr.m.Grow, before(b, i), more...)
	}
	var out []any
	for _, x := range kv {
		out = append(out, x)
	}
	return out
}

// places are the vectors of all places, if the graphs read them.
func (tr *trial) places() []any {
	if !tr.m.SharesPlaces() {
		return nil
	}
	if tr.execs["places"] == nil {
		tr.execs["places"] = model.MustNewExec(tr.be, tr.store, func(s *model.Scope, in []*Node) []*Node { return []*Node{tr.m.Places(s, in)} })
	}
	return []any{tr.execs["places"].MustCall(float32(0))[0]}
}

// asked runs Ask, and Branch on the blocks, on pasts of which the last actions were
// added one by one.
func (tr *trial) asked(b *batch.Batch, grown int, blocks []int32) (said []*tensors.Tensor, inner []float64) {
	rows := b.Arrays[batch.InPlace].Dims[0]
	var pasts []any
	for i := range rows {
		n := int(b.Arrays[batch.InRequest].I[i])
		pasts = append(pasts, tr.past(window(b, i), n, min(grown, n))...)
	}
	said = tr.call(fmt.Sprintf("ask %d", rows), tr.m.Ask, b, append(tr.places(), pasts...)...)
	if !tr.m.Tables.Hier {
		return said, nil
	}
	var chosen []int32
	for range rows {
		chosen = append(chosen, blocks...)
	}
	in := append([]any{tensors.FromFlatDataAndDimensions(chosen, rows, len(blocks))}, pasts...)
	for _, x := range said[3:] {
		in = append(in, x)
	}
	branch := func(s *model.Scope, in []*Node) []*Node { return []*Node{tr.m.Branch(s, in)} }
	return said, wide(tr.call("branch", branch, b, in...)[0])
}

// One token on a kept past says what the whole window says: with every addition on and
// off, for pasts made at once and action by action, of no action and of some, for
// several windows together and for one.
func TestLiveEqualsFirst(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for k, v := range variants() {
			if name != "go" && v.name != "hier" && v.name != "flat" {
				continue
			}
			t.Run(name+"/"+v.name, func(t *testing.T) {
				tr := newTrial(t, be, v, uint64(300+k))
				for _, at := range [][]int{{5, 3, 1}, {3, 1, 0}} {
					b := single(tr.b, at...)
					if at[0] == 5 {
						b = open(b)
					}
					for _, grown := range []int{0, 2} {
						tr.checkLive(t, b, grown)
						if at[0] == 5 {
							tr.checkLive(t, window(b, 1), grown)
						}
					}
				}
			})
		}
	}
}

// checkLive compares Ask and Branch with First and Expand.
func (tr *trial) checkLive(t *testing.T, b *batch.Batch, grown int) {
	t.Helper()
	blocks := []int32{2, 3, 1}
	got, inner := tr.asked(b, grown, blocks)
	what := func(s string) string {
		return fmt.Sprintf("%s of %d windows with %d actions added", s, b.Arrays[batch.InPlace].Dims[0], grown)
	}
	if !tr.m.Tables.Hier {
		want := tr.call("first", tr.m.First, b)
		for i, part := range []string{"places", "copied", "gate"} {
			close5(t, what(part), wide(got[i]), wide(want[i]))
		}
		return
	}
	first, wantInner := tr.expanded(b, blocks)
	close5(t, what("blocks"), wide(got[0]), first)
	close5(t, what("inner tokens"), inner, wantInner)
}

// A past does not depend on what stands in the slots after its actions.
func TestPastKnowsNothingLater(t *testing.T) {
	v := whole(true)
	tr := newTrial(t, testkit.Backends(t)["go"], v, 77)
	b := window(tr.b, 0)
	other := clone(b)
	for i := 3; i < 6; i++ {
		other.Arrays[batch.InPlace].I[i] = other.Arrays[batch.InPlace].I[i]%tinyPlaces + 1
		other.Arrays[batch.InTimes].I[4*i]++
	}
	actions := b.Arrays[batch.InPlace].Dims[1]
	kept := layout{profile: v.profile, head: v.profile, actions: actions, k: 4, first: 1, end: 4, byPart: true}
	if k := v.c.perAction(tr.m.Tables); !v.c.HideRequests || k != kept.k || tr.m.Kept(actions) != kept.size() {
		t.Fatalf("%d tokens an action, %d kept, requests hidden: %v; want the pasts of this test: 4, %d, true", k, tr.m.Kept(actions), v.c.HideRequests, kept.size())
	}
	for i, x := range tr.call("past", tr.m.Past, b, tr.places()...) {
		y := tr.call("past", tr.m.Past, other, tr.places()...)[i]
		dims := x.Shape().Dimensions
		a, c := wide(x), wide(y)
		different := false
		for h := range dims[1] {
			for token := range dims[2] {
				from := (h*dims[2] + token) * dims[3]
				a, c := a[from:from+dims[3]], c[from:from+dims[3]]
				if kept.action(token) < 3 {
					close5(t, fmt.Sprintf("tensor %d, head %d, token %d", i, h, token), a, c)
				}
				different = different || !slices.Equal(a, c)
			}
		}
		if !different {
			t.Errorf("tensor %d: later actions change nothing at all", i)
		}
	}
}
