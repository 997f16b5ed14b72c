package decoder

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// dropout makes keep masks from a counter and a seed, with no state: the same
// seed gives the same masks on the same backend, so that a resumed run continues
// bit for bit and a validation pass in between changes nothing. The generator of
// the model store would give neither, and costs an update a step.
//
// The noise is the shader hash u(x) = frac(43758.5453 * sin(x)), applied twice:
// once to each row and each column number (arguments kept small, so that float32
// still tells neighbours apart), once to a mix of both; a last rotation by the
// row's own noise evens out the hash's slight excess near its ends. It is not a
// good generator in general; it is checked for what dropout needs: rate, and no
// correlation of neighbours, rows, columns, layers or seeds. Backends differ in
// the last digit of sin, so masks are not equal across backends.
type dropout struct {
	seed *Node // scalar float32
	rate float64
	rows int
	cols int
}

// newDropout prepares masks for [rows, cols] outputs.
func newDropout(seed *Node, rate float64, rows, cols int) *dropout {
	return &dropout{seed: ConvertDType(seed, dtypes.Float32), rate: rate, rows: rows, cols: cols}
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
	g := d.seed.Graph()
	seed := hash(AddScalar(MulScalar(d.seed, 0.7548777), 3.1+1.6180340*float64(salt)))
	rows := MulScalar(Iota(g, shapes.Make(dtypes.Float32, d.rows, 1), 0), 12.9898)
	cols := MulScalar(Iota(g, shapes.Make(dtypes.Float32, 1, d.cols), 1), 78.233)
	row := hash(Add(rows, MulScalar(seed, 977.3)))
	col := hash(Add(cols, MulScalar(seed, 613.9)))
	mixed := hash(Add(MulScalar(row, 1031.7), MulScalar(col, 887.3)))
	return frac(Add(mixed, row))
}

// hash is frac(43758.5453 * sin(x)).
func hash(x *Node) *Node { return frac(MulScalar(Sin(x), 43758.5453)) }

// frac returns x - floor(x), in [0, 1).
func frac(x *Node) *Node { return Sub(x, Floor(x)) }
