package objective_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/objective"
)

// loss is one loss under test: its graph on (a, b, first, second, w) and its oracle.
type loss struct {
	name   string
	graph  func(in []*Node) *Node
	oracle func(p *problem) float64
}

const (
	tau  = 0.4
	beta = 0.7
)

var losses = []loss{
	{"InfoNCE", func(in []*Node) *Node { return objective.InfoNCE(in[0], in[2], in[3], in[4], tau) },
		func(p *problem) float64 { return p.infoNCE(tau) }},
	{"Binary", func(in []*Node) *Node { return objective.Binary(in[0], in[1], in[3], in[4]) }, (*problem).binary},
	{"DPO mean", dpo(beta, objective.Mean), func(p *problem) float64 { return p.dpo(beta, true) }},
	{"DPO sum", dpo(beta, objective.Sum), func(p *problem) float64 { return p.dpo(beta, false) }},
	{"SDPO mean", sdpo(beta, objective.Mean), func(p *problem) float64 { return p.sdpo(beta, true) }},
	{"SDPO sum", sdpo(beta, objective.Sum), func(p *problem) float64 { return p.sdpo(beta, false) }},
}

// surprise takes log-probabilities as they are, so that it knows no shift and no lower
// bound.
var surprise = loss{"Surprise", func(in []*Node) *Node { return objective.Surprise(in[0], in[2], in[3], in[4]) }, (*problem).surprise}

func dpo(beta float64, r objective.Reduction) func(in []*Node) *Node {
	return func(in []*Node) *Node { return objective.DPO(in[0], in[1], in[2], in[3], in[4], beta, r) }
}

func sdpo(beta float64, r objective.Reduction) func(in []*Node) *Node {
	return func(in []*Node) *Node { return objective.SDPO(in[0], in[1], in[2], in[3], in[4], beta, r) }
}

func named(name string) loss {
	return losses[slices.IndexFunc(losses, func(l loss) bool { return l.name == name })]
}

// bench runs graphs on one backend in one dtype, compiling each once.
type bench struct {
	be    compute.Backend
	dtype dtypes.DType
	tol   float64 // relative to 1 + |value|
	execs map[string]*Exec
}

// benches are shared by all tests of the package: compiling takes longer than running.
var benches map[string]*bench

// eachBench runs a test on every backend in float32, and on "go" in float64 too:
// the second shows that the formulas are right to the last digits, the first that
// they survive the precision that training has.
func eachBench(t *testing.T, test func(t *testing.T, b *bench)) {
	if benches == nil {
		benches = map[string]*bench{}
		for name, be := range testkit.Backends(t) {
			benches[name+"/float32"] = &bench{be, dtypes.Float32, 3e-5, map[string]*Exec{}}
			if name == "go" {
				benches["go/float64"] = &bench{be, dtypes.Float64, 1e-9, map[string]*Exec{}}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(benches)) {
		t.Run(name, func(t *testing.T) { test(t, benches[name]) })
	}
}

// run evaluates a graph on a problem; name is the key under which it is compiled.
func (b *bench) run(name string, fn func(in []*Node) []*Node, p *problem) [][]float64 {
	if b.execs[name] == nil {
		b.execs[name] = MustNewExec(b.be, fn)
	}
	var out [][]float64
	for _, x := range b.execs[name].MustExec(b.inputs(p)...) {
		out = append(out, wide(x))
	}
	return out
}

func (b *bench) inputs(p *problem) []any {
	floats := func(v []float64, dims ...int) any {
		if b.dtype == dtypes.Float64 {
			return tensors.FromFlatDataAndDimensions(slices.Clone(v), dims...)
		}
		narrow := make([]float32, len(v))
		for i, x := range v {
			narrow[i] = float32(x)
		}
		return tensors.FromFlatDataAndDimensions(narrow, dims...)
	}
	bools := func(v []bool) any { return tensors.FromFlatDataAndDimensions(slices.Clone(v), p.rows, p.columns) }
	return []any{floats(p.a, p.rows, p.columns), floats(p.b, p.rows, p.columns), bools(p.first), bools(p.second), floats(p.w, p.rows)}
}

func wide(x *tensors.Tensor) []float64 {
	if x.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](x)
	}
	var out []float64
	for _, v := range tensors.MustCopyFlatData[float32](x) {
		out = append(out, float64(v))
	}
	return out
}

