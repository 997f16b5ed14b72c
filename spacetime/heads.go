package spacetime

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/evidence"
)

// low is the logit of what cannot be chosen: finite, so that no gradient is NaN.
const low = -1e9

// requests returns the hidden states at offset tokens after u of every request,
// [R, D].
func (n *net) requests(hidden *Node, offset int) *Node {
	dims := hidden.Shape().Dimensions
	b, t := dims[0], dims[1]
	at := n.in[batch.InRequest] // [B, M]
	m := at.Shape().Dimensions[1]
	at = AddScalar(MulScalar(at, int32(n.c.perAction(n.t))), int32(n.t.Profile+offset))
	row := make([]int32, b)
	for i := range row {
		row[i] = int32(i * t)
	}
	at = Add(at, BroadcastToDims(InsertAxes(Const(n.g, row), 1), b, m))
	return look(Reshape(hidden, b*t, n.d), Reshape(at, b*m))
}

// output returns logits over a vocabulary [R, vocabulary] of hidden states [R, D];
// token 0 is padding and cannot be chosen. With tied embeddings the output
// vectors are table, [vocabulary, D], seen through a learned map.
func (n *net) output(name string, h, table *Node, vocabulary int) *Node {
	h = n.dropout(h, 110+len(name))
	bias := n.weight(name+"/bias", 0, vocabulary)
	var logits *Node
	if n.c.TiedEmbeddings {
		h = MatMul(h, n.weight(name+"/map", 1/math.Sqrt(float64(n.d)), n.d, n.d))
		logits = MatMul(h, Transpose(table, 0, 1))
	} else {
		logits = MatMul(h, n.weight(name+"/out", 0.02, n.d, vocabulary))
	}
	logits = Add(logits, BroadcastToShape(InsertAxes(bias, 0), logits.Shape()))
	first := make([]float32, vocabulary)
	first[0] = low
	return Add(logits, BroadcastToShape(InsertAxes(Const(n.g, first), 0), logits.Shape()))
}

// placeLogits are the flat head's logits over places, [R, V].
func (n *net) placeLogits(h *Node) *Node {
	return n.output("flat", h, n.places(), n.t.Places())
}

// blockLogits are the hierarchical head's logits over blocks, [R, Blocks].
func (n *net) blockLogits(h *Node) *Node {
	return n.output("blocks", h, n.weight("block", embedStd, n.t.Blocks, n.d), n.t.Blocks)
}

// innerLogits are the logits over inner tokens, [R, Tokens], of hidden states at
// the block token.
func (n *net) innerLogits(h *Node) *Node {
	return n.output("inners", h, n.weight("place", embedStd, n.t.Tokens, n.d), n.t.Tokens)
}

// pick returns x[r, index[r]] of x [R, W], [R].
func pick(x, index *Node) *Node {
	r, w := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	row := make([]int32, r)
	for i := range row {
		row[i] = int32(i * w)
	}
	return look(Reshape(x, r*w), Add(index, Const(x.Graph(), row)))
}

// flatten turns [B, M, ...] into [R, ...].
func flatten(x *Node) *Node {
	dims := x.Shape().Dimensions
	return Reshape(x, append([]int{dims[0] * dims[1]}, dims[2:]...)...)
}

// copyHead returns the log-probabilities of copying each candidate [R, C] and the
// logit of copying at all [R]. A candidate's logit is a pointer product of the
// request's hidden state with the candidate's embedding, plus a small network
// over its evidence, the request's own features and the hidden state.
func (n *net) copyHead(h *Node) (logProbs, gate *Node) {
	candidate := flatten(n.in[batch.InCandidate]) // [R, C]
	r, c := candidate.Shape().Dimensions[0], candidate.Shape().Dimensions[1]
	context := flatten(n.in[batch.InContext]) // [R, X]
	about := n.dropout(Concatenate([]*Node{n.hideState(h), context}, -1), 131)
	width := n.d + evidence.NumContext

	logits := zeros(n.g, r, c)
	if n.c.Pointer {
		logits = n.point(about, candidate, width)
	}
	if n.c.Evidence {
		logits = Add(logits, n.judge(about, r, c, width))
	}
	padding := Equal(candidate, ScalarZero(n.g, dtypes.Int32))
	logits = Where(padding, BroadcastToDims(Scalar(n.g, dtypes.Float32, low), r, c), logits)
	gate = Add(MatMul(about, n.weight("copy/gate", 0.02, width, 1)), BroadcastToDims(InsertAxes(n.weight("copy/gate_bias", 0, 1), 0), r, 1))
	return LogSoftmax(logits, -1), Reshape(gate, r)
}

