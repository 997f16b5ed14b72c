package ranker

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/decoder"
)

// Inputs of the graph, in order; shapes at arrays. Prediction has no label and
// no weight.
const (
	inRequest = iota
	inOption
	inDense
	inPast
	inPastAt
	inAt
	inLabel
	inWeight
)

// embedStd is the deviation of fresh embeddings.
const embedStd = 0.05

// Salts of dropout.
const (
	saltRequest = 501 + iota
	saltOption
	saltHidden // one for each layer from here
)

// Model is the network that training can fit (training.Model).
type Model struct {
	Config Config
	Rows   int       // V
	Mean   []float32 // of the dense features over the training requests, [X]
	Scale  []float32 // one over their deviation, [X]
	Prior  float32   // log-odds of a click in training: where the logits start
}

// AuxNames names the diagnostics of Loss.
func (m *Model) AuxNames() []string { return []string{"predicted"} }

// Loss is the mean binary cross entropy of the options; predicted is the mean
// probability of a click.
func (m *Model) Loss(s *model.Scope, inputs []*Node, noise *Node) (*Node, []*Node) {
	n := newNet(s, m, inputs, noise)
	logits, y, w := n.logits(), inputs[inLabel], inputs[inWeight]
	total := AddScalar(ReduceAllSum(w), 1e-6)
	zero := ZerosLike(logits)
	// -log sigmoid without overflow: max(l, 0) - l*y + log(1 + exp(-|l|)).
	each := Add(Sub(Max(logits, zero), Mul(logits, y)), Log1P(Exp(Neg(Abs(logits)))))
	mean := func(x *Node) *Node { return Div(ReduceAllSum(Mul(x, w)), total) }
	return mean(each), []*Node{mean(Sigmoid(logits))}
}

// Logits is the graph of prediction: the log-odds of a click, [R, O].
func (m *Model) Logits(s *model.Scope, inputs []*Node) *Node {
	return newNet(s, m, inputs, nil).logits()
}

// net is one graph under construction.
type net struct {
	c       Config
	m       *Model
	s       *model.Scope
	g       *Graph
	in      []*Node
	noise   *Node // nil outside training
	table   *Node // [V, D]
	r, o, d int
}

func newNet(s *model.Scope, m *Model, in []*Node, noise *Node) *net {
	dims := in[inOption].Shape().Dimensions
	n := &net{c: m.Config, m: m, s: s.At("ranker"), g: in[0].Graph(), in: in, r: dims[0], o: dims[1], d: m.Config.Dim}
	in[inRequest].AssertDims(n.r, requestFields)
	in[inOption].AssertDims(n.r, n.o, optionFields)
	in[inDense].AssertDims(n.r, n.o, len(m.Mean))
	in[inPast].AssertDims(n.r, n.c.History, pastRows)
	in[inPastAt].AssertDims(n.r, n.c.History, pastNumbers)
	in[inAt].AssertDims(n.r, n.o, 2)
	if noise != nil && s.IsTraining(n.g) {
		n.noise = MulScalar(noise, 1.0/16) // the hash wants less than 2^20
	}
	n.table = n.weight("embedding", embedStd, m.Rows, n.d)
	return n
}

// weight is a variable below the network's scope.
func (n *net) weight(name string, std float64, dims ...int) *Node {
	return decoder.Weight(n.s, n.g, dtypes.Float32, name, std, dims...)
}

// bias adds a vector to the last axis of x.
func (n *net) bias(name string, x *Node) *Node {
	dims := x.Shape().Dimensions
	b := n.weight(name, 0, dims[len(dims)-1])
	return Add(x, BroadcastToShape(ExpandLeftToRank(b, x.Rank()), x.Shape()))
}

// look gathers rows of a table [rows, w] by indices of any shape.
func look(table, indices *Node) *Node { return Gather(table, InsertAxes(indices, -1)) }

// dense multiplies the last axis of x by a fresh matrix.
func (n *net) dense(name string, x *Node, out int) *Node {
	dims := x.Shape().Dimensions
	in := dims[len(dims)-1]
	w := n.weight(name, 1/math.Sqrt(float64(in)), in, out)
	return Reshape(MatMul(Reshape(x, -1, in), w), append(slices.Clone(dims[:len(dims)-1]), out)...)
}

func (n *net) dropout(x *Node, rate float64, salt int) *Node {
	if n.noise == nil || rate == 0 {
		return x
	}
	return decoder.Dropout(x, n.noise, rate, salt)
}

// perOption repeats x [R, W] for every option, [R, O, W].
func (n *net) perOption(x *Node) *Node {
	w := x.Shape().Dimensions[1]
	return BroadcastToDims(InsertAxes(x, 1), n.r, n.o, w)
}

// logits are the log-odds of a click of every option, [R, O].
func (n *net) logits() *Node {
	request, option := look(n.table, n.in[inRequest]), look(n.table, n.in[inOption]) // [R, A, D], [R, O, F, D]
	out := AddScalar(n.firstOrder(), float64(n.m.Prior))
	if n.c.Interactions {
		out = Add(out, n.interactions(request, option))
	}
	return Add(out, n.perceptron(request, option))
}

// firstOrder is the sum of a weight for each field's value, [R, O].
func (n *net) firstOrder() *Node {
	w := n.weight("first", 0, n.m.Rows, 1)
	request := ReduceSum(Squeeze(look(w, n.in[inRequest]), -1), -1) // [R]
	option := ReduceSum(Squeeze(look(w, n.in[inOption]), -1), -1)   // [R, O]
	return Add(option, BroadcastToDims(InsertAxes(request, -1), n.r, n.o))
}