// answer is a loss and its gradients by the arrays a, b and w.
type answer struct {
	loss    float64
	a, b, w []float64
}

func (b *bench) solve(l loss, p *problem) answer {
	full := p.inFrame()
	out := b.run(l.name, func(in []*Node) []*Node {
		x := l.graph(in)
		return append([]*Node{x}, Gradient(x, in[0], in[1], in[4])...)
	}, full)
	cut := func(v []float64) []float64 {
		var kept []float64
		for r := range p.rows {
			kept = append(kept, v[r*full.columns:r*full.columns+p.columns]...)
		}
		return kept
	}
	return answer{loss: out[0][0], a: cut(out[1]), b: cut(out[2]), w: out[3][:p.rows]}
}

// Drawn problems are small; all others are padded to the frame, so that
// each loss is compiled for two shapes only.
const smallRows, smallColumns, frameRows, frameColumns = 3, 5, 4, 7

// inFrame pads a problem with rows and columns that do not count.
func (p *problem) inFrame() *problem {
	if p.rows == smallRows && p.columns == smallColumns {
		return p
	}
	const n = frameRows * frameColumns
	q := &problem{rows: frameRows, columns: frameColumns, a: zeros(n), b: zeros(n), w: zeros(frameRows),
		first: make([]bool, n), second: make([]bool, n)}
	copy(q.w, p.w)
	for r := range p.rows {
		for c := range p.columns {
			at, from := r*frameColumns+c, r*p.columns+c
			q.a[at], q.b[at], q.first[at], q.second[at] = p.a[from], p.b[from], p.first[from], p.second[from]
		}
	}
	return q
}

func zeros(n int) []float64 { return make([]float64, n) }

func (b *bench) near(got, want float64) bool {
	return math.Abs(got-want) <= b.tol*(1+math.Abs(want))
}

func (b *bench) same(got, want []float64) bool {
	return slices.EqualFunc(got, want, b.near)
}

// drawProblem draws a batch of 3 x 5 whose float32 form is exact, with rows that do
// not count and candidates in neither or both masks.
func drawProblem(t *rapid.T) *problem {
	const n = smallRows * smallColumns
	eighths := func(lo, hi int) *rapid.Generator[float64] {
		return rapid.Map(rapid.IntRange(lo, hi), func(x int) float64 { return float64(x) / 8 })
	}
	return &problem{rows: smallRows, columns: smallColumns,
		a:      rapid.SliceOfN(eighths(-24, 24), n, n).Draw(t, "a"),
		b:      rapid.SliceOfN(eighths(0, 8), n, n).Draw(t, "b"),
		first:  rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "first"),
		second: rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "second"),
		w:      rapid.SliceOfN(rapid.SampledFrom([]float64{0, 1, 0.5, 3}), smallRows, smallRows).Draw(t, "w")}
}

func (p *problem) clone() *problem {
	q := *p
	q.a, q.b, q.w = slices.Clone(p.a), slices.Clone(p.b), slices.Clone(p.w)
	q.first, q.second = slices.Clone(p.first), slices.Clone(p.second)
	return &q
}

// slope is the central difference of the oracle by v[i], an array of p.
func slope(oracle func(p *problem) float64, p *problem, v []float64, i int) float64 {
	const step = 1e-5
	old := v[i]
	v[i] = old + step
	up := oracle(p)
	v[i] = old - step
	down := oracle(p)
	v[i] = old
	return (up - down) / (2 * step)
}
