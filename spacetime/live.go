package spacetime

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
)

// A service keeps what a person's past left in the decoder and runs, for a request,
// its one token u alone. The graphs of this file are First and Expand taken apart
// for that; TestLiveEqualsFirst holds them together.
//
// A past is the KV of a window's actions before the request, without the tokens u that
// no later action sees: K and V of every layer in turn, each [1, KVH, Kept, hd], so that
// pasts of different people are kept and dropped one by one. Entries of tokens that are
// not there yet hold anything; masks hide them.

// PastSize is how many tensors a past has.
func (m *Model) PastSize() int { return 2 * m.Config.Decoder.Layers }

// Tokens is the number of tokens of a window of n actions, T.
func (m *Model) Tokens(n int) int { return m.Tables.Profile + n*m.Config.perAction(m.Tables) }

// Kept is the number of tokens in the past of a window of n actions.
func (m *Model) Kept(n int) int { return m.Tokens(n) - n*m.Config.firstKept() }

// SharesPlaces reports whether Past, Grow and Ask read the vectors of all places, which
// depend on the weights alone and are made once, by Places.
func (m *Model) SharesPlaces() bool {
	return !m.Tables.Hier || m.Config.CopyHead && m.Config.Pointer
}

// Places is the graph of E(place) of all places, [V, D]. Its one input, a scalar, is
// not read: a graph cannot be without.
func (m *Model) Places(s *model.Scope, inputs []*Node) *Node {
	return newNet(s, m.Config, m.Tables, inputs, nil).places()
}

// live is the net of a graph whose inputs are the arrays of a batch, the vectors of all
// places if SharesPlaces, and the rest.
func (m *Model) live(s *model.Scope, inputs []*Node) (n *net, rest []*Node) {
	n, rest = newNet(s, m.Config, m.Tables, inputs[:batch.NumInputs], nil), inputs[batch.NumInputs:]
	if m.SharesPlaces() {
		n.all, rest = rest[0], rest[1:]
	}
	return n, rest
}

// Past is the graph of pasts from nothing: the arrays of B windows without a request,
// and the vectors of all places if SharesPlaces. It returns them past by past.
func (m *Model) Past(s *model.Scope, inputs []*Node) []*Node {
	n, _ := m.live(s, inputs)
	return last(apart(n.pasts()))
}

// Grow is the graph of pasts with one action more each, that of slot InRequest: the
// inputs of Past, then the pasts before the action. It returns them past by past.
func (m *Model) Grow(s *model.Scope, inputs []*Node) []*Node {
	n, rest := m.live(s, inputs)
	past := n.stack(rest)
	l, k := n.kept(), n.c.perAction(n.t)
	t := l.size()
	x := n.actionAt()
	b := x.Shape().Dimensions[0]
	start := n.tokenAt() // [B]
	positions := Add(BroadcastToDims(InsertAxes(start, 1), b, k), BroadcastToDims(InsertAxes(Const(n.g, upTo(k)), 0), b, k))
	bias := n.expandBias(n.biasRow(l), k)
	mask := Concatenate([]*Node{BroadcastToDims(InsertAxes(n.pastSeen(l), 1), b, k, t), lower(n.g, b, k)}, 2)
	_, added := decoder.Step(n.s.At("decoder"), n.c.Decoder, decoder.StepInputs{X: x, Positions: positions, Cache: past, Mask: mask, Bias: bias})
	return last(apart(n.insert(l, past, added)))
}

// Ask is the graph of a request: the arrays of B windows whose slot InRequest is
// open, the vectors of all places if SharesPlaces, then the past of each window. It
// returns what First does, but for the KV: that of the token u alone, [B, KVH, 1, hd].
func (m *Model) Ask(s *model.Scope, inputs []*Node) []*Node {
	n, rest := m.live(s, inputs)
	past, l := n.stack(rest), n.kept()
	u := n.role(n.request(n.atRequest(batch.InTimes), n.atRequest(batch.InCells)), 0)
	b := u.Shape().Dimensions[0]
	row := n.biasRow(l)
	mask := Concatenate([]*Node{InsertAxes(n.pastSeen(l), 1), lower(n.g, b, 1)}, 2)
	hidden, own := decoder.Step(n.s.At("decoder"), n.c.Decoder, decoder.StepInputs{
		X: u, Positions: InsertAxes(n.tokenAt(), 1), Cache: past, Mask: mask, Bias: n.expandBias(row, 1)})
	h := Reshape(hidden, b, n.d)
	out := n.answers(h)
	if n.t.Hier {
		out = append(append(out, list(own)...), row)
	}
	return out
}

