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
	x := n.tokens(nil)
	b, t := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	in := decoder.Inputs{X: x, Positions: n.positions(b, t), Mask: n.mask(b, t)}
	if n.c.SpacetimeBias {
		in.Bias = n.bias(b, t)
	}
	in.DropoutSeed = n.noise
	return decoder.Prefill(n.s.At("decoder"), n.c.Decoder, in)
}

// positions counts tokens from the start of the window.
func (n *net) positions(b, t int) *Node {
	p := make([]int32, t)
	for i := range p {
		p[i] = int32(i)
	}
	return BroadcastToDims(InsertAxes(Const(n.g, p), 0), b, t)
}

// mask says which tokens a token sees, [B, T, T]: the profile and earlier ones that
// are real, in the same trajectory unless the recipe has the whole history;
// requests are hidden from later tokens if the recipe says so. Every token sees
// itself.
func (n *net) mask(b, t int) *Node {
	k, p := n.c.perAction(n.t), n.t.Profile
	pattern, self := make([]bool, t*t), make([]bool, t*t)
	for q := range t {
		self[q*t+q] = true
		for j := range q {
			hidden := n.c.HideRequests && j >= p && (j-p)%k == 0 && (q-p)/k != (j-p)/k
			pattern[q*t+j] = !hidden
		}
	}
	valid := n.perToken(GreaterThan(n.in[batch.InPlace], ScalarZero(n.g, dtypes.Int32)), true)
	seen := And(n.bools(pattern, t), BroadcastToDims(InsertAxes(valid, 1), b, t, t))
	if !n.c.WholeHistory {
		same := n.sameTrajectory(b, t)
		seen = And(seen, same)
	}
	return Or(seen, BroadcastToDims(n.bools(self, t), b, t, t))
}

func (n *net) bools(flat []bool, t int) *Node {
	b := n.in[batch.InPlace].Shape().Dimensions[0]
	return BroadcastToDims(ConstCachedTensor(n.g, tensors.FromFlatDataAndDimensions(flat, 1, t, t)), b, t, t)
}

// perToken repeats a value of each action [B, N] for its tokens, [B, T]; profile
// tokens get the value fill.
func (n *net) perToken(x *Node, fill any) *Node {
	dims := x.Shape().Dimensions
	k := n.c.perAction(n.t)
	y := Reshape(BroadcastToDims(InsertAxes(x, -1), dims[0], dims[1], k), dims[0], dims[1]*k)
	if n.t.Profile == 0 {
		return y
	}
	head := BroadcastToDims(ConstAsDType(n.g, x.DType(), fill), dims[0], n.t.Profile)
	return Concatenate([]*Node{head, y}, 1)
}

// sameTrajectory is true where two tokens belong to one trajectory and where the
// key is of the profile, which belongs to all, [B, T, T].
func (n *net) sameTrajectory(b, t int) *Node {
	s := n.perToken(n.in[batch.InSegment], profileSegment)
	q := BroadcastToDims(InsertAxes(s, 2), b, t, t)
	k := BroadcastToDims(InsertAxes(s, 1), b, t, t)
	return Or(Equal(q, k), isProfile(k))
}

// profileSegment stands for the trajectory of profile tokens.
const profileSegment = -1.0

// isProfile is true for the segments of profile tokens.
func isProfile(segment *Node) *Node {
	return LessThan(segment, ScalarZero(segment.Graph(), segment.DType()))
}

// bias is added to the attention scores of every head, [B, H, T, T]: a learned mix
// of fixed functions of the time between two actions and of the distance from
// where the user stood to the earlier action's POI. An action's own POI never
// enters its row, so nothing of a target leaks to its request.
func (n *net) bias(b, t int) *Node {
	clock := n.in[batch.InClock]
	actions := clock.Shape().Dimensions[1]
	gap := Abs(Sub(InsertAxes(clock, 1), InsertAxes(clock, 2))) // [B, q, k] hours
	km := distances(n.in[batch.InFrom], n.in[batch.InAt])
	km = Mul(km, BroadcastToDims(n.strictlyEarlier(actions), b, actions, actions))
	return n.spread(n.nearness(gap, km), b, actions)
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
	phi := Reshape(Stack(functions, -1), -1, len(functions))
	bias := Reshape(MatMul(phi, w), dims[0], dims[1], dims[2], n.c.Decoder.Heads)
	return TransposeAllAxes(bias, 0, 3, 1, 2)
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

// spread repeats a value of each pair of actions [B, H, N, N] for their tokens,
// [B, H, T, T]; pairs with a profile token get zero.
func (n *net) spread(x *Node, b, actions int) *Node {
	h, k, p := n.c.Decoder.Heads, n.c.perAction(n.t), n.t.Profile
	x = BroadcastToDims(InsertAxes(x, 3, 4), b, h, actions, k, actions, k)
	x = Reshape(x, b, h, actions*k, actions*k)
	if p == 0 {
		return x
	}
	x = Concatenate([]*Node{zeros(n.g, b, h, actions*k, p), x}, 3)
	return Concatenate([]*Node{zeros(n.g, b, h, p, p+actions*k), x}, 2)
}
