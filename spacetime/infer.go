package spacetime

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
)

// Inference takes windows whose single request is any position (M = 1).

// First is the graph of a request's first step. It returns the log-probabilities
// of the first output token [B, V] (places if flat, blocks + 1 if hierarchical),
// the log-probabilities of copying [B, C] and the logit of copying [B] (both zero
// without a copy head), then, hierarchical only, what Expand needs: the last
// hidden KV of every layer, K and V in turn, each [B, KVH, T, hd], and the
// attention bias of the request's action, [B, H, 1, T].
func (m *Model) First(s *model.Scope, inputs []*Node) []*Node {
	n := newNet(s, m.Config, m.Tables, inputs, nil)
	hidden, cache := n.run()
	h := n.requests(hidden, 0)
	var out []*Node
	if n.t.Hier {
		out = append(out, LogSoftmax(n.blockLogits(h), -1))
	} else {
		out = append(out, LogSoftmax(n.placeLogits(h), -1))
	}
	b := h.Shape().Dimensions[0]
	if n.c.CopyHead {
		copied, gate := n.copyHead(h)
		out = append(out, copied, gate)
	} else {
		c := inputs[batch.InCandidate].Shape().Dimensions[2]
		out = append(out, zeros(n.g, b, c), zeros(n.g, b))
	}
	if !n.t.Hier {
		return out
	}
	for _, kv := range cache {
		out = append(out, kv.K, kv.V)
	}
	return append(out, n.requestBias(hidden))
}

// requestBias is the row of the attention bias that the request's action has,
// [B, H, 1, T].
func (n *net) requestBias(hidden *Node) *Node {
	dims := hidden.Shape().Dimensions
	b, t, heads := dims[0], dims[1], n.c.Decoder.Heads
	if !n.c.SpacetimeBias {
		return zeros(n.g, b, heads, 1, t)
	}
	rows := TransposeAllAxes(n.bias(b, t), 0, 2, 1, 3) // [B, T, H, T]
	at := AddScalar(MulScalar(Squeeze(n.in[batch.InRequest], 1), int32(n.c.perAction(n.t))), int32(n.t.Profile))
	start := make([]int32, b)
	for i := range start {
		start[i] = int32(i * t)
	}
	rows = look(Reshape(rows, b*t, heads, t), Add(at, Const(n.g, start)))
	return Reshape(rows, b, heads, 1, t)
}

// Expand is the graph of the second step: the log-probabilities of the inner
// token after each of S chosen blocks [B, S] (block tokens + 1), [B, S, Tokens].
// Inputs are the batch's arrays, the blocks, then what First returned for it.
func (m *Model) Expand(s *model.Scope, inputs []*Node) *Node {
	arrays, blocks, kept := inputs[:batch.NumInputs], inputs[batch.NumInputs], inputs[batch.NumInputs+1:]
	n := newNet(s, m.Config, m.Tables, arrays, nil)
	b, k := blocks.Shape().Dimensions[0], blocks.Shape().Dimensions[1]
	cache := make([]decoder.KV, n.c.Decoder.Layers)
	for i := range cache {
		cache[i] = decoder.KV{K: kept[2*i], V: kept[2*i+1]}
	}
	t := cache[0].K.Shape().Dimensions[2]
	kind := SliceAxis(n.weight("kind", embedStd, n.c.perAction(n.t), n.d), 0, AxisRange(1, 2))
	x := n.embedBlocks(blocks)
	x = Add(x, BroadcastToShape(InsertAxes(kind, 0), x.Shape()))
	at := AddScalar(MulScalar(arrays[batch.InRequest], int32(n.c.perAction(n.t))), int32(n.t.Profile+1)) // [B, 1]
	bias := n.expandBias(kept[2*len(cache)], k)
	hidden, _ := decoder.Step(n.s.At("decoder"), n.c.Decoder, decoder.StepInputs{
		X: x, Positions: BroadcastToDims(at, b, k), Cache: cache, Mask: n.expandMask(b, k, t), Bias: bias})
	logits := n.innerLogits(Reshape(hidden, b*k, n.d))
	return Reshape(LogSoftmax(logits, -1), b, k, n.t.Tokens)
}

// expandBias gives each of s block tokens the attention bias of the request's
// action, row [B, H, 1, T], also towards itself: [B, H, S, T+S].
func (n *net) expandBias(row *Node, s int) *Node {
	dims := row.Shape().Dimensions
	b, heads, t := dims[0], dims[1], dims[3]
	at := AddScalar(MulScalar(n.in[batch.InRequest], int32(n.c.perAction(n.t))), int32(n.t.Profile)) // [B, 1]
	own := pick(Reshape(row, b*heads, t), Reshape(BroadcastToDims(at, b, heads), b*heads))
	return Concatenate([]*Node{BroadcastToDims(row, b, heads, s, t), BroadcastToDims(Reshape(own, b, heads, 1, 1), b, heads, s, s)}, 3)
}

// expandMask lets each new block token see what the block token of the request's
// action would see, and itself, not the other candidates: [B, S, T+S].
func (n *net) expandMask(b, s, t int) *Node {
	k, p := n.c.perAction(n.t), n.t.Profile
	action, isRequest := make([]int32, t), make([]bool, t)
	for i := range t {
		action[i] = -1
		if i >= p {
			action[i], isRequest[i] = int32((i-p)/k), (i-p)%k == 0
		}
	}
	of := BroadcastToDims(InsertAxes(Const(n.g, action), 0), b, t)
	at := BroadcastToDims(n.in[batch.InRequest], b, t)
	u := BroadcastToDims(InsertAxes(Const(n.g, isRequest), 0), b, t)
	valid := n.perToken(GreaterThan(n.in[batch.InPlace], ScalarZero(n.g, dtypes.Int32)), true)
	seen := And(LessThan(of, at), valid)
	if n.c.HideRequests {
		seen = And(seen, Not(u))
	}
	seen = Or(seen, And(Equal(of, at), u))
	if !n.c.WholeHistory {
		seen = And(seen, n.requestTrajectory(b, t))
	}
	self := make([]bool, s*s)
	for i := range s {
		self[i*s+i] = true
	}
	own := BroadcastToDims(Reshape(Const(n.g, self), 1, s, s), b, s, s)
	return Concatenate([]*Node{BroadcastToDims(InsertAxes(seen, 1), b, s, t), own}, 2)
}

// requestTrajectory is true for tokens in the request's trajectory or of the
// profile, [B, T].
func (n *net) requestTrajectory(b, t int) *Node {
	own := pick(n.in[batch.InSegment], Squeeze(n.in[batch.InRequest], 1)) // [B]
	segment := n.perToken(n.in[batch.InSegment], profileSegment)
	return Or(Equal(segment, BroadcastToDims(InsertAxes(own, 1), b, t)), isProfile(segment))
}
