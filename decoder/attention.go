package decoder

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// attend returns the projected attention output [B*T, D] of queries [B, H, T, hd] to
// keys and values [B, KVH, K, hd], and to those beside the queries if there are any.
//
// The G query heads that share a key head are stacked along the query axis, so
// that keys are never repeated and the two products are plain batched ones.
func (p *pass) attend(s *model.Scope, q *Node, seen KV, own *beside) *Node {
	c, b, t := p.c, p.b, p.t
	h, kvh, hd := c.Heads, c.kvHeads(), c.headDim()
	group, n := h/kvh, seen.K.Shape().Dimensions[2]
	keys, values := Reshape(seen.K, b*kvh, n, hd), Reshape(seen.V, b*kvh, n, hd)
	scores := Einsum("bqd,bkd->bqk", Reshape(q, b*kvh, group*t, hd), keys)
	scores = Add(Reshape(scores, b, h, t, n), p.bias)
	var out *Node // [B, H, T, hd]
	if own == nil {
		out = Reshape(Einsum("bqk,bkd->bqd", Reshape(softmax(scores), b*kvh, group*t, n), values), b, h, t, hd)
	} else {
		q, k, v := Reshape(q, b, kvh, group, t, hd), InsertAxes(own.k, 2), InsertAxes(own.v, 2)
		one := Add(Reshape(ReduceSum(Mul(q, k), -1), b, h, t, 1), own.bias)
		weights := softmax(Concatenate([]*Node{scores, one}, 3))
		// A value of zero for the last weight is cheaper than a copy of the others.
		values = Concatenate([]*Node{values, ZerosLike(SliceAxis(values, 1, AxisElem(0)))}, 1)
		out = Reshape(Einsum("bqk,bkd->bqd", Reshape(weights, b*kvh, group*t, n+1), values), b, h, t, hd)
		last := Reshape(SliceAxis(weights, 3, AxisElem(n)), b, kvh, group, t, 1)
		out = Add(out, Reshape(Mul(last, v), b, h, t, hd))
	}
	out = Reshape(TransposeAllAxes(out, 0, 2, 1, 3), b*t, h*hd)
	return MatMul(out, Weight(s.At("self_attn"), out.Graph(), out.DType(), "o_proj", c.residualStd(), h*hd, c.Dim))
}

// project returns, of a layer's input [B*T, D], rotated queries [B, H, T, hd], scaled by
// 1/sqrt(hd), and rotated keys and values [B, KVH, T, hd]. The scale goes into the query
// weights, which are far smaller than the scores. The rotation comes after the
// transposition, so that its tables repeat over whole [T, hd] planes and not over single
// heads.
func (p *pass) project(s *model.Scope, x *Node) (*Node, KV) {
	c, g, dtype := p.c, x.Graph(), x.DType()
	x = rmsNorm(x, gain(s, g, dtype, "input_layernorm", c.Dim), c.NormEps)
	s = s.At("self_attn")
	h, kvh, hd := c.Heads, c.kvHeads(), c.headDim()
	scale := 1 / math.Sqrt(float64(hd))
	wq := Weight(s, g, dtype, "q_proj", initStd, c.Dim, h*hd)
	wk := Weight(s, g, dtype, "k_proj", initStd, c.Dim, kvh*hd)
	wv := Weight(s, g, dtype, "v_proj", initStd, c.Dim, kvh*hd)
	if !c.QKNorm {
		wq = MulScalar(wq, scale)
	}
	q := Reshape(MatMul(x, wq), p.b, p.t, h, hd)
	k := Reshape(MatMul(x, wk), p.b, p.t, kvh, hd)
	v := Reshape(MatMul(x, wv), p.b, p.t, kvh, hd)
	if c.QKNorm {
		q = rmsNorm(q, MulScalar(gain(s, g, dtype, "q_norm", hd), scale), c.NormEps)
		k = rmsNorm(k, gain(s, g, dtype, "k_norm", hd), c.NormEps)
	}
	q, k, v = TransposeAllAxes(q, 0, 2, 1, 3), TransposeAllAxes(k, 0, 2, 1, 3), TransposeAllAxes(v, 0, 2, 1, 3)
	return rotate(q, p.cos, p.sin), KV{K: rotate(k, p.cos, p.sin), V: v}
}