// interactions is the sum of the products of all pairs of fields, [R, O]: half of
// the square of their sum less the sum of their squares (Rendle 2010).
func (n *net) interactions(request, option *Node) *Node {
	sum := Add(ReduceSum(option, 2), n.perOption(ReduceSum(request, 1)))
	squares := Add(ReduceSum(Square(option), 2), n.perOption(ReduceSum(Square(request), 1)))
	return MulScalar(ReduceSum(Sub(Square(sum), squares), -1), 0.5)
}

// perceptron reads the fields, the dense features and what the attention found,
// [R, O]. The request's share of the first layer is computed once for all options.
func (n *net) perceptron(request, option *Node) *Node {
	parts := []*Node{n.dropout(Reshape(option, n.r, n.o, optionFields*n.d), n.c.FieldDropout, saltOption), n.standardised()}
	if n.c.Attention {
		parts = append(parts, n.attention(option)...)
	}
	own := n.dropout(Reshape(request, n.r, requestFields*n.d), n.c.FieldDropout, saltRequest)
	x := Add(n.dense("layer0", Concatenate(parts, -1), n.c.Hidden[0]), n.perOption(n.dense("layer0_request", own, n.c.Hidden[0])))
	for i, width := range n.c.Hidden {
		if i > 0 {
			x = n.dense(fmt.Sprintf("layer%d", i), x, width)
		}
		x = n.dropout(silu(n.bias(fmt.Sprintf("layer%d_bias", i), x)), n.c.Dropout, saltHidden+i)
	}
	return Squeeze(n.bias("out_bias", n.dense("out", x, 1)), -1)
}

// standardised are the dense features less their mean over their deviation,
// bounded so that a strange value cannot rule, [R, O, X].
func (n *net) standardised() *Node {
	x := n.in[inDense]
	row := func(v []float32) *Node { return BroadcastToShape(ExpandLeftToRank(Const(n.g, v), 3), x.Shape()) }
	return ClipScalar(Mul(Sub(x, row(n.m.Mean)), row(n.m.Scale)), -6, 6)
}

// attention sums the recent visits, each with a weight that a small network gives
// it for the option at hand (DIN; weights are not normalised, so that many
// fitting visits count for more than one). It returns the sum and its product
// with the option, each [R, O, 3D].
//
// DIN's network reads visit, option, their difference and product; difference and
// the two alone are linear in visit and option, so here each has one matrix.
func (n *net) attention(option *Node) []*Node {
	past, h, k := n.in[inPast], n.c.History, 3*n.d
	visits := n.described(look(n.table, past), pastPlace, pastCategory, pastHour, pastType) // [R, H, K]
	hour := n.perOption(look(n.table, Squeeze(SliceAxis(n.in[inRequest], 1, AxisElem(fieldHour)), 1)))
	place := n.described(option, fieldPlace, fieldCategory)
	options := Concatenate([]*Node{place, hour}, -1) // [R, O, K]

	four := func(x *Node, axis, width int) *Node { return BroadcastToDims(InsertAxes(x, axis), n.r, n.o, h, width) }
	hidden := n.c.AttentionHidden
	both := Mul(four(visits, 1, k), four(options, 2, k))
	z := n.dense("attention_product", both, hidden)
	z = Add(z, four(n.dense("attention_visit", visits, hidden), 1, hidden))
	z = Add(z, four(n.dense("attention_option", options, hidden), 2, hidden))
	z = Add(z, n.dense("attention_gap", n.gaps(), hidden))
	weights := n.bias("attention_out_bias", n.dense("attention_out", silu(n.bias("attention_bias", z)), 1))
	weights = Reshape(weights, n.r, n.o, h)
	padding := Equal(Squeeze(SliceAxis(past, 2, AxisElem(pastPlace)), 2), ScalarZero(n.g, dtypes.Int32)) // [R, H]
	weights = Where(BroadcastToDims(InsertAxes(padding, 1), n.r, n.o, h), ZerosLike(weights), weights)
	sum := MulScalar(DotGeneral(weights, []int{2}, []int{0}, visits, []int{1}, []int{0}), 1/math.Sqrt(float64(h))) // [R, O, K]
	return []*Node{sum, Mul(sum, options)}
}

// described joins the embeddings of a place, of its category's levels and, if
// given, the sum of the others along axis -2: [..., fields, D] to [..., 2D or 3D].
func (n *net) described(x *Node, place, category int, others ...int) *Node {
	take := func(from, to int) *Node { return ReduceSum(SliceAxis(x, -2, AxisRange(from, to)), -2) }
	parts := []*Node{take(place, place+1), take(category, category+categoryLevels)}
	if len(others) > 0 {
		parts = append(parts, take(others[0], others[len(others)-1]+1))
	}
	return Concatenate(parts, -1)
}

// gaps are the numbers of every pair of option and visit, [R, O, H, 3]: log
// distance and log age, brought to order one, and likeness of the hour.
func (n *net) gaps() *Node {
	h := n.c.History
	column := func(x *Node, i int) *Node { return Squeeze(SliceAxis(x, 2, AxisElem(i)), 2) }
	pair := func(x *Node, axis int) *Node { return BroadcastToDims(InsertAxes(x, axis), n.r, n.o, h) }
	at, past := n.in[inAt], n.in[inPastAt]
	dx := Sub(pair(column(past, pastX), 1), pair(column(at, 0), 2))
	dy := Sub(pair(column(past, pastY), 1), pair(column(at, 1), 2))
	far := Log1P(Sqrt(Add(Square(dx), Square(dy))))
	age := pair(column(past, pastAge), 1)
	return Stack([]*Node{MulScalar(far, 0.25), MulScalar(age, 0.25), pair(column(past, pastClock), 1)}, -1)
}

func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }
