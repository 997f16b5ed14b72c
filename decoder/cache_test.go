package decoder_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/testkit"
)

// nodesOf lists keys and values of a cache, layer by layer.
func nodesOf(cache []decoder.KV) []*Node {
	var out []*Node
	for _, kv := range cache {
		out = append(out, kv.K, kv.V)
	}
	return out
}

// cacheOf is the inverse of nodesOf.
func cacheOf(nodes []*Node) []decoder.KV {
	var out []decoder.KV
	for pair := range slices.Chunk(nodes, 2) {
		out = append(out, decoder.KV{K: pair[0], V: pair[1]})
	}
	return out
}

// server is what a serving process does: it keeps the KV of one batch of
// sequences in buckets on the host and appends to them.
type server struct {
	c          decoder.Config
	b, bucket  int
	valid      int
	prefill    *model.Exec
	step       *model.Exec
	keys, vals [][]float64 // a layer: [b, KVH, bucket, hd]
}

func newServer(t *testing.T, s *server, st *model.Store, exec func(fn func(*model.Scope, []*Node) []*Node) *model.Exec) {
	t.Helper()
	s.prefill = exec(func(sc *model.Scope, in []*Node) []*Node {
		hidden, kv := decoder.Prefill(sc.At("decoder"), s.c, decoder.Inputs{X: in[0], Positions: in[1], Bias: in[2]})
		return append([]*Node{hidden}, nodesOf(kv)...)
	})
	s.step = exec(func(sc *model.Scope, in []*Node) []*Node {
		hidden, kv := decoder.Step(sc.At("decoder"), s.c,
			decoder.StepInputs{X: in[0], Positions: in[1], Mask: in[2], Bias: in[3], Cache: cacheOf(in[4:])})
		return append([]*Node{hidden}, nodesOf(kv)...)
	})
	for range s.c.Layers {
		size := s.b * s.c.KVHeads * s.bucket * s.c.HeadDim
		s.keys, s.vals = append(s.keys, make([]float64, size)), append(s.vals, make([]float64, size))
		for i := range s.keys[len(s.keys)-1] { // garbage in the unused tail must not matter
			s.keys[len(s.keys)-1][i], s.vals[len(s.vals)-1][i] = 9, -9
		}
	}
}

// keep copies n new entries of each layer after the valid ones.
func (s *server) keep(kv []*tensors.Tensor, n int) {
	row := s.c.HeadDim
	for l := range s.c.Layers {
		for i, dst := range [][]float64{s.keys[l], s.vals[l]} {
			src := values(kv[2*l+i])
			for head := range s.b * s.c.KVHeads {
				copy(dst[(head*s.bucket+s.valid)*row:], src[head*n*row:(head+1)*n*row])
			}
		}
	}
	s.valid += n
}

// cache returns new tensors of the kept entries.
func (s *server) cache() []any {
	var out []any
	for l := range s.c.Layers {
		for _, flat := range [][]float64{s.keys[l], s.vals[l]} {
			out = append(out, floats(dtypes.Float32, flat, s.b, s.c.KVHeads, s.bucket, s.c.HeadDim))
		}
	}
	return out
}

