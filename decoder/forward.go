package decoder

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// blocked is added to the score of a key that a query may not see: far below any
// real score, and finite, so that a query that may see nothing gets the mean of
// all values and not NaN.
const blocked = -1e9

// Inputs of Forward and Prefill. Only X and Positions are required.
type Inputs struct {
	X         *Node // [B, T, D] float, token embeddings
	Positions *Node // [B, T] int32, rotary position of each token; any order, repeats allowed
	Mask      *Node // [B, T, T] or [1, T, T] bool (query, key): true where the query sees the key; nil means causal
	Bias      *Node // [B, H, T, T] or [B, 1, T, T] float, added to the scaled scores; |values| < 1e6; nil means none
	// DropoutSeed is a scalar float32 in [0, 2^20), a new one for each step, for
	// example the step number. Dropout is on if it is set, Config.Dropout > 0 and
	// the store is training in this graph (model.Store.SetTraining).
	DropoutSeed *Node
}

// KV is what one layer keeps of its tokens: rotated keys and values, each
// [B, KVH, n, hd]. Appending is concatenation along axis 2.
type KV struct{ K, V *Node }

// Forward returns the final-normed hidden states [B, T, D] of in.
func Forward(s *model.Scope, c Config, in Inputs) *Node {
	hidden, _ := Prefill(s, c, in)
	return hidden
}

// Prefill is Forward that also returns the KV of every layer, to be kept for
// Step. Entries of padding tokens are there too: mask them in the step.
func Prefill(s *model.Scope, c Config, in Inputs) (*Node, []KV) {
	return newPrefill(s, c, in).run(in.X, nil)
}

// newPrefill is the pass over the tokens of in.
func newPrefill(s *model.Scope, c Config, in Inputs) *pass {
	b, t := batchAndLength(c, in.X, in.Positions)
	g := in.X.Graph()
	mask := in.Mask
	if mask == nil {
		mask = ConstTensor(g, causal(t))
	}
	mask.AssertRank(3)
	if m := mask.Shape().Dimensions; (m[0] != b && m[0] != 1) || m[1] != t || m[2] != t {
		panic(fmt.Errorf("decoder: mask is %s, want [%d or 1, %d, %d]", mask.Shape(), b, t, t))
	}
	p := newPass(s, c, in.X, in.Positions, mask, in.Bias)
	if in.DropoutSeed != nil && c.Dropout > 0 && s.IsTraining(g) {
		p.dropout = newDropout(in.DropoutSeed, c.Dropout, b*t, c.Dim)
	}
	return p
}

// pass is what the layers of one forward pass share.
type pass struct {
	s        *model.Scope
	c        Config
	b, t     int
	cos, sin *Node // [B, 1, T, hd]
	bias     *Node // [B or 1, 1 or H, T, K], zero or blocked, plus the caller's bias
	dropout  *dropout
}

// newPass builds the tables; mask is [B or 1, T, K], bias [B, H or 1, T, K] or nil.
func newPass(s *model.Scope, c Config, x, positions, mask, bias *Node) *pass {
	if err := c.Validate(); err != nil {
		panic(err)
	}
	dims := x.Shape().Dimensions
	p := &pass{s: s, c: c, b: dims[0], t: dims[1]}
	p.cos, p.sin = ropeTables(c, positions, x.DType())
	zero, low := ScalarZero(x.Graph(), x.DType()), Scalar(x.Graph(), x.DType(), blocked)
	p.bias = InsertAxes(Where(mask, zero, low), 1)
	if bias != nil {
		p.bias = Add(bias, p.bias)
	}
	return p
}

// run applies all layers to x [B, T, D]; past is nil or has one KV a layer.
func (p *pass) run(x *Node, past []KV) (*Node, []KV) {
	h := Reshape(x, p.b*p.t, p.c.Dim)
	kept := make([]KV, p.c.Layers)
	for i := range p.c.Layers {
		s := p.s.At("layers_%d", i)
		q, kv := p.project(s, h)
		kept[i] = kv
		if past != nil {
			kv = KV{K: Concatenate([]*Node{past[i].K, kv.K}, 2), V: Concatenate([]*Node{past[i].V, kv.V}, 2)}
		}
		h = p.mix(s, i, h, p.attend(s, q, kv, nil))
	}
	return p.normed(h), kept
}

// mix adds to h [B*T, D] what attention said in layer i, then what the layer makes of it.
func (p *pass) mix(s *model.Scope, i int, h, said *Node) *Node {
	h = Add(h, p.dropout.apply(said, 2*i))
	in := rmsNorm(h, gain(s, h.Graph(), h.DType(), "post_attention_layernorm", p.c.Dim), p.c.NormEps)
	return Add(h, p.dropout.apply(p.feedForward(s.At("mlp"), in), 2*i+1))
}

// normed are the final hidden states [B, T, D] of h [B*T, D].
func (p *pass) normed(h *Node) *Node {
	h = rmsNorm(h, gain(p.s, h.Graph(), h.DType(), "norm", p.c.Dim), p.c.NormEps)
	return Reshape(h, p.b, p.t, p.c.Dim)
}

// feedForward is SwiGLU on x [B*T, D].
func (p *pass) feedForward(s *model.Scope, x *Node) *Node {
	g, d, f := x.Graph(), p.c.Dim, p.c.FFN
	gate := MatMul(x, Weight(s, g, x.DType(), "gate_proj", initStd, d, f))
	up := MatMul(x, Weight(s, g, x.DType(), "up_proj", initStd, d, f))
	return MatMul(Mul(silu(gate), up), Weight(s, g, x.DType(), "down_proj", p.c.residualStd(), f, d))
}

// ropeTables returns cos and sin [B, 1, T, hd] of positions [B, T].
func ropeTables(c Config, positions *Node, dtype dtypes.DType) (cos, sin *Node) {
	hd := c.headDim()
	freq := make([]float64, hd) // the two halves of a head share their frequencies
	for i := range freq {
		freq[i] = math.Pow(c.RopeTheta, -2*float64(i%(hd/2))/float64(hd))
	}
	wide := dtype
	if dtype.Size() < dtypes.Float32.Size() {
		wide = dtypes.Float32 // an angle in half precision is off by whole turns
	}
	turns := InsertAxes(ConvertDType(positions, wide), 1, -1) // [B, 1, T, 1]
	angle := Mul(turns, ConstAsDType(positions.Graph(), wide, [][][][]float64{{{freq}}}))
	return ConvertDType(Cos(angle), dtype), ConvertDType(Sin(angle), dtype)
}

// causal returns a bool tensor [1, t, t] that is true where key <= query.
func causal(t int) *tensors.Tensor {
	flat := make([]bool, t*t)
	for q := range t {
		for k := range q + 1 {
			flat[q*t+k] = true
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, 1, t, t)
}

// batchAndLength checks x [B, T, D] and positions [B, T] and returns B and T.
func batchAndLength(c Config, x, positions *Node) (b, t int) {
	x.AssertRank(3)
	x.AssertDims(-1, -1, c.Dim)
	b, t = x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	positions.AssertDims(b, t)
	return b, t
}
