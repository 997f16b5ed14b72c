package spacetime

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
)

// run passes the tokens of the windows through the decoder and returns the hidden
// states [B, T, D] and the KV of every layer.
func (n *net) run() (*Node, []decoder.KV) {
	in := n.inputs(n.whole(), n.tokens(nil), n.near())
	in.DropoutSeed = n.noise
	return decoder.Prefill(n.s.At("decoder"), n.c.Decoder, in)
}

// pasts are the KV of every layer of the tokens that later actions may see, laid out as
// kept says.
func (n *net) pasts() []decoder.KV {
	l, u, near, parts := n.kept(), n.dropped(), n.near(), n.parts(nil)
	in := n.inputs(l, l.lay(n.profile(), parts), near)
	if u.size() == 0 {
		_, kept := decoder.Prefill(n.s.At("decoder"), n.c.Decoder, in)
		return kept
	}
	apart := decoder.ApartInputs{X: u.lay(nil, parts), Positions: n.positions(u), Mask: n.mask(u, l), Head: l.head}
	if near != nil {
		apart.Bias, apart.Self = n.bias(u, l, near), n.here()
	}
	_, kept := decoder.PrefillApart(n.s.At("decoder"), n.c.Decoder, in, apart)
	return kept
}

// inputs are those of the decoder for tokens x that lie as l says; near is what near
// returns.
func (n *net) inputs(l layout, x, near *Node) decoder.Inputs {
	in := decoder.Inputs{X: x, Positions: n.positions(l), Mask: n.mask(l, l)}
	if near != nil {
		in.Bias = n.bias(l, l, near)
	}
	return in
}

// positions count tokens from the start of the window, [B, T].
func (n *net) positions(l layout) *Node {
	b := n.in[batch.InPlace].Shape().Dimensions[0]
	return BroadcastToDims(InsertAxes(Const(n.g, l.positions()), 0), b, l.size())
}

// mask says which tokens see which, [B, Q, K]: the profile and earlier ones that
// are real, in the same trajectory unless the recipe has the whole history;
// requests are hidden from later actions if the recipe says so. Every token sees
// itself.
func (n *net) mask(queries, keys layout) *Node {
	b, tq, tk := n.in[batch.InPlace].Shape().Dimensions[0], queries.size(), keys.size()
	pattern, self := make([]bool, tq*tk), make([]bool, tq*tk)
	for q := range tq {
		at, action := queries.position(q), queries.action(q)
		for k := range tk {
			hidden := n.c.HideRequests && keys.isRequest(k) && keys.action(k) != action
			pattern[q*tk+k] = keys.position(k) < at && !hidden
			self[q*tk+k] = keys.position(k) == at
		}
	}
	table := func(flat []bool) *Node {
		return BroadcastToDims(ConstCachedTensor(n.g, tensors.FromFlatDataAndDimensions(flat, 1, tq, tk)), b, tq, tk)
	}
	seen := And(table(pattern), BroadcastToDims(InsertAxes(n.real(keys), 1), b, tq, tk))
	if !n.c.WholeHistory {
		q := BroadcastToDims(InsertAxes(n.segments(queries), 2), b, tq, tk)
		k := BroadcastToDims(InsertAxes(n.segments(keys), 1), b, tq, tk)
		seen = And(seen, Or(Equal(q, k), isProfile(k)))
	}
	return Or(seen, table(self))
}

// real is true for the tokens of the profile and of actions that are there, [B, T].
func (n *net) real(l layout) *Node {
	return l.repeat(GreaterThan(n.in[batch.InPlace], ScalarZero(n.g, dtypes.Int32)), 1, true)
}

// segments are the trajectories of tokens, [B, T].
func (n *net) segments(l layout) *Node {
	return l.repeat(n.in[batch.InSegment], 1, profileSegment)
}

// profileSegment stands for the trajectory of profile tokens, which belong to all.
const profileSegment = -1.0

// isProfile is true for the segments of profile tokens.
func isProfile(segment *Node) *Node {
	return LessThan(segment, ScalarZero(segment.Graph(), segment.DType()))
}

// near is added to the attention scores between actions, [B, H, N, N], nil if the
// recipe does without: a learned mix of fixed functions of the time between two
// actions and of the distance from where the user stood to the earlier action's
// POI. An action's own POI never enters its row, so nothing of a target leaks to its
// request.
func (n *net) near() *Node {
	if !n.c.SpacetimeBias {
		return nil
	}
	clock := n.in[batch.InClock]
	b, actions := clock.Shape().Dimensions[0], n.actions()
	gap := Abs(Sub(InsertAxes(clock, 1), InsertAxes(clock, 2))) // [B, q, k] hours
	km := distances(n.in[batch.InFrom], n.in[batch.InAt])
	km = Mul(km, BroadcastToDims(n.strictlyEarlier(actions), b, actions, actions))
	return n.nearness(gap, km)
}

// bias repeats what near says of actions for their tokens, [B, H, Q, K]; pairs with a
// profile token get zero.
func (n *net) bias(queries, keys layout, near *Node) *Node {
	return queries.repeat(keys.repeat(near, 3, 0.0), 2, 0.0)
}

// here is the bias between tokens of one moment and place, [1, H, 1, 1]; zero if the
// recipe does without.
func (n *net) here() *Node {
	if !n.c.SpacetimeBias {
		return zeros(n.g, 1, n.c.Decoder.Heads, 1, 1)
	}
	return n.nearness(zeros(n.g, 1, 1, 1), zeros(n.g, 1, 1, 1))
}

// distances are kilometres between points [B, Q, 2] and [B, K, 2], [B, Q, K].
func distances(from, at *Node) *Node {
	b, q, k := from.Shape().Dimensions[0], from.Shape().Dimensions[1], at.Shape().Dimensions[1]
	delta := Sub(BroadcastToDims(InsertAxes(from, 2), b, q, k, 2), BroadcastToDims(InsertAxes(at, 1), b, q, k, 2))
	return Sqrt(AddScalar(ReduceSum(Square(delta), -1), 1e-6))
}

// nearness is a learned mix of fixed functions of hours and kilometres [B, Q, K],
// [B, H, Q, K].
func (n *net) nearness(gap, km *Node) *Node {
	daily := MulScalar(gap, 2*math.Pi/24)
	functions := []*Node{
		MulScalar(Log1P(gap), 0.3), Exp(MulScalar(gap, -1.0/6)), Cos(daily), Cos(MulScalar(daily, 2)),
		Cos(MulScalar(daily, 1.0/7)), MulScalar(Log1P(km), 0.5), Exp(Neg(km)),
	}
	w := n.weight("bias", 0.02, len(functions), n.c.Decoder.Heads)
	dims := gap.Shape().Dimensions
	b, pairs, h := dims[0], dims[1]*dims[2], n.c.Decoder.Heads
	for i, f := range functions {
		functions[i] = Reshape(f, b, 1, pairs)
	}
	// The pairs come last in both factors, so that nothing of their size is transposed.
	w = BroadcastToDims(InsertAxes(Transpose(w, 0, 1), 0), b, h, len(functions))
	return Reshape(Einsum("bhf,bfp->bhp", w, Concatenate(functions, 1)), b, h, dims[1], dims[2])
}

// strictlyEarlier is one where the key is an earlier action than the query,
// [1, N, N].
func (n *net) strictlyEarlier(actions int) *Node {
	flat := make([]float32, actions*actions)
	for q := range actions {
		for k := range q {
			flat[q*actions+k] = 1
		}
	}
	return ConstCachedTensor(n.g, tensors.FromFlatDataAndDimensions(flat, 1, actions, actions))
}
