package decoder_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/oracle"
	"github.com/whereto/whereto/internal/testkit"
)

// oracleCases are the variants of the network and its inputs.
var oracleCases = []struct {
	name   string
	change func(*decoder.Config)
	mask   bool // a random mask instead of the causal one
	heads  int  // heads of the bias, 0 for none
	odd    bool // unordered, repeated, large and negative positions
}{
	{name: "grouped", change: func(*decoder.Config) {}},
	{name: "one key head each", change: func(c *decoder.Config) { c.KVHeads = 4 }},
	{name: "one key head", change: func(c *decoder.Config) { c.KVHeads = 1 }},
	{name: "query-key norm", change: func(c *decoder.Config) { c.QKNorm = true }},
	{name: "wide heads", change: func(c *decoder.Config) { c.HeadDim = 10; c.QKNorm = true }},
	{name: "long wavelengths", change: func(c *decoder.Config) { c.RopeTheta = 1e6; c.HeadDim = 8 }},
	{name: "mask", change: func(*decoder.Config) {}, mask: true},
	{name: "bias of heads", change: func(*decoder.Config) {}, heads: 4},
	{name: "shared bias", change: func(*decoder.Config) {}, heads: 1},
	{name: "odd positions", change: func(*decoder.Config) {}, odd: true},
	{name: "all", change: func(c *decoder.Config) { c.QKNorm = true; c.Layers = 3 }, mask: true, heads: 4, odd: true},
}

func TestForwardEqualsOracle(t *testing.T) {
	const b, n = 3, 7
	for name, be := range testkit.Backends(t) {
		for _, tc := range oracleCases {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				c := tiny()
				tc.change(&c)
				w := randomWeights(c, 3)
				rng := rand.New(rand.NewPCG(5, 6))
				x, pos := noise(rng, b*n*c.Dim, 1), iota32(b, n)
				if tc.odd {
					for i := range pos {
						pos[i] = []int32{0, 7, 7, 300, -5, 61}[rng.IntN(6)]
					}
				}
				mask := make([]bool, b*n*n)
				for i := range mask {
					q, k := i/n%n, i%n
					mask[i] = k <= q
					if tc.mask {
						mask[i] = k == q || rng.IntN(2) == 0
					}
				}
				bias := noise(rng, b*max(tc.heads, 1)*n*n, 1)
				got := call(be, storeOf(t, c, w, dtypes.Float32), func(s *model.Scope, in []*Node) []*Node {
					inputs := decoder.Inputs{X: in[0], Positions: in[1]}
					if tc.mask {
						inputs.Mask = in[2]
					}
					if tc.heads > 0 {
						inputs.Bias = in[3]
					}
					return []*Node{decoder.Forward(s.At("decoder"), c, inputs)}
				}, floats(dtypes.Float32, x, b, n, c.Dim), tensors.FromFlatDataAndDimensions(slices.Clone(pos), b, n),
					tensors.FromFlatDataAndDimensions(slices.Clone(mask), b, n, n),
					floats(dtypes.Float32, bias, b, max(tc.heads, 1), n, n))[0]

				o := oracle.NewDecoder(c, w)
				for i := range b {
					want := o.Forward(rows(x[i*n*c.Dim:(i+1)*n*c.Dim], c.Dim), pos[i*n:(i+1)*n],
						func(q, k int) bool { return mask[(i*n+q)*n+k] },
						func(h, q, k int) float64 {
							if tc.heads == 0 {
								return 0
							}
							return bias[((i*tc.heads+h%tc.heads)*n+q)*n+k]
						})
					for q, token := range rows(got, c.Dim)[i*n : (i+1)*n] {
						if e := relative(token, want[q]); !(e < 1e-4) {
							t.Errorf("sequence %d token %d: relative error %.2g, want < 1e-4", i, q, e)
						}
					}
				}
			})
		}
	}
}

