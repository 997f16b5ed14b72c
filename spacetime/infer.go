package spacetime

import (
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
	out := n.answers(n.requests(hidden, 0))
	if !n.t.Hier {
		return out
	}
	return append(append(out, list(cache)...), n.biasRow(n.whole()))
}

// answers are the first three results of First, of hidden states [B, D].
func (n *net) answers(h *Node) []*Node {
	var out []*Node
	if n.t.Hier {
		out = append(out, LogSoftmax(n.blockLogits(h), -1))
	} else {
		out = append(out, LogSoftmax(n.placeLogits(h), -1))
	}
	if n.c.CopyHead {
		copied, gate := n.copyHead(h)
		return append(out, copied, gate)
	}
	b, c := h.Shape().Dimensions[0], n.in[batch.InCandidate].Shape().Dimensions[2]
	return append(out, zeros(n.g, b, c), zeros(n.g, b))
}

// Expand is the graph of the second step: the log-probabilities of the inner
// token after each of S chosen blocks [B, S] (block tokens + 1), [B, S, Tokens].
// Inputs are the batch's arrays, the blocks, then what First returned for it.
func (m *Model) Expand(s *model.Scope, inputs []*Node) *Node {
	arrays, blocks, kept := inputs[:batch.NumInputs], inputs[batch.NumInputs], inputs[batch.NumInputs+1:]
	n := newNet(s, m.Config, m.Tables, arrays, nil)
	b, k := blocks.Shape().Dimensions[0], blocks.Shape().Dimensions[1]
	cache := pairs(kept[:2*n.c.Decoder.Layers])
	x := n.role(n.embedBlocks(blocks), 1)
	at := InsertAxes(AddScalar(n.tokenAt(), int32(1)), 1) // [B, 1]
	bias := n.expandBias(kept[2*len(cache)], k)
	hidden, _ := decoder.Step(n.s.At("decoder"), n.c.Decoder, decoder.StepInputs{
		X: x, Positions: BroadcastToDims(at, b, k), Cache: cache, Mask: n.expandMask(b, k), Bias: bias})
	logits := n.innerLogits(Reshape(hidden, b*k, n.d))
	return Reshape(LogSoftmax(logits, -1), b, k, n.t.Tokens)
}

// expandBias gives each of s block tokens the attention bias of the request's
// action, row [B, H, 1, T], also towards itself: [B, H, S, T+S].
func (n *net) expandBias(row *Node, s int) *Node {
	dims := row.Shape().Dimensions
	b, heads, t := dims[0], dims[1], dims[3]
	own := BroadcastToDims(n.here(), b, heads, s, s)
	return Concatenate([]*Node{BroadcastToDims(row, b, heads, s, t), own}, 3)
}

// expandMask lets each new block token see what the block token of the request's
// action would see, and itself, not the other candidates: [B, S, T+S].
func (n *net) expandMask(b, s int) *Node {
	t := n.whole().size()
	u := Equal(BroadcastToDims(InsertAxes(Const(n.g, upTo(t)), 0), b, t), BroadcastToDims(InsertAxes(n.tokenAt(), 1), b, t))
	seen := Or(n.pastSeen(n.whole()), u)
	return Concatenate([]*Node{BroadcastToDims(InsertAxes(seen, 1), b, s, t), diagonal(n.g, b, s)}, 2)
}

// requestTrajectory is true for tokens in the request's trajectory or of the
// profile, [B, T].
func (n *net) requestTrajectory(l layout) *Node {
	own := pick(n.in[batch.InSegment], Squeeze(n.in[batch.InRequest], 1)) // [B]
	segment := n.segments(l)
	return Or(Equal(segment, BroadcastToShape(InsertAxes(own, 1), segment.Shape())), isProfile(segment))
}
