package decoder

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// ApartInputs are tokens that no other token sees but those beside them: of the T tokens
// of an Inputs the first Head see none of them, the others, in runs of N, one each, the
// i-th of a run the i-th. All fields but Bias and Self are required.
type ApartInputs struct {
	X         *Node // [B, N, D] float
	Positions *Node // [B, N] int32
	Mask      *Node // [B or 1, N, T] bool: which of the T tokens each sees; it sees itself, too
	Bias      *Node // [B, H or 1, N, T] float, added to the scaled scores; nil means none
	Self      *Node // [1, H or 1, 1, 1] float, the bias towards it of itself and of those beside it; nil means none
	Head      int
}

// PrefillApart is Prefill of in with the tokens of apart among them: what a Prefill of
// all T+N tokens returns for the T, without ever comparing the N with each other. As no
// later token sees them, they are not kept.
func PrefillApart(s *model.Scope, c Config, in Inputs, apart ApartInputs) (*Node, []KV) {
	p := newPrefill(s, c, in)
	b, n := batchAndLength(c, apart.X, apart.Positions)
	if b != p.b || n == 0 || p.t <= apart.Head || (p.t-apart.Head)%n != 0 {
		panic(fmt.Errorf("decoder: %d tokens of %d rows apart beside %d of %d after the first %d, want whole runs, one or more", n, b, p.t, p.b, apart.Head))
	}
	a := newPass(s, c, apart.X, apart.Positions, apart.Mask, apart.Bias)
	self := apart.Self
	if self == nil {
		self = InsertAxes(ScalarZero(in.X.Graph(), in.X.DType()), 0, 0, 0, 0)
	}
	among := besideBias(self, apart.Head, p.t)
	h, x := Reshape(in.X, p.b*p.t, c.Dim), Reshape(apart.X, a.b*a.t, c.Dim)
	kept := make([]KV, c.Layers)
	for i := range c.Layers {
		s := s.At("layers_%d", i)
		q, kv := p.project(s, h)
		aq, akv := a.project(s, x)
		kept[i] = kv
		h = p.mix(s, i, h, p.attend(s, q, kv, &beside{runs(akv.K, apart.Head, p.t), runs(akv.V, apart.Head, p.t), among}))
		x = a.mix(s, i, x, a.attend(s, aq, kv, &beside{akv.K, akv.V, self}))
	}
	return p.normed(h), kept
}

// beside is a key of its own for each query: k and v [B, KVH, T, hd], bias
// [1, H or 1, T or 1, 1].
type beside struct{ k, v, bias *Node }

// besideBias is the bias of t queries towards the keys beside them, of which the first
// head have none.
func besideBias(self *Node, head, t int) *Node {
	self.AssertDims(1, -1, 1, 1)
	heads := self.Shape().Dimensions[1]
	bias := BroadcastToDims(self, 1, heads, t-head, 1)
	if head == 0 {
		return bias
	}
	none := BroadcastToDims(Scalar(self.Graph(), self.DType(), blocked), 1, heads, head, 1)
	return Concatenate([]*Node{none, bias}, 2)
}

// runs repeats x [B, KVH, N, hd] after head entries of anything, [B, KVH, T, hd].
func runs(x *Node, head, t int) *Node {
	dims := x.Shape().Dimensions
	parts := slices.Repeat([]*Node{x}, (t-head)/dims[2])
	if head > 0 {
		nothing := BroadcastToDims(ScalarZero(x.Graph(), x.DType()), dims[0], dims[1], head, dims[3])
		parts = append([]*Node{nothing}, parts...)
	}
	return Concatenate(parts, 2)
}
