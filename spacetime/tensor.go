package spacetime

import (
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/whereto/whereto/batch"
)

// Tensor copies an array of a batch into an input of a graph.
func Tensor(a batch.Array) *tensors.Tensor {
	if a.I != nil {
		return tensors.FromFlatDataAndDimensions(a.I, a.Dims...)
	}
	return tensors.FromFlatDataAndDimensions(a.F, a.Dims...)
}

// Floats copies a float32 output of a graph, frees it and returns the size of its
// last axis.
func Floats(t *tensors.Tensor) ([]float32, int) {
	dims := t.Shape().Dimensions
	out := tensors.MustCopyFlatData[float32](t)
	t.MustFinalizeAll()
	return out, dims[len(dims)-1]
}

// Free gives back the memory of inputs and outputs of graphs. It is the engine's, and
// Go's collector, which sees handles only, would let it grow without need.
func Free(list []any) {
	for _, t := range list {
		t.(*tensors.Tensor).MustFinalizeAll()
	}
}