// A later token must not change anything before it: bit for bit, since the graph
// does the same work on the same numbers.
func TestCausality(t *testing.T) {
	const n, changed = 9, 5
	c := tiny()
	w := randomWeights(c, 11)
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := storeOf(t, c, w, dtypes.Float32)
			x := noise(rand.New(rand.NewPCG(1, 2)), n*c.Dim, 1)
			before := forwardOf(be, st, c, 1, n, x, iota32(1, n), nil)
			for i := changed * c.Dim; i < (changed+1)*c.Dim; i++ {
				x[i] += 3
			}
			after := forwardOf(be, st, c, 1, n, x, iota32(1, n), nil)
			if d := furthest(after[:changed*c.Dim], before[:changed*c.Dim]); d != 0 {
				t.Errorf("tokens before the changed one moved by %g", d)
			}
			for q := changed; q < n; q++ {
				if d := furthest(after[q*c.Dim:(q+1)*c.Dim], before[q*c.Dim:(q+1)*c.Dim]); d < 1e-3 {
					t.Errorf("token %d sees the changed one but moved by %g only", q, d)
				}
			}
		})
	}
}

// Padding on either side, hidden by the mask, changes nothing but rounding; what
// the padding holds changes nothing at all.
func TestPaddingInvariance(t *testing.T) {
	const n, left, right = 5, 2, 3
	const wide = left + n + right
	c := tiny()
	w := randomWeights(c, 12)
	rng := rand.New(rand.NewPCG(3, 4))
	x := noise(rng, n*c.Dim, 1)
	mask := make([]bool, wide*wide)
	pos := make([]int32, wide)
	for q := range wide {
		pos[q] = int32(q - left)
		for k := left; k < left+n; k++ {
			mask[q*wide+k] = k <= q && q < left+n
		}
	}
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := storeOf(t, c, w, dtypes.Float32)
			plain := forwardOf(be, st, c, 1, n, x, iota32(1, n), nil)
			var padded [2][]float64
			for i, size := range []float64{1, 50} {
				long := slices.Concat(noise(rng, left*c.Dim, size), x, noise(rng, right*c.Dim, size))
				padded[i] = forwardOf(be, st, c, 1, wide, long, pos, mask)[left*c.Dim : (left+n)*c.Dim]
			}
			if e := relative(padded[0], plain); !(e < 1e-5) {
				t.Errorf("padding changes the result by %.2g, want < 1e-5", e)
			}
			if d := furthest(padded[1], padded[0]); d != 0 {
				t.Errorf("the content of padding changes the result by %g", d)
			}
		})
	}
}

// Sequences of a batch do not see each other: permuting them permutes the
// result, bit for bit.
func TestBatchOrderInvariance(t *testing.T) {
	const b, n = 4, 6
	c := tiny()
	c.QKNorm = true
	w := randomWeights(c, 13)
	order := []int{2, 0, 3, 1}
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := storeOf(t, c, w, dtypes.Float32)
			x := noise(rand.New(rand.NewPCG(7, 8)), b*n*c.Dim, 1)
			size := n * c.Dim
			var permuted []float64
			for _, from := range order {
				permuted = append(permuted, x[from*size:(from+1)*size]...)
			}
			plain := forwardOf(be, st, c, b, n, x, iota32(b, n), nil)
			got := forwardOf(be, st, c, b, n, permuted, iota32(b, n), nil)
			for to, from := range order {
				if d := furthest(got[to*size:(to+1)*size], plain[from*size:(from+1)*size]); d != 0 {
					t.Errorf("sequence %d moved to %d changes by %g", from, to, d)
				}
			}
		})
	}
}

// A query that may see nothing must give finite values and leave the rest alone.
func TestFullyMaskedRow(t *testing.T) {
	const n, blind = 4, 2
	c := tiny()
	w := randomWeights(c, 14)
	mask := make([]bool, n*n)
	for i := range mask {
		mask[i] = i%n <= i/n && i/n != blind
	}
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := storeOf(t, c, w, dtypes.Float32)
			x := noise(rand.New(rand.NewPCG(9, 10)), n*c.Dim, 1)
			got := forwardOf(be, st, c, 1, n, x, iota32(1, n), mask)
			if d := furthest(got, make([]float64, len(got))); d > 1e3 {
				t.Errorf("largest value %g, want finite and small", d)
			}
			full := forwardOf(be, st, c, 1, n, x, iota32(1, n), nil)
			if d := furthest(got[:blind*c.Dim], full[:blind*c.Dim]); d != 0 {
				t.Errorf("tokens before the blind one moved by %g", d)
			}
		})
	}
}
