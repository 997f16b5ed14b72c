package decoder

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// withGradient returns forward(x), which must have the shape of x, with the
// gradient vjp(y, v) in place of the derived one: y is the result and v the
// adjoint of y. The derived gradients of softmax, norm and rotation make two to
// three times the passes over memory that the closed forms need, and on a CPU
// these passes, not the products, are what a small decoder waits for.
//
// GoMLX offers this for fused operations with a "decomposed" twin that carries
// the gradient; the twin here is an identity with the closed form. Where fusion
// is switched off (GOMLX_FUSION=0) the derived gradient is used.
func withGradient(x *Node, forward func(x *Node) *Node, vjp func(y, v *Node) *Node) *Node {
	var y *Node
	out, fused := InternalFusedOpCaller(
		func() *Node { y = forward(x); return y },
		func() *Node { return IdentityWithCustomGradient(x, func(_, v *Node) *Node { return vjp(y, v) }) },
		true)
	if !fused {
		return forward(x)
	}
	return out
}

// softmax is over the last axis.
func softmax(x *Node) *Node {
	return withGradient(x,
		func(x *Node) *Node { return Softmax(x, -1) },
		func(y, v *Node) *Node {
			return Mul(y, Sub(v, ReduceAndKeep(Mul(v, y), ReduceSum, -1)))
		})
}

// rmsNorm divides x [..., n] by the root of its mean square over the last axis
// and multiplies by weight [n]. At least float32, whatever the dtype of x.
func rmsNorm(x, weight *Node, eps float64) *Node {
	dtype := x.DType()
	if dtype.Size() < dtypes.Float32.Size() {
		x = ConvertDType(x, dtypes.Float32)
		weight = ConvertDType(weight, dtypes.Float32)
	}
	var rms *Node
	unit := withGradient(x,
		func(x *Node) *Node {
			rms = Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceMean, -1), eps))
			return Div(x, rms)
		},
		func(y, v *Node) *Node {
			return Div(Sub(v, Mul(y, ReduceAndKeep(Mul(v, y), ReduceMean, -1))), rms)
		})
	return ConvertDType(Mul(unit, ExpandLeftToRank(weight, x.Rank())), dtype)
}

// rotate applies the rotary tables cos and sin [B, 1, T, hd] to x [B, H, T, hd],
// pairing element i with i+hd/2 as Hugging Face Llama does.
func rotate(x, cos, sin *Node) *Node {
	return withGradient(x,
		func(x *Node) *Node { return turn(x, cos, sin) },
		func(_, v *Node) *Node { return turn(v, cos, Neg(sin)) }) // a rotation's inverse is its transpose
}

// turn returns x*cos + rotate_half(x)*sin.
func turn(x, cos, sin *Node) *Node {
	half := x.Shape().Dimensions[x.Rank()-1] / 2
	lo := Slice(x, AxisRange().Spacer(), AxisRangeFromStart(half))
	hi := Slice(x, AxisRange().Spacer(), AxisRangeToEnd(half))
	return Add(Mul(x, cos), Mul(Concatenate([]*Node{Neg(hi), lo}, -1), sin))
}

// silu is x*sigmoid(x).
func silu(x *Node) *Node { return Mul(x, Logistic(x)) }
