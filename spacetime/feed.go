package spacetime

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
)

// A feed batch (package batch) is run as one sequence a window: the profile and the
// actions as in pre-training, then the u token of each of the M requests, then the
// tokens of each request's C options, (block, inner) or (place). They stand where
// the user's next action would: every request right after the actions before it,
// all its options at the same positions. A request sees these actions; an option
// sees what its request sees, the request and itself (paper section 3.2.2,
// Generative Ranking SFT: masked from each other, equal positions).

// feed is a network under construction over a feed batch.
type feed struct {
	*net
	asks, shows int   // requests of a window M, options of a request C
	width       int   // tokens of an option
	span        int   // tokens of the window alone, T
	at          *Node // [B, M] token position of each request
	interest    int   // width of the traits, I
}

func newFeed(s *model.Scope, model *Model, in []*Node, noise *Node) *feed {
	n := newNet(s, model.Config, model.Tables, in, noise)
	dims := in[batch.FeedOption].Shape().Dimensions
	f := &feed{net: n, asks: dims[1], shows: dims[2], width: 1}
	if n.t.Hier {
		f.width = 2
	}
	f.span = n.whole().size()
	f.at = AddScalar(MulScalar(in[batch.FeedAt], int32(n.c.perAction(n.t))), int32(n.t.Profile))
	return f
}

// users are the hidden states at the requests, [B, M, D], without any option.
func (f *feed) users() *Node {
	hidden := f.pass(false)
	return SliceAxis(hidden, 1, AxisRange(f.span, f.span+f.asks))
}

// options are the hidden states at the requests [B, M, D] and at each of the width
// tokens of the options, [B, M, C, D].
func (f *feed) options() (users *Node, at []*Node) {
	hidden := f.pass(true)
	b := hidden.Shape().Dimensions[0]
	users = SliceAxis(hidden, 1, AxisRange(f.span, f.span+f.asks))
	rest := Reshape(SliceAxis(hidden, 1, AxisRange(f.span+f.asks)), b, f.asks, f.shows, f.width, f.d)
	for i := range f.width {
		at = append(at, Squeeze(SliceAxis(rest, 3, AxisElem(i)), 3))
	}
	return users, at
}

// pass runs the decoder over windows, requests and, if asked, options.
func (f *feed) pass(options bool) *Node {
	window := f.tokens(f.media(f.in[batch.FeedMedia]))
	b := window.Shape().Dimensions[0]
	extra := []*Node{f.dropout(f.role(f.request(f.in[batch.FeedTimes], f.in[batch.FeedCells]), 0), 103)}
	place := []*Node{f.at}
	if options {
		extra = append(extra, Reshape(f.shown(), b, f.asks*f.shows*f.width, f.d))
		next := BroadcastToDims(InsertAxes(f.at, -1, -1), b, f.asks, f.shows, f.width)
		step := make([]int32, f.width)
		for i := range step {
			step[i] = int32(i + 1)
		}
		next = Add(next, BroadcastToShape(Reshape(Const(f.g, step), 1, 1, 1, f.width), next.Shape()))
		place = append(place, Reshape(next, b, f.asks*f.shows*f.width))
	}
	in := decoder.Inputs{X: Concatenate(append([]*Node{window}, extra...), 1),
		Positions:   Concatenate(append([]*Node{f.positions(f.whole())}, place...), 1),
		Mask:        f.see(b, options),
		DropoutSeed: f.noise}
	if f.c.SpacetimeBias {
		in.Bias = f.lean(b, options)
	}
	hidden, _ := decoder.Prefill(f.s.At("decoder"), f.c.Decoder, in)
	return hidden
}

// media is what the media vectors [..., X] add to the tokens of places, nil where
// the recipe has none (paper section 3.2.2, Multimodal POI Embeddings).
func (f *feed) media(vectors *Node) *Node {
	if f.t.Media == 0 {
		return nil
	}
	return f.project(vectors)
}

// shown are the input tokens of the options, [B, M, C, width, D].
func (f *feed) shown() *Node {
	place := f.in[batch.FeedOption]
	from := BroadcastToShape(InsertAxes(f.in[batch.FeedFrom], 2), f.in[batch.FeedSpot].Shape())
	extra := f.withWay(f.media(f.in[batch.FeedShow]), from, f.in[batch.FeedSpot])
	return f.dropout(Stack(f.tokensOf(place, extra), 3), 105)
}

// see is the mask: requests and options as told above, [B, S, S].
func (f *feed) see(b int, options bool) *Node {
	n, t, e := f.net, f.span, f.extras(options)
	top := Concatenate([]*Node{n.mask(n.whole(), n.whole()), f.none(b, t, e)}, 2)
	left := f.repeat(f.past(b), b, options) // [B, E, T]
	right := BroadcastToDims(ConstCachedTensor(f.g, tensors.FromFlatDataAndDimensions(f.pattern(options), 1, e, e)), b, e, e)
	return Concatenate([]*Node{top, Concatenate([]*Node{left, right}, 2)}, 1)
}