// Branch is Expand on a past: the arrays of B windows, the blocks [B, S], the past of
// each window, then what Ask returned beyond its first three results.
func (m *Model) Branch(s *model.Scope, inputs []*Node) *Node {
	arrays, blocks, rest := inputs[:batch.NumInputs], inputs[batch.NumInputs], inputs[batch.NumInputs+1:]
	n := newNet(s, m.Config, m.Tables, arrays, nil)
	b, k := blocks.Shape().Dimensions[0], blocks.Shape().Dimensions[1]
	kept := b * m.PastSize()
	past, own, row := n.stack(rest[:kept]), pairs(rest[kept:kept+m.PastSize()]), rest[kept+m.PastSize()]
	l := n.kept()
	t := l.size()
	x := n.role(n.embedBlocks(blocks), 1)
	at := AddScalar(n.tokenAt(), int32(1))
	seen := Concatenate([]*Node{n.pastSeen(l), n.yes(b, 1)}, 1) // the past, and u
	mask := Concatenate([]*Node{BroadcastToDims(InsertAxes(seen, 1), b, k, t+1), diagonal(n.g, b, k)}, 2)
	alone := BroadcastToDims(n.here(), b, n.c.Decoder.Heads, k, k+1)
	bias := Concatenate([]*Node{BroadcastToDims(row, b, n.c.Decoder.Heads, k, t), alone}, 3)
	hidden, _ := decoder.Step(n.s.At("decoder"), n.c.Decoder, decoder.StepInputs{
		X: x, Positions: BroadcastToDims(InsertAxes(at, 1), b, k), Cache: decoder.Append(past, own), Mask: mask, Bias: bias})
	logits := n.innerLogits(Reshape(hidden, b*k, n.d))
	return Reshape(LogSoftmax(logits, -1), b, k, n.t.Tokens)
}

// actionAt are the tokens of slot InRequest, whose place is known, [B, K, D].
func (n *net) actionAt() *Node {
	place := n.atRequest(batch.InPlace) // [B, 1]
	extra := n.withWay(nil, n.atRequest(batch.InFrom), n.atRequest(batch.InAt))
	parts := append([]*Node{n.role(n.request(n.atRequest(batch.InTimes), n.atRequest(batch.InCells)), 0)}, n.tokensOf(place, extra)...)
	if n.c.ActionToken {
		kind := look(n.weight("action", embedStd, n.t.Types+1, n.d), n.atRequest(batch.InType))
		parts = append(parts, n.role(kind, len(parts)))
	}
	return Concatenate(parts, 1)
}

// atRequest is the slot InRequest of an array [B, N, ...], [B, 1, ...].
func (n *net) atRequest(array int) *Node {
	x := n.in[array]
	dims := x.Shape().Dimensions
	start := make([]int32, dims[0])
	for i := range start {
		start[i] = int32(i * dims[1])
	}
	at := Add(Squeeze(n.in[batch.InRequest], 1), Const(n.g, start))
	flat := Reshape(x, append([]int{dims[0] * dims[1]}, dims[2:]...)...)
	return Reshape(look(flat, at), append([]int{dims[0], 1}, dims[2:]...)...)
}

// tokenAt is the position of the token u of slot InRequest, [B].
func (n *net) tokenAt() *Node {
	return AddScalar(MulScalar(Squeeze(n.in[batch.InRequest], 1), int32(n.c.perAction(n.t))), int32(n.t.Profile))
}

// biasRow is the attention bias of slot InRequest towards tokens that lie as l says,
// [B, H, 1, T]; see bias.
func (n *net) biasRow(l layout) *Node {
	clock := n.in[batch.InClock]
	b, actions := clock.Shape().Dimensions[0], l.actions
	if !n.c.SpacetimeBias {
		return zeros(n.g, b, n.c.Decoder.Heads, 1, l.size())
	}
	gap := InsertAxes(Abs(Sub(clock, BroadcastToDims(n.atRequest(batch.InClock), b, actions))), 1) // [B, 1, N]
	earlier := LessThan(BroadcastToDims(InsertAxes(Const(n.g, upTo(actions)), 0), b, actions), BroadcastToDims(n.in[batch.InRequest], b, actions))
	km := distances(n.atRequest(batch.InFrom), n.in[batch.InAt]) // [B, 1, N]
	km = Mul(km, InsertAxes(ConvertDType(earlier, dtypes.Float32), 1))
	return l.repeat(n.nearness(gap, km), 3, 0.0)
}

