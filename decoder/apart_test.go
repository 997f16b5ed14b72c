package decoder_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/oracle"
	"github.com/whereto/whereto/internal/testkit"
)

// Tokens apart from the others change them as they do in one pass of the oracle over all,
// whose mask says the same.
func TestPrefillApartEqualsOracle(t *testing.T) {
	const b, n = 2, 3 // rows, tokens apart
	cases := []struct {
		name       string
		head, runs int
		change     func(c *decoder.Config)
		bias, self bool
	}{
		{name: "one run", runs: 1},
		{name: "runs after a head", head: 2, runs: 2},
		{name: "bias", head: 1, runs: 2, bias: true, self: true},
		{name: "bias towards the others", runs: 2, bias: true},
		{name: "three layers, query-key norm", head: 1, runs: 2, bias: true, self: true, change: func(c *decoder.Config) { c.Layers = 3; c.QKNorm = true }},
		{name: "a key head each", runs: 2, self: true, change: func(c *decoder.Config) { c.KVHeads = 4 }},
	}
	for name, be := range testkit.Backends(t) {
		for k, tc := range cases {
			t.Run(name+"/"+tc.name, func(t *testing.T) {
				c := tiny()
				if tc.change != nil {
					tc.change(&c)
				}
				w := randomWeights(c, uint64(40+k))
				rng := rand.New(rand.NewPCG(uint64(k), 41))
				shared := tc.head + n*tc.runs
				a := apartCase{c: c, b: b, n: n, t: shared, head: tc.head}
				a.draw(rng, tc.bias, tc.self)
				got := a.call(be, storeOf(t, c, w, dtypes.Float32))
				o := oracle.NewDecoder(c, w)
				for i := range b {
					want := o.Forward(a.rows(i), a.positions(i), func(q, k int) bool { return a.sees(i, q, k) }, func(h, q, k int) float64 { return a.lean(i, h, q, k) })
					for q, token := range rows(got, c.Dim)[i*shared : (i+1)*shared] {
						if e := relative(token, want[q]); !(e < 1e-4) {
							t.Errorf("sequence %d token %d: relative error %.2g, want < 1e-4", i, q, e)
						}
					}
				}
			})
		}
	}
}

// apartCase is t tokens with n tokens apart; in the oracle's numbering those come last.
type apartCase struct {
	c                     decoder.Config
	b, n, t, head         int
	x, apart              []float64
	pos, apartPos         []int32
	mask, apartMask       []bool
	bias, apartBias, self []float64
	hasBias, hasSelf      bool
}

func (a *apartCase) draw(rng *rand.Rand, bias, self bool) {
	a.hasBias, a.hasSelf = bias, self
	a.x, a.apart = noise(rng, a.b*a.t*a.c.Dim, 1), noise(rng, a.b*a.n*a.c.Dim, 1)
	draw := func(n int) []int32 {
		out := make([]int32, n)
		for i := range out {
			out[i] = int32(rng.IntN(40))
		}
		return out
	}
	a.pos, a.apartPos = draw(a.b*a.t), draw(a.b*a.n)
	a.mask, a.apartMask = make([]bool, a.b*a.t*a.t), make([]bool, a.b*a.n*a.t)
	for i := range a.mask {
		a.mask[i] = i/a.t%a.t == i%a.t || rng.IntN(2) == 0
	}
	for i := range a.apartMask {
		a.apartMask[i] = rng.IntN(2) == 0
	}
	h := a.c.Heads
	a.bias, a.apartBias, a.self = make([]float64, a.b*h*a.t*a.t), make([]float64, a.b*h*a.n*a.t), make([]float64, h)
	if bias {
		a.bias, a.apartBias = noise(rng, len(a.bias), 1), noise(rng, len(a.apartBias), 1)
	}
	if self {
		a.self = noise(rng, h, 1)
	}
}

func (a *apartCase) rows(i int) [][]float64 {
	d := a.c.Dim
	return append(rows(a.x[i*a.t*d:(i+1)*a.t*d], d), rows(a.apart[i*a.n*d:(i+1)*a.n*d], d)...)
}

func (a *apartCase) positions(i int) []int32 {
	return append(slices.Clone(a.pos[i*a.t:(i+1)*a.t]), a.apartPos[i*a.n:(i+1)*a.n]...)
}

// beside is the token apart that token q has beside it, in the oracle's numbering.
func (a *apartCase) beside(q int) int {
	switch {
	case q >= a.t:
		return q
	case q < a.head:
		return -1
	}
	return a.t + (q-a.head)%a.n
}

func (a *apartCase) sees(i, q, k int) bool {
	switch {
	case k >= a.t:
		return k == a.beside(q)
	case q >= a.t:
		return a.apartMask[(i*a.n+q-a.t)*a.t+k]
	}
	return a.mask[(i*a.t+q)*a.t+k]
}

func (a *apartCase) lean(i, h, q, k int) float64 {
	switch {
	case k >= a.t:
		return a.self[h]
	case q >= a.t:
		return a.apartBias[((i*a.c.Heads+h)*a.n+q-a.t)*a.t+k]
	}
	return a.bias[((i*a.c.Heads+h)*a.t+q)*a.t+k]
}

// call runs the graph and returns the hidden states of the t tokens.
func (a *apartCase) call(be compute.Backend, st *model.Store) []float64 {
	f := func(flat []float64, dims ...int) *tensors.Tensor { return floats(dtypes.Float32, flat, dims...) }
	h := a.c.Heads
	return call(be, st, func(s *model.Scope, in []*Node) []*Node {
		inputs := decoder.Inputs{X: in[0], Positions: in[1], Mask: in[2]}
		apart := decoder.ApartInputs{X: in[4], Positions: in[5], Mask: in[6], Head: a.head}
		if a.hasBias {
			inputs.Bias, apart.Bias = in[3], in[7]
		}
		if a.hasSelf {
			apart.Self = in[8]
		}
		hidden, kept := decoder.PrefillApart(s.At("decoder"), a.c, inputs, apart)
		for _, kv := range kept {
			kv.K.AssertDims(a.b, a.c.KVHeads, a.t, a.c.HeadDim)
			kv.V.AssertDims(a.b, a.c.KVHeads, a.t, a.c.HeadDim)
		}
		return []*Node{hidden}
	}, f(a.x, a.b, a.t, a.c.Dim), tensors.FromFlatDataAndDimensions(slices.Clone(a.pos), a.b, a.t),
		tensors.FromFlatDataAndDimensions(slices.Clone(a.mask), a.b, a.t, a.t), f(a.bias, a.b, h, a.t, a.t),
		f(a.apart, a.b, a.n, a.c.Dim), tensors.FromFlatDataAndDimensions(slices.Clone(a.apartPos), a.b, a.n),
		tensors.FromFlatDataAndDimensions(slices.Clone(a.apartMask), a.b, a.n, a.t), f(a.apartBias, a.b, h, a.n, a.t),
		f(a.self, 1, h, 1, 1))[0]
}
