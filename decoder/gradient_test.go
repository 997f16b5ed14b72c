package decoder_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/oracle"
	"github.com/whereto/whereto/internal/testkit"
)

// gradCase is one loss, sum(r * hidden) with fixed random r, and all that it
// depends on.
type gradCase struct {
	c      decoder.Config
	b, n   int
	w      map[string][]float64 // with "x" and "bias" among them, by the same rules
	r      []float64
	pos    []int32
	inputs []string // names of w, sorted
}

func newGradCase(qkNorm bool) gradCase {
	c := tiny()
	c.QKNorm = qkNorm
	g := gradCase{c: c, b: 2, n: 4, w: randomWeights(c, 21)}
	rng := rand.New(rand.NewPCG(22, 23))
	g.w["x"] = noise(rng, g.b*g.n*c.Dim, 1)
	g.w["bias"] = noise(rng, g.b*c.Heads*g.n*g.n, 1)
	g.r = noise(rng, g.b*g.n*c.Dim, 1)
	g.pos = []int32{0, 1, 2, 3, 4, 2, 9, 9}
	g.inputs = slices.Sorted(maps.Keys(g.w))
	return g
}

// loss is computed by the oracle.
func (g gradCase) loss() float64 {
	o, d := oracle.NewDecoder(g.c, g.w), g.c.Dim
	sum := 0.0
	for i := range g.b {
		y := o.Forward(rows(g.w["x"][i*g.n*d:(i+1)*g.n*d], d), g.pos[i*g.n:(i+1)*g.n],
			func(q, k int) bool { return k <= q },
			func(h, q, k int) float64 { return g.w["bias"][((i*g.c.Heads+h)*g.n+q)*g.n+k] })
		for t := range y {
			sum += oracle.Dot(y[t], g.r[(i*g.n+t)*d:(i*g.n+t+1)*d])
		}
	}
	return sum
}

// graphGradients returns the loss and its gradients, in the order of g.inputs.
func (g gradCase) graphGradients(t *testing.T, be compute.Backend, dtype dtypes.DType) (float64, [][]float64) {
	t.Helper()
	weights := maps.Clone(g.w)
	delete(weights, "x")
	delete(weights, "bias")
	out := call(be, storeOf(t, g.c, weights, dtype), func(s *model.Scope, in []*Node) []*Node {
		s.Store().SetTraining(in[0].Graph(), true)
		y := decoder.Forward(s.At("decoder"), g.c, decoder.Inputs{X: in[0], Positions: in[1], Bias: in[2]})
		loss := ReduceAllSum(Mul(y, in[3]))
		var wrt []*Node
		for _, name := range g.inputs {
			switch name {
			case "x":
				wrt = append(wrt, in[0])
			case "bias":
				wrt = append(wrt, in[2])
			default:
				wrt = append(wrt, s.Store().GetVariable("/decoder/"+name).NodeValue(in[0].Graph()))
			}
		}
		return append([]*Node{loss}, Gradient(loss, wrt...)...)
	}, floats(dtype, g.w["x"], g.b, g.n, g.c.Dim), tensors.FromFlatDataAndDimensions(slices.Clone(g.pos), g.b, g.n),
		floats(dtype, g.w["bias"], g.b, g.c.Heads, g.n, g.n), floats(dtype, g.r, g.b, g.n, g.c.Dim))
	return out[0][0], out[1:]
}

// check compares loss and gradients of the graph with the oracle's.
func (g gradCase) check(t *testing.T, be compute.Backend, dtype dtypes.DType, want [][]float64, limit float64) {
	t.Helper()
	loss, got := g.graphGradients(t, be, dtype)
	if e := math.Abs(loss-g.loss()) / math.Abs(g.loss()); !(e < limit) {
		t.Errorf("loss %g, oracle %g", loss, g.loss())
	}
	for i, name := range g.inputs {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("%s: gradient of %d values, want %d", name, len(got[i]), len(want[i]))
		}
		if e := relative(got[i], want[i]); !(e < limit) {
			t.Errorf("%s: relative error of the gradient %.2g, want < %g", name, e, limit)
		}
	}
}

// Every element of every gradient against central differences of the float64
// oracle: of each weight, of the embeddings and of the attention bias. On "go"
// in float64 too, where only the differences themselves are inexact.
func TestGradientsEqualFiniteDifferences(t *testing.T) {
	const step = 1e-5
	for _, qkNorm := range []bool{false, true} {
		g := newGradCase(qkNorm)
		want := make([][]float64, len(g.inputs))
		for i, name := range g.inputs {
			w := g.w[name]
			want[i] = make([]float64, len(w))
			for j, old := range w {
				w[j] = old + step
				up := g.loss()
				w[j] = old - step
				want[i][j] = (up - g.loss()) / (2 * step)
				w[j] = old
			}
		}
		for name, be := range testkit.Backends(t) {
			t.Run(name+"/derived"+map[bool]string{true: "/query-key norm"}[qkNorm], func(t *testing.T) {
				t.Setenv(FusionEnv, "0") // the gradients GoMLX derives where ours cannot be put in
				g.check(t, be, dtypes.Float32, want, 1e-4)
			})
			for _, dtype := range []dtypes.DType{dtypes.Float32, dtypes.Float64} {
				limit := 1e-4
				if dtype == dtypes.Float64 {
					limit = 1e-7
				}
				if dtype == dtypes.Float64 && name != "go" {
					continue // ONNX Runtime has no float64 kernel for some of the operations
				}
				t.Run(name+"/"+dtype.String()+map[bool]string{true: "/query-key norm"}[qkNorm], func(t *testing.T) {
					g.check(t, be, dtype, want, limit)
				})
			}
		}
	}
}
