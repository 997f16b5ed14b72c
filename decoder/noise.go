package decoder

import . "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas

// Dropout zeroes a share rate of x (any shape of rank 1 or more) and scales the
// rest by 1/(1-rate), with the stateless noise that the decoder itself uses: seed
// is a scalar float32 in [0, 2^20), salt tells the places of one pass apart and
// must differ from twice the layer number and the one after it.
func Dropout(x, seed *Node, rate float64, salt int) *Node {
	dims := x.Shape().Dimensions
	cols := dims[len(dims)-1]
	flat := Reshape(x, -1, cols)
	return Reshape(newDropout(seed, rate, flat.Shape().Dimensions[0], cols).apply(flat, salt), dims...)
}