// stepMask lets n new tokens of b rows see the valid cached ones and, of the new
// ones, those that among allows.
func (s *server) stepMask(n int, among func(q, k int) bool) *tensors.Tensor {
	var flat []bool
	for range s.b {
		for q := range n {
			for k := range s.bucket + n {
				flat = append(flat, k < s.valid || (k >= s.bucket && among(q, k-s.bucket)))
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, s.b, n, s.bucket+n)
}

// biasOf cuts a bias [b, H, total, total] to queries from..to and to the keys of
// a step: those before from in a bucket of the given size, then the new ones.
func (s *server) biasOf(whole []float64, total, from, to, bucket int) *tensors.Tensor {
	keys := bucket + to - from
	flat := make([]float64, s.b*s.c.Heads*(to-from)*keys)
	for head := range s.b * s.c.Heads {
		for q := from; q < to; q++ {
			row := whole[(head*total+q)*total:][:total]
			dst := flat[(head*(to-from)+q-from)*keys:][:keys]
			copy(dst, row[:from])
			copy(dst[bucket:], row[from:to])
		}
	}
	return floats(dtypes.Float32, flat, s.b, s.c.Heads, to-from, keys)
}

// Prefill of 4 tokens, then steps of 1, 3 and 1 into a bucket of 16: the hidden
// states must be those of one pass over all 9, with an attention bias too.
func TestCachedDecodingEqualsRecomputation(t *testing.T) {
	const b, total = 2, 9
	for _, qkNorm := range []bool{false, true} {
		c := tiny()
		c.QKNorm = qkNorm
		w := randomWeights(c, 31)
		rng := rand.New(rand.NewPCG(32, 33))
		x, bias := noise(rng, b*total*c.Dim, 1), noise(rng, b*c.Heads*total*total, 1)
		slice := func(from, to int) (*tensors.Tensor, *tensors.Tensor) {
			var flat []float64
			var pos []int32
			for i := range b {
				flat = append(flat, x[(i*total+from)*c.Dim:(i*total+to)*c.Dim]...)
				pos = append(pos, iota32(1, total)[from:to]...)
			}
			return floats(dtypes.Float32, flat, b, to-from, c.Dim), tensors.FromFlatDataAndDimensions(pos, b, to-from)
		}
		for name, be := range testkit.Backends(t) {
			t.Run(name+map[bool]string{true: "/query-key norm"}[qkNorm], func(t *testing.T) {
				st := storeOf(t, c, w, dtypes.Float32)
				s := &server{c: c, b: b, bucket: 16}
				allX, allPos := slice(0, total)
				want := call(be, st, func(s *model.Scope, in []*Node) []*Node {
					return []*Node{decoder.Forward(s.At("decoder"), c, decoder.Inputs{X: in[0], Positions: in[1], Bias: in[2]})}
				}, allX, allPos, s.biasOf(bias, total, 0, total, 0))[0]
				newServer(t, s, st, func(fn func(*model.Scope, []*Node) []*Node) *model.Exec { return model.MustNewExec(be, st, fn) })
				check := func(hidden []float64, from, to int) {
					t.Helper()
					for i := range b {
						part := want[(i*total+from)*c.Dim : (i*total+to)*c.Dim]
						if e := relative(hidden[i*(to-from)*c.Dim:(i+1)*(to-from)*c.Dim], part); !(e < 1e-5) {
							t.Errorf("sequence %d tokens %d to %d: relative error %.2g, want < 1e-5", i, from, to, e)
						}
					}
				}
				xt, pt := slice(0, 4)
				out := s.prefill.MustCall(xt, pt, s.biasOf(bias, total, 0, 4, 0))
				check(values(out[0]), 0, 4)
				s.keep(out[1:], 4)
				for _, to := range []int{5, 8, 9} {
					from := s.valid
					xt, pt := slice(from, to)
					mask := s.stepMask(to-from, func(q, k int) bool { return k <= q })
					out := s.step.MustCall(append([]any{xt, pt, mask, s.biasOf(bias, total, from, to, s.bucket)}, s.cache()...)...)
					check(values(out[0]), from, to)
					s.keep(out[1:], to-from)
				}
			})
		}
	}
}

// maskShape is [1, q, k] int32, for comparisons of indices.
func maskShape(q, k int) shapes.Shape { return shapes.Make(dtypes.Int32, 1, q, k) }

// Candidates of a beam share one user's cache in one step and do not see each
// other: each gets what it would get alone at the end of the user's sequence.
// The second level goes on from the first without leaving the graph.
func TestBeamStepsShareOneCache(t *testing.T) {
	const n, beams = 5, 3
	c := tiny()
	w := randomWeights(c, 41)
	rng := rand.New(rand.NewPCG(42, 43))
	user, blocks, inners := noise(rng, n*c.Dim, 1), noise(rng, beams*c.Dim, 1), noise(rng, beams*c.Dim, 1)
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			st := storeOf(t, c, w, dtypes.Float32)
			out := call(be, st, func(s *model.Scope, in []*Node) []*Node {
				s = s.At("decoder")
				g := in[0].Graph()
				_, cache := decoder.Prefill(s, c, decoder.Inputs{X: in[0], Positions: in[1]})
				// All blocks as the tokens of one row, each seeing the user and itself.
				mask := LogicalOr(LessThan(Iota(g, maskShape(beams, n+beams), 2), Const(g, int32(n))),
					Equal(Iota(g, maskShape(beams, n+beams), 2), AddScalar(Iota(g, maskShape(beams, n+beams), 1), n)))
				first, _ := decoder.Step(s, c, decoder.StepInputs{X: Reshape(in[2], 1, beams, c.Dim),
					Positions: Const(g, [][]int32{{n, n, n}}), Mask: mask, Cache: cache})
				// One row for each beam, the user's cache shared by all rows.
				ones := BroadcastToDims(Const(g, true), beams, 1, n+1)
				alone, kv := decoder.Step(s, c, decoder.StepInputs{X: Reshape(in[2], beams, 1, c.Dim),
					Positions: Const(g, [][]int32{{n}, {n}, {n}}), Mask: ones, Cache: cache})
				second, _ := decoder.Step(s, c, decoder.StepInputs{X: Reshape(in[3], beams, 1, c.Dim),
					Positions: Const(g, [][]int32{{n + 1}, {n + 1}, {n + 1}}),
					Mask:      BroadcastToDims(Const(g, true), beams, 1, n+2), Cache: decoder.Append(cache, kv)})
				return []*Node{first, alone, second}
			}, floats(dtypes.Float32, user, 1, n, c.Dim), tensors.FromFlatDataAndDimensions(iota32(1, n), 1, n),
				floats(dtypes.Float32, blocks, beams, c.Dim), floats(dtypes.Float32, inners, beams, c.Dim))
			for i := range beams {
				d := c.Dim
				whole := slices.Concat(user, blocks[i*d:(i+1)*d], inners[i*d:(i+1)*d])
				want := forwardOf(be, st, c, 1, n+2, whole, iota32(1, n+2), nil)
				for level, got := range out {
					at := n + level/2
					if e := relative(got[i*d:(i+1)*d], want[at*d:(at+1)*d]); !(e < 1e-5) {
						t.Errorf("beam %d, result %d: relative error %.2g, want < 1e-5", i, level, e)
					}
				}
			}
		})
	}
}