// point is the product of the request with each candidate's embedding, [R, C].
func (n *net) point(about, candidate *Node, width int) *Node {
	query := MatMul(about, n.weight("copy/query", 1/math.Sqrt(float64(width)), width, n.d))
	all := MatMul(query, Transpose(n.places(), 0, 1)) // [R, V]: one product and a look-up cost less than a vector for each candidate
	return Reshape(pick2(all, candidate), candidate.Shape().Dimensions...)
}

// hideState takes the hidden state away from the copy head for a random share of
// the training requests. The head must then judge by evidence, which carries over
// to the future better than what the decoder can memorise of the past.
func (n *net) hideState(h *Node) *Node {
	switch rate := n.c.StateDropout; {
	case rate == 1:
		return ZerosLike(h)
	case n.noise == nil || rate == 0:
		return h
	default:
		keep := MulScalar(decoder.Dropout(Ones(n.g, shapes.Make(dtypes.Float32, h.Shape().Dimensions[0], 1)), n.noise, rate, 171), 1-rate)
		return Mul(h, BroadcastToShape(keep, h.Shape()))
	}
}

// pick2 returns x[r, index[r, c]] of x [R, W] and index [R, C], [R*C].
func pick2(x, index *Node) *Node {
	r, w := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	c := index.Shape().Dimensions[1]
	row := make([]int32, r)
	for i := range row {
		row[i] = int32(i * w)
	}
	at := Add(index, BroadcastToDims(InsertAxes(Const(x.Graph(), row), 1), r, c))
	return look(Reshape(x, r*w), Reshape(at, r*c))
}

// judge scores the evidence of every candidate, [R, C].
func (n *net) judge(about *Node, r, c, width int) *Node {
	const f = evidence.NumFeatures
	hidden, out := n.c.HeadHidden, n.c.HeadOut
	x := Reshape(n.in[batch.InFeature], r*c, f)
	x = Mul(Sub(x, InsertAxes(Const(n.g, n.t.Mean), 0)), InsertAxes(Const(n.g, n.t.Scale), 0))
	x = ClipScalar(x, -6, 6)
	side := MatMul(about, n.weight("copy/about", 1/math.Sqrt(float64(width)), width, hidden))
	side = Add(side, BroadcastToDims(InsertAxes(n.weight("copy/bias1", 0, hidden), 0), r, hidden))
	y := Reshape(MatMul(x, n.weight("copy/evidence", 1/math.Sqrt(float64(f)), f, hidden)), r, c, hidden)
	y = silu(Add(y, BroadcastToDims(InsertAxes(side, 1), r, c, hidden)))
	if n.noise != nil && n.c.Dropout > 0 {
		// One mask for all candidates of a request: they stay comparable, and the
		// noise costs C times less.
		mask := n.dropout(Ones(n.g, side.Shape()), 151)
		y = Mul(y, BroadcastToDims(InsertAxes(mask, 1), r, c, hidden))
	}
	y = MatMul(Reshape(y, r*c, hidden), n.weight("copy/hidden", 1/math.Sqrt(float64(hidden)), hidden, out))
	y = silu(Add(y, BroadcastToDims(InsertAxes(n.weight("copy/bias2", 0, out), 0), r*c, out)))
	return Reshape(MatMul(y, n.weight("copy/out", 1/math.Sqrt(float64(out)), out, 1)), r, c)
}

func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }
