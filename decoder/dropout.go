package decoder

import (
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/core/tensors"
)

// dropout makes keep masks from a counter and a seed, with no state: the same
// seed gives the same masks on the same backend, so that a resumed run continues
// bit for bit and a validation pass in between changes nothing. The generator of
// the model store would give neither, and costs an update a step.
//
// The noise of cell (i, j) is frac(43758.5453 * sin((r_i + p) * (c_j + q)) + r_i):
// the known shader hash over a product of a row and a column number, r and c
// fixed random numbers of 24 bits, p and q functions of seed and salt. The
// product, not a sum, so that no two rows or columns are alike under every seed;
// the last rotation by r_i evens out the hash, which has an excess near its ends
// and, in float32, steps of 1/256. It is not a good generator in general; it is
// checked for what dropout needs: the rate, and no correlation of neighbours,
// rows, salts or seeds. Backends differ in the last digit of sin, so masks are
// not equal across backends.
type dropout struct {
	seed *Node // scalar float32
	rate float64
	row  *Node // [rows, 1] float32 in [0, 1)
	col  *Node // [1, cols]
}

// newDropout prepares masks for [rows, cols] outputs.
func newDropout(seed *Node, rate float64, rows, cols int) *dropout {
	rng := rand.New(rand.NewPCG(0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9))
	numbers := func(dims ...int) *Node {
		flat := make([]float32, dims[0]*dims[1])
		for i := range flat {
			flat[i] = rng.Float32()
		}
		return ConstTensor(seed.Graph(), tensors.FromFlatDataAndDimensions(flat, dims...))
	}
	col := numbers(1, cols) // first, so that columns do not depend on the number of rows
	return &dropout{seed: ConvertDType(seed, dtypes.Float32), rate: rate, row: numbers(rows, 1), col: col}
}

// Dropout zeroes a share rate of x (any shape of rank 1 or more) and scales the
// rest by 1/(1-rate), with the stateless noise that the decoder itself uses: seed
// is a scalar float32 in [0, 2^20), salt tells the places of one pass apart and
// must not be one of the decoder's own, 0 to 2*Layers-1.
func Dropout(x, seed *Node, rate float64, salt int) *Node {
	dims := x.Shape().Dimensions
	cols := dims[len(dims)-1]
	flat := Reshape(x, -1, cols)
	return Reshape(newDropout(seed, rate, flat.Shape().Dimensions[0], cols).apply(flat, salt), dims...)
}

// apply zeroes a share rate of x [rows, cols] and scales the rest by 1/(1-rate),
// which keeps the expectation. salt tells the places of one pass apart. A nil
// receiver returns x.
func (d *dropout) apply(x *Node, salt int) *Node {
	if d == nil {
		return x
	}
	keep := GreaterOrEqual(d.noise(salt), Scalar(x.Graph(), dtypes.Float32, d.rate))
	scale := Scalar(x.Graph(), x.DType(), 1/(1-d.rate))
	return Mul(x, Where(keep, scale, ScalarZero(x.Graph(), x.DType())))
}

// noise returns values of [0, 1), [rows, cols] float32.
func (d *dropout) noise(salt int) *Node {
	// A smaller factor than the cells': 2^15 steps each, not 2^8.
	shift := func(k float64) *Node {
		phase := AddScalar(MulScalar(d.seed, k), 3.1+1.618034*float64(salt))
		return AddScalar(MulScalar(frac(MulScalar(Sin(phase), 437.585)), 30), 20)
	}
	row := Add(MulScalar(d.row, 30), shift(0.7548777))
	col := Add(MulScalar(d.col, 30), shift(0.5698403))
	cell := MulScalar(Sin(Mul(row, col)), 43758.5453)
	return frac(Add(cell, d.row))
}

// frac returns x - floor(x), in [0, 1).
func frac(x *Node) *Node { return Sub(x, Floor(x)) }
