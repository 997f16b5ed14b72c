package decoder_test

import (
	"fmt"
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
)

// tiny is the smallest decoder with more than one layer, head and frequency.
func tiny() decoder.Config {
	return decoder.Config{Layers: 2, Dim: 12, Heads: 4, KVHeads: 2, HeadDim: 4, FFN: 10, RopeTheta: 100, NormEps: 1e-5}
}

func layerPath(l int) string { return fmt.Sprintf("layers_%d/", l) }

// weightDims lists every variable by its path below the scope, written out here
// a second time so that a renamed or reshaped variable fails a test.
func weightDims(c decoder.Config) map[string][]int {
	dims := map[string][]int{"norm": {c.Dim}}
	for l := range c.Layers {
		p := layerPath(l)
		dims[p+"input_layernorm"] = []int{c.Dim}
		dims[p+"post_attention_layernorm"] = []int{c.Dim}
		dims[p+"self_attn/q_proj"] = []int{c.Dim, c.Heads * c.HeadDim}
		dims[p+"self_attn/k_proj"] = []int{c.Dim, c.KVHeads * c.HeadDim}
		dims[p+"self_attn/v_proj"] = []int{c.Dim, c.KVHeads * c.HeadDim}
		dims[p+"self_attn/o_proj"] = []int{c.Heads * c.HeadDim, c.Dim}
		dims[p+"mlp/gate_proj"] = []int{c.Dim, c.FFN}
		dims[p+"mlp/up_proj"] = []int{c.Dim, c.FFN}
		dims[p+"mlp/down_proj"] = []int{c.FFN, c.Dim}
		if c.QKNorm {
			dims[p+"self_attn/q_norm"] = []int{c.HeadDim}
			dims[p+"self_attn/k_norm"] = []int{c.HeadDim}
		}
	}
	return dims
}

// randomWeights are far from the initial ones: products of order one, so that
// every sub-layer matters, and norm weights around one but not one.
func randomWeights(c decoder.Config, seed uint64) map[string][]float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	dims := weightDims(c)
	w := make(map[string][]float64, len(dims))
	for _, name := range slices.Sorted(maps.Keys(dims)) {
		d := dims[name]
		if len(d) == 1 {
			w[name] = noise(rng, d[0], 0.3)
			for i := range w[name] {
				w[name][i]++
			}
			continue
		}
		w[name] = noise(rng, d[0]*d[1], 1.2/math.Sqrt(float64(d[0])))
	}
	return w
}

// noise returns n normal values, rounded to float32 so that all precisions start
// from equal numbers.
func noise(rng *rand.Rand, n int, std float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(float32(rng.NormFloat64() * std))
	}
	return out
}

// storeOf puts weights under /decoder of a new store.
func storeOf(t testing.TB, c decoder.Config, w map[string][]float64, dtype dtypes.DType) *model.Store {
	t.Helper()
	st := model.NewStore()
	dims := weightDims(c)
	for name, flat := range w {
		dir, base := model.SplitPath("/decoder/" + name)
		if _, err := st.Scope(dir).CreateVariable(base, floats(dtype, flat, dims[name]...)); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// floats makes a new tensor of the given precision.
func floats(dtype dtypes.DType, flat []float64, dims ...int) *tensors.Tensor {
	if dtype == dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(slices.Clone(flat), dims...)
	}
	small := make([]float32, len(flat))
	for i, v := range flat {
		small[i] = float32(v)
	}
	return tensors.FromFlatDataAndDimensions(small, dims...)
}

// values returns a tensor's content as float64.
func values(t *tensors.Tensor) []float64 {
	if t.DType() == dtypes.Float64 {
		return tensors.MustCopyFlatData[float64](t)
	}
	var out []float64
	for _, v := range tensors.MustCopyFlatData[float32](t) {
		out = append(out, float64(v))
	}
	return out
}

// call runs one graph function over args and returns its results as float64.
func call(be compute.Backend, st *model.Store, fn func(s *model.Scope, in []*Node) []*Node, args ...*tensors.Tensor) [][]float64 {
	anys := make([]any, len(args))
	for i, a := range args {
		anys[i] = a
	}
	var out [][]float64
	for _, t := range model.MustCallOnceN(be, st, fn, anys...) {
		out = append(out, values(t))
	}
	return out
}

// forwardOf runs Forward over x [b, n, D] with causal or given mask.
func forwardOf(be compute.Backend, st *model.Store, c decoder.Config, b, n int, x []float64, pos []int32, mask []bool) []float64 {
	args := []*tensors.Tensor{floats(dtypes.Float32, x, b, n, c.Dim), tensors.FromFlatDataAndDimensions(slices.Clone(pos), b, n)}
	if mask != nil {
		args = append(args, tensors.FromFlatDataAndDimensions(slices.Clone(mask), b, n, n))
	}
	return call(be, st, func(s *model.Scope, in []*Node) []*Node {
		inputs := decoder.Inputs{X: in[0], Positions: in[1]}
		if mask != nil {
			inputs.Mask = in[2]
		}
		return []*Node{decoder.Forward(s.At("decoder"), c, inputs)}
	}, args...)[0]
}

// rows cuts flat [n, d] into n rows.
func rows(flat []float64, d int) [][]float64 {
	var out [][]float64
	for chunk := range slices.Chunk(flat, d) {
		out = append(out, chunk)
	}
	return out
}

// iota32 returns b times 0..n-1.
func iota32(b, n int) []int32 {
	out := make([]int32, b*n)
	for i := range out {
		out[i] = int32(i % n)
	}
	return out
}

// relative returns |a-b| / |b| in the Euclidean norm.
func relative(a, b []float64) float64 {
	num, den := 0.0, 0.0
	for i := range a {
		num += (a[i] - b[i]) * (a[i] - b[i])
		den += b[i] * b[i]
	}
	return math.Sqrt(num / den)
}

// furthest returns the largest absolute difference; NaN counts as infinite.
func furthest(a, b []float64) float64 {
	worst := 0.0
	for i := range a {
		d := math.Abs(a[i] - b[i])
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst
}
