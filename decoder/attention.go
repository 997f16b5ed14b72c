package decoder

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// attention returns the projected attention output [B*T, D] of x [B*T, D], and
// the layer's own new KV. With past, keys are the past ones followed by the new.
//
// The G query heads that share a key head are stacked along the query axis, so
// that keys are never repeated and the two products are plain batched ones.
func (p *pass) attention(s *model.Scope, x *Node, past *KV) (*Node, KV) {
	c, b, t := p.c, p.b, p.t
	h, kvh, hd := c.Heads, c.kvHeads(), c.headDim()
	group := h / kvh
	q, k, v := p.project(s, x)
	q = Reshape(q, b*kvh, group*t, hd)
	kv := KV{K: k, V: v}
	keys, values := k, v
	if past != nil {
		keys = Concatenate([]*Node{past.K, keys}, 2)
		values = Concatenate([]*Node{past.V, values}, 2)
	}
	n := keys.Shape().Dimensions[2]
	keys, values = Reshape(keys, b*kvh, n, hd), Reshape(values, b*kvh, n, hd)
	scores := Einsum("bqd,bkd->bqk", q, keys)
	scores = Add(Reshape(scores, b, h, t, n), p.bias)
	weights := Reshape(softmax(scores), b*kvh, group*t, n)
	out := Reshape(Einsum("bqk,bkd->bqd", weights, values), b, h, t, hd)
	out = Reshape(TransposeAllAxes(out, 0, 2, 1, 3), b*t, h*hd)
	return MatMul(out, Weight(s, x.Graph(), x.DType(), "o_proj", c.residualStd(), h*hd, c.Dim)), kv
}

// project returns rotated queries [B, H, T, hd], scaled by 1/sqrt(hd), rotated
// keys and values [B, KVH, T, hd]. The scale goes into the query weights, which
// are far smaller than the scores. The rotation comes after the transposition, so
// that its tables repeat over whole [T, hd] planes and not over single heads.
func (p *pass) project(s *model.Scope, x *Node) (q, k, v *Node) {
	c, g, dtype := p.c, x.Graph(), x.DType()
	h, kvh, hd := c.Heads, c.kvHeads(), c.headDim()
	scale := 1 / math.Sqrt(float64(hd))
	wq := Weight(s, g, dtype, "q_proj", initStd, c.Dim, h*hd)
	wk := Weight(s, g, dtype, "k_proj", initStd, c.Dim, kvh*hd)
	wv := Weight(s, g, dtype, "v_proj", initStd, c.Dim, kvh*hd)
	if !c.QKNorm {
		wq = MulScalar(wq, scale)
	}
	q = Reshape(MatMul(x, wq), p.b, p.t, h, hd)
	k = Reshape(MatMul(x, wk), p.b, p.t, kvh, hd)
	v = Reshape(MatMul(x, wv), p.b, p.t, kvh, hd)
	if c.QKNorm {
		q = rmsNorm(q, MulScalar(gain(s, g, dtype, "q_norm", hd), scale), c.NormEps)
		k = rmsNorm(k, gain(s, g, dtype, "k_norm", hd), c.NormEps)
	}
	q, k, v = TransposeAllAxes(q, 0, 2, 1, 3), TransposeAllAxes(k, 0, 2, 1, 3), TransposeAllAxes(v, 0, 2, 1, 3)
	return rotate(q, p.cos, p.sin), rotate(k, p.cos, p.sin), v
}
