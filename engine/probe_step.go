package engine

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// stepShape is the size of the probe's network: pre-norm blocks of one-headed
// causal attention and a two-layer feed-forward part, trained by plain gradient
// descent to reproduce its input. It has the products of a real decoder in
// their usual proportions; its quality is of no interest.
type stepShape struct {
	batch, length int // sequences, tokens each
	dim, hidden   int
	layers        int
}

// probeShape is near the New York recipe: 512 tokens, d 128, 2 layers.
var probeShape = stepShape{batch: 4, length: 128, dim: 128, hidden: 512, layers: 2}

// weights of one layer: q, k, v, o, up, down.
const perLayer = 6

func (s stepShape) tokens() int { return s.batch * s.length }

// flops of one training step: the backward pass costs twice the forward pass.
func (s stepShape) flops() float64 {
	perToken := 2 * float64(4*s.dim*s.dim+2*s.dim*s.hidden) // projections and feed-forward
	perToken += 2 * float64(2*s.length*s.dim)               // scores and weighted sum, mask not exploited
	return 3 * float64(s.layers*s.tokens()) * perToken
}

// state is the input [batch length dim] followed by the weights of each layer.
func (s stepShape) state() []*tensors.Tensor {
	out := []*tensors.Tensor{filled(s.tokens()*s.dim, 2, s.batch, s.length, s.dim)}
	for range s.layers {
		for range 4 {
			out = append(out, filled(s.dim*s.dim, 2/math.Sqrt(float64(s.dim)), s.dim, s.dim))
		}
		out = append(out,
			filled(s.dim*s.hidden, 2/math.Sqrt(float64(s.dim)), s.dim, s.hidden),
			filled(s.hidden*s.dim, 2/math.Sqrt(float64(s.hidden)), s.hidden, s.dim))
	}
	return out
}

// step builds the graph of one training step: loss, then the new weights.
func (s stepShape) step(state []*graph.Node) []*graph.Node {
	input, weights := state[0], state[1:]
	x := input
	for l := range s.layers {
		x = s.block(x, weights[l*perLayer:(l+1)*perLayer])
	}
	diff := graph.Sub(x, graph.Neg(input)) // away from the identity, so that there is something to learn
	loss := graph.ReduceAllMean(graph.Mul(diff, diff))
	out := []*graph.Node{loss}
	for i, g := range graph.Gradient(loss, weights...) {
		out = append(out, graph.Sub(weights[i], graph.MulScalar(g, 0.01)))
	}
	return out
}

// block maps [batch length dim] to the same shape.
func (s stepShape) block(x *graph.Node, w []*graph.Node) *graph.Node {
	h := norm(x)
	q, k, v := project(h, w[0]), project(h, w[1]), project(h, w[2])
	scores := graph.MulScalar(graph.Einsum("bqd,bkd->bqk", q, k), 1/math.Sqrt(float64(s.dim)))
	seen := graph.ConvertDType(graph.LowerTriangular(x.Graph(), s.length), dtypes.Float32)
	hide := graph.MulScalar(graph.OneMinus(seen), -1e9)
	scores = graph.Add(scores, graph.ExpandAxes(hide, 0)) // [batch length length] + [1 length length]
	x = graph.Add(x, project(graph.Einsum("bqk,bkd->bqd", graph.Softmax(scores), v), w[3]))
	up := project(norm(x), w[4])
	return graph.Add(x, project(graph.Mul(up, graph.Sigmoid(up)), w[5]))
}

// project is x [batch length in] times w [in out].
func project(x, w *graph.Node) *graph.Node { return graph.Einsum("bli,io->blo", x, w) }

// norm divides by the root mean square over the last axis.
func norm(x *graph.Node) *graph.Node {
	mean := graph.ReduceAndKeep(graph.Mul(x, x), graph.ReduceMean, -1)
	return graph.Div(x, graph.Sqrt(graph.AddScalar(mean, 1e-5)))
}
