package decoder

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/model/initializer"
)

// initStd is the standard deviation of fresh weights (GPT-2, Llama, Qwen3).
const initStd = 0.02

// Weight returns the value of the variable name of scope s in the graph g,
// created on first use with normal(0, std) values.
//
// The values depend on the store's model.ParamInitialSeed (0 if unset) and on
// the variable's path only: not on the backend, and not on which other variables
// exist, so that two ablations start from equal shared weights.
func Weight(s *model.Scope, g *Graph, dtype dtypes.DType, name string, std float64, dims ...int) *Node {
	path := model.JoinPath(s.Scope(), name)
	seed := model.GetParamOr(s, model.ParamInitialSeed, int64(0))
	fill := func(g *Graph, shape shapes.Shape) *Node { return ConstTensor(g, normal(seed, path, std, shape)) }
	return s.WithInitializer(fill).VariableWithShape(name, shapes.Make(dtype, dims...)).NodeValue(g)
}

// gain returns the value of a norm's weight, created as ones.
func gain(s *model.Scope, g *Graph, dtype dtypes.DType, name string, dim int) *Node {
	return s.WithInitializer(initializer.One).VariableWithShape(name, shapes.Make(dtype, dim)).NodeValue(g)
}

// normal draws shape from normal(0, std), float32 or float64, from a generator
// seeded with the pair (seed, path).
func normal(seed int64, path string, std float64, shape shapes.Shape) *tensors.Tensor {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path)) // a hash never fails
	rng := rand.New(rand.NewPCG(uint64(seed), h.Sum64()))
	flat := make([]float64, shape.Size())
	for i := range flat {
		flat[i] = rng.NormFloat64() * std
	}
	if shape.DType == dtypes.Float64 {
		return tensors.FromFlatDataAndDimensions(flat, shape.Dimensions...)
	}
	small := make([]float32, len(flat))
	for i, v := range flat {
		small[i] = float32(v)
	}
	return tensors.FromFlatDataAndDimensions(small, shape.Dimensions...)
}

// residualStd is the deviation of the projections that write to the residual:
// 2*Layers of them add up, so each is scaled down (GPT-2).
func (c Config) residualStd() float64 { return initStd / math.Sqrt(2*float64(c.Layers)) }
