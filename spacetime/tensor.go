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

// Floats copies a float32 output of a graph and returns the size of its last axis.
func Floats(t *tensors.Tensor) ([]float32, int) {
	dims := t.Shape().Dimensions
	return tensors.MustCopyFlatData[float32](t), dims[len(dims)-1]
}