// pastSeen is true for the tokens that slot InRequest sees and that are before it,
// [B, T].
func (n *net) pastSeen(l layout) *Node {
	b, t := n.in[batch.InPlace].Shape().Dimensions[0], l.size()
	action, visible := n.visible(l)
	of := BroadcastToDims(InsertAxes(Const(n.g, action), 0), b, t)
	seen := And(LessThan(of, BroadcastToDims(n.in[batch.InRequest], b, t)), n.real(l))
	seen = And(seen, BroadcastToDims(InsertAxes(Const(n.g, visible), 0), b, t))
	if !n.c.WholeHistory {
		seen = And(seen, n.requestTrajectory(l))
	}
	return seen
}

// insert writes what slot InRequest added, [B, KVH, K, hd] of all its tokens, into a
// past that lies as l says.
func (n *net) insert(l layout, past, added []decoder.KV) []decoder.KV {
	dims := past[0].K.Shape().Dimensions
	b, heads, t, wide := dims[0], dims[1], dims[2], dims[3]
	position := BroadcastToDims(InsertAxes(Const(n.g, l.positions()), 0), b, t)
	put := func(old, fresh *Node) *Node {
		out := old
		for i := l.first; i < l.end; i++ {
			to := BroadcastToDims(InsertAxes(AddScalar(n.tokenAt(), int32(i)), 1), b, t)
			here := BroadcastToDims(InsertAxes(Equal(position, to), 1, -1), b, heads, t, wide)
			one := BroadcastToDims(SliceAxis(fresh, 2, AxisElem(i)), b, heads, t, wide)
			out = Where(here, one, out)
		}
		return out
	}
	out := make([]decoder.KV, len(past))
	for i := range past {
		out[i] = decoder.KV{K: put(past[i].K, added[i].K), V: put(past[i].V, added[i].V)}
	}
	return out
}

// stack joins the pasts of all windows, each given on its own, layer by layer.
func (n *net) stack(rows []*Node) []decoder.KV {
	b, size := n.in[batch.InPlace].Shape().Dimensions[0], 2*n.c.Decoder.Layers
	if len(rows) != b*size {
		panic(fmt.Errorf("spacetime: %d tensors of pasts for %d windows of %d", len(rows), b, size))
	}
	if b == 1 {
		return pairs(rows)
	}
	joined := make([]*Node, size)
	for i := range joined {
		parts := make([]*Node, b)
		for r := range parts {
			parts[r] = rows[r*size+i]
		}
		joined[i] = Concatenate(parts, 0)
	}
	return pairs(joined)
}

// apart takes the KV of B windows to pieces, window by window: what stack joins.
func apart(cache []decoder.KV) []*Node {
	all := list(cache)
	b := all[0].Shape().Dimensions[0]
	if b == 1 {
		return all
	}
	out := make([]*Node, 0, b*len(all))
	for r := range b {
		for _, x := range all {
			out = append(out, SliceAxis(x, 0, AxisElem(r)))
		}
	}
	return out
}

// yes is true everywhere, of the given dimensions.
func (n *net) yes(dims ...int) *Node { return BroadcastToDims(Const(n.g, true), dims...) }

// lower is the lower triangle of k new tokens with the diagonal, [B, K, K].
func lower(g *Graph, b, k int) *Node {
	flat := make([]bool, k*k)
	for i := range k {
		for j := 0; j <= i; j++ {
			flat[i*k+j] = true
		}
	}
	return BroadcastToDims(Reshape(Const(g, flat), 1, k, k), b, k, k)
}

// diagonal lets each of k new tokens see itself alone, [B, K, K].
func diagonal(g *Graph, b, k int) *Node {
	flat := make([]bool, k*k)
	for i := range k {
		flat[i*k+i] = true
	}
	return BroadcastToDims(Reshape(Const(g, flat), 1, k, k), b, k, k)
}

// upTo is 0, 1, ... n-1.
func upTo(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func list(cache []decoder.KV) []*Node {
	var out []*Node
	for _, kv := range cache {
		out = append(out, kv.K, kv.V)
	}
	return out
}

// last gives results that are made before the end of a graph a node at its end: the
// pure-Go engine numbers its nodes up to the last result and trips over later ones.
func last(results []*Node) []*Node {
	out := slices.Clone(results)
	out[len(out)-1] = Identity(out[len(out)-1])
	return out
}

func pairs(flat []*Node) []decoder.KV {
	out := make([]decoder.KV, len(flat)/2)
	for i := range out {
		out[i] = decoder.KV{K: flat[2*i], V: flat[2*i+1]}
	}
	return out
}
