package training

import (
	"context"
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

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/run"
)

const toyFeatures, toyHidden = 4, 8

// toyModel is a regression with one hidden layer, an embedding-like vector and
// dropout from the noise seed. Weights start from a fixed seed on the host.
type toyModel struct{ dropout bool }

func (toyModel) AuxNames() []string { return []string{"mean_abs"} }

// Loss: x [B,4], y [B] -> mean (y - f(x))^2.
func (m toyModel) Loss(s *model.Scope, inputs []*Node, noise *Node) (*Node, []*Node) {
	x, y := inputs[0], inputs[1]
	g := x.Graph()
	net := s.In("net")
	w1 := net.VariableWithValue("w1", fixedWeights(1, toyFeatures, toyHidden)).NodeValue(g)
	b1 := net.VariableWithValue("b1", fixedWeights(2, toyHidden)).NodeValue(g)
	w2 := s.In("head").VariableWithValue("w2", fixedWeights(3, toyHidden, 1)).NodeValue(g)
	h := Tanh(Add(Dot(x, w1).Product(), ExpandLeftToRank(b1, 2)))
	if m.dropout {
		// A hash by sine is enough to make every step depend on the noise.
		at := Mul(Iota(g, h.Shape(), 1), Sin(MulScalar(noise, 1e-3)))
		h = Mul(h, AddScalar(MulScalar(Sin(AddScalar(at, 1.5)), 0.3), 1))
	}
	d := Sub(Reshape(Dot(h, w2).Product(), y.Shape().Dim(0)), y)
	return ReduceAllMean(Square(d)), []*Node{ReduceAllMean(Abs(d))}
}

func fixedWeights(seed uint64, dims ...int) *tensors.Tensor {
	rng := rand.New(rand.NewPCG(seed, 7))
	n := 1
	for _, d := range dims {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(rng.NormFloat64() * 0.4)
	}
	return tensors.FromFlatDataAndDimensions(data, dims...)
}

// toyBatches draws rows of y = sin(x0) + x1 x2; sizes alternate when two are given.
type toyBatches struct {
	steps int
	sizes []int
	one   bool // the same batch always
	bad   func(epoch, step int, b *Batch)
}

func (t toyBatches) Steps(int) int { return t.steps }

func (t toyBatches) Batch(_ context.Context, epoch, step int) (Batch, error) {
	n := t.sizes[step%len(t.sizes)]
	first := (epoch*t.steps + step) * n
	if t.one {
		first = 0
	}
	b := rows(first, n)
	if t.bad != nil {
		t.bad(epoch, step, &b)
	}
	return b, nil
}

// rows returns rows first to first+n of an endless fixed table.
func rows(first, n int) Batch {
	x, y := make([]float32, 0, n*toyFeatures), make([]float32, 0, n)
	for r := first; r < first+n; r++ {
		rng := rand.New(rand.NewPCG(uint64(r), 99))
		var v [toyFeatures]float64
		for i := range v {
			v[i] = rng.NormFloat64()
			x = append(x, float32(v[i]))
		}
		y = append(y, float32(math.Sin(v[0])+v[1]*v[2]))
	}
	return Batch{Inputs: []Array{{x, []int{n, toyFeatures}}, {y, []int{n}}}, Weight: float64(n), Tokens: n}
}

func toyConfig() Config {
	c := Defaults()
	c.Epochs, c.LR, c.MinLR, c.Warmup, c.Decay = 3, 0.05, 0.005, 3, 0.1
	c.LogEvery, c.KeepBest, c.LowerIsBetter, c.CheckpointMinutes = 2, "loss", true, 0
	return c
}

// toyValidate returns the squared sum of the weights in the store: any number
// that depends on them.
func toyValidate(_ context.Context, store *model.Store) (map[string]float64, error) {
	total := 0.0
	all := weights(store, IsModelPath)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		for _, x := range all[path] {
			total += float64(x) * float64(x)
		}
	}
	return map[string]float64{"loss": total}, nil
}

// weights copies the float32 variables that keep accepts.
func weights(store *model.Store, keep func(string) bool) map[string][]float32 {
	out := map[string][]float32{}
	for v := range store.IterVariables() {
		if keep(v.Path()) && v.DType() == dtypes.Float32 {
			out[v.Path()] = tensors.MustCopyFlatData[float32](v.MustValue())
		}
	}
	return out
}

func toyOptions(backend compute.Backend) Options {
	return Options{Backend: backend, Store: model.NewStore(), Model: toyModel{}, Batches: toyBatches{steps: 5, sizes: []int{8}},
		Validate: toyValidate, Progress: Progress{Mode: "none"}}
}

func newRun(t *testing.T) *run.Run {
	t.Helper()
	recipe := []byte("training: {}\n")
	meta := run.NewMeta("toy", recipe)
	meta.DataFingerprint, meta.IndexFingerprint = "data-1", "index-1"
	r, err := run.Create(t.TempDir()+"/run", meta, recipe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func mustTrain(t *testing.T, o Options, cfg Config) Result {
	t.Helper()
	res, err := Train(context.Background(), o, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// eachBackend runs a test on every backend of this machine, with the update on
// the host and in the graph.
func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend, update string)) {
	for name, b := range testkit.Backends(t) {
		for _, update := range []string{"host", "graph"} {
			t.Run(name+"/"+update, func(t *testing.T) { f(t, b, update) })
		}
	}
}