// extras is the number of tokens after the window's.
func (f *feed) extras(options bool) int {
	if options {
		return f.asks + f.asks*f.shows*f.width
	}
	return f.asks
}

func (f *feed) none(b, q, k int) *Node {
	return BroadcastToDims(ConstCachedTensor(f.g, tensors.FromFlatDataAndDimensions(make([]bool, q*k), 1, q, k)), b, q, k)
}

// past is what each request sees of its window, [B, M, T].
func (f *feed) past(b int) *Node {
	l, t := f.whole(), f.span
	action, visible := f.visible(l)
	grow := func(x *Node) *Node { return BroadcastToDims(InsertAxes(x, 1), b, f.asks, t) }
	of := BroadcastToDims(Reshape(Const(f.g, action), 1, 1, t), b, f.asks, t)
	at := BroadcastToDims(InsertAxes(f.in[batch.FeedAt], 2), b, f.asks, t)
	seen := And(And(LessThan(of, at), grow(f.real(l))), BroadcastToDims(Reshape(Const(f.g, visible), 1, 1, t), b, f.asks, t))
	if !f.c.WholeHistory {
		segment := grow(f.segments(l))
		own := BroadcastToDims(InsertAxes(f.in[batch.FeedSegment], 2), b, f.asks, t)
		seen = And(seen, Or(Equal(segment, own), isProfile(segment)))
	}
	return seen
}

// repeat gives rows of requests [B, M, K] also to the tokens of their options,
// [B, E, K].
func (f *feed) repeat(x *Node, b int, options bool) *Node {
	if !options {
		return x
	}
	k, each := x.Shape().Dimensions[2], f.shows*f.width
	rows := Reshape(BroadcastToDims(InsertAxes(x, 2), b, f.asks, each, k), b, f.asks*each, k)
	return Concatenate([]*Node{x, rows}, 1)
}

// pattern says what requests and options see of each other, [E, E]: themselves,
// their request, and the tokens before them of the same option.
func (f *feed) pattern(options bool) []bool {
	e := f.extras(options)
	out := make([]bool, e*e)
	each := f.shows * f.width
	for q := range e {
		out[q*e+q] = true
		if q < f.asks {
			continue
		}
		request, option, token := (q-f.asks)/each, (q-f.asks)/f.width, (q-f.asks)%f.width
		out[q*e+request] = true
		for before := range token {
			out[q*e+f.asks+option*f.width+before] = true
		}
	}
	return out
}

// lean is the attention bias, [B, H, S, S]: among actions as in pre-training; of a
// request towards actions by its own time and place; of an option as its request;
// towards tokens of the same moment that of no gap and no way.
func (f *feed) lean(b int, options bool) *Node {
	n, t, e, h := f.net, f.span, f.extras(options), f.c.Decoder.Heads
	l := n.whole()
	top := Concatenate([]*Node{n.bias(l, l, n.near()), zeros(f.g, b, h, t, e)}, 3)
	gap := Abs(Sub(InsertAxes(f.in[batch.InClock], 1), InsertAxes(f.in[batch.FeedClock], 2))) // [B, M, N]
	rows := l.repeat(n.nearness(gap, distances(f.in[batch.FeedFrom], f.in[batch.InAt])), 3, 0.0)
	left := rows
	if options {
		each := f.shows * f.width
		left = Concatenate([]*Node{rows, Reshape(BroadcastToDims(InsertAxes(rows, 3), b, h, f.asks, each, t), b, h, f.asks*each, t)}, 2)
	}
	right := BroadcastToDims(n.here(), b, h, e, e)
	return Concatenate([]*Node{top, Concatenate([]*Node{left, right}, 3)}, 2)
}

// tower is the hidden state of places seen alone, the last of (block, inner) or of
// (place): places [X], media vectors [X, W], [X, D] (paper section 3.2.2,
// Embedding-Based Ranking SFT).
func (f *feed) tower(place, vectors *Node) *Node {
	parts := f.tokensOf(place, f.media(vectors))
	x := f.dropout(Stack(parts, 1), 107)
	rows := x.Shape().Dimensions[0]
	causal := make([]bool, f.width*f.width)
	for q := range f.width {
		for k := range q + 1 {
			causal[q*f.width+k] = true
		}
	}
	hidden, _ := decoder.Prefill(f.s.At("decoder"), f.c.Decoder, decoder.Inputs{X: x, Positions: BroadcastToDims(InsertAxes(Const(f.g, upTo(f.width)), 0), rows, f.width),
		Mask:        BroadcastToDims(InsertAxes(Const(f.g, square(causal, f.width)), 0), rows, f.width, f.width),
		DropoutSeed: f.noise})
	return Squeeze(SliceAxis(hidden, 1, AxisElem(f.width-1)), 1)
}

// square cuts a flat matrix into rows of width.
func square(flat []bool, width int) [][]bool {
	var out [][]bool
	for i := 0; i < len(flat); i += width {
		out = append(out, flat[i:i+width])
	}
	return out
}
