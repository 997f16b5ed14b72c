package decoder

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/internal/testkit"
)

// masksOf returns dropout applied to ones [rows, cols].
func masksOf(t *testing.T, be compute.Backend, rate float64, rows, cols, salt int, seed float32) []float32 {
	out, err := CallOnce(be, func(seed *Node) *Node {
		return newDropout(seed, rate, rows, cols).apply(Ones(seed.Graph(), shapes.Make(dtypes.Float32, rows, cols)), salt)
	}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out)
}

// agreement is the correlation of two masks of the same rate.
func agreement(a, b []float32) float64 {
	var sum, square float64
	for i := range a {
		sum += (float64(a[i]) - 1) * (float64(b[i]) - 1)
		square += (float64(a[i]) - 1) * (float64(a[i]) - 1)
	}
	return sum / square
}

// The noise must have the rate asked for, keep the mean, and show no pattern:
// not between neighbours in a row or a column, nor between rows far away,
// salts or seeds. Limits are 5 standard errors of 131,072 draws.
func TestDropoutNoise(t *testing.T) {
	const rows, cols = 1024, 128
	const limit = 5.0 / 362
	for name, be := range testkit.Backends(t) {
		for _, seed := range []float32{0, 1, 2, 777, 100_000, 1<<20 - 1} {
			for _, rate := range []float64{0.1, 0.3, 0.5} {
				t.Run(fmt.Sprintf("%s/seed %g/rate %g", name, seed, rate), func(t *testing.T) {
					a := masksOf(t, be, rate, rows, cols, 0, seed)
					mean := 0.0
					for _, v := range a {
						mean += float64(v) / rows / cols
					}
					if e := math.Abs(mean - 1); e > limit*math.Sqrt(rate/(1-rate)) {
						t.Errorf("mean %.4f, want 1", mean)
					}
					for what, b := range map[string][]float32{
						"the value to the right": append(slices.Clone(a[1:]), 1),
						"the row below":          append(slices.Clone(a[cols:]), a[:cols]...),
						"the row 512 below":      append(slices.Clone(a[512*cols:]), a[:512*cols]...),
						"the next salt":          masksOf(t, be, rate, rows, cols, 1, seed),
						"the next seed":          masksOf(t, be, rate, rows, cols, 0, seed+1),
					} {
						if r := agreement(a, b); math.Abs(r) > limit {
							t.Errorf("correlation %.4f with %s, want 0", r, what)
						}
					}
					if again := masksOf(t, be, rate, rows, cols, 0, seed); !slices.Equal(a, again) {
						t.Error("the same seed gives another mask")
					}
				})
			}
		}
	}
}

// Dropout of any shape is the decoder's own dropout of its rows, and its gradient
// is its own mask.
func TestDropoutOfAnyShape(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			out, err := CallOnceN(be, func(seed *Node) []*Node {
				x := MulScalar(Ones(seed.Graph(), shapes.Make(dtypes.Float32, 8, 4, 16)), 3)
				y := Dropout(x, seed, 0.4, 9)
				return []*Node{y, Gradient(ReduceAllSum(y), x)[0]}
			}, float32(7))
			if err != nil {
				t.Fatal(err)
			}
			want := masksOf(t, be, 0.4, 32, 16, 9, 7)
			y, g := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
			for i, m := range want {
				if g[i] != m || math.Abs(float64(y[i]-3*m)) > 1e-6 {
					t.Fatalf("value %d: %g with gradient %g, want %g and %g", i, y[i], g[i], 3*m, m)
				}
			}
		})
	}
}

// Dropout acts in training graphs with a seed only.
func TestDropoutOnlyInTraining(t *testing.T) {
	c := Default()
	c.Dropout = 0.3
	x := make([]float32, 4*c.Dim)
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := model.NewStore()
			run := func(training bool, seed float32) []float32 {
				out := model.MustCallOnce(be, st, func(s *model.Scope, x, p, seedNode *Node) *Node {
					st.SetTraining(x.Graph(), training)
					in := Inputs{X: x, Positions: p, DropoutSeed: seedNode}
					if seed < 0 {
						in.DropoutSeed = nil
					}
					return Forward(s.At("decoder"), c, in)
				}, tensors.FromFlatDataAndDimensions(slices.Clone(x), 1, 4, c.Dim), [][]int32{{0, 1, 2, 3}}, seed)
				return tensors.MustCopyFlatData[float32](out)
			}
			plain := run(false, 5)
			if !slices.Equal(plain, run(true, -1)) {
				t.Error("training without a seed differs from inference")
			}
			dropped := run(true, 5)
			if slices.Equal(plain, dropped) {
				t.Error("training with a seed drops nothing")
			}
			if !slices.Equal(dropped, run(true, 5)) {
				t.Error("the same seed gives other values")
			}
			if slices.Equal(dropped, run(true, 6)) {
				t.Error("another seed gives the same values")
			}
		})
	}
}
