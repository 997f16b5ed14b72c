// Package oracle holds slow and plain float64 forms of networks, for the tests of
// the packages that build them as graphs. Only test files import it.
//
// Vocabulary: a sequence is [T][D], weights are flat row-major slices by variable
// path below the network's scope, read at every call, so that a test may nudge one
// and call again. Promise: no code is shared with the graphs. It panics on weights
// that are missing or too short.
package oracle

import (
	"fmt"
	"math"

	"github.com/whereto/whereto/decoder"
)

// Decoder is package decoder's network in plain float64 Go, written from the
// published equations with loops only. It shares no code with the graph: one
// sequence at a time, heads one by one, keys repeated by index, no tables.
type Decoder struct {
	c       decoder.Config
	hd, kvh int
	w       map[string][]float64 // by variable path below the scope
}

// NewDecoder returns the network of c with weights w, which it keeps.
func NewDecoder(c decoder.Config, w map[string][]float64) *Decoder {
	o := &Decoder{c: c, hd: c.HeadDim, kvh: c.KVHeads, w: w}
	if o.hd == 0 {
		o.hd = c.Dim / c.Heads
	}
	if o.kvh == 0 {
		o.kvh = c.Heads
	}
	return o
}

// Forward returns the hidden states of x [T][D]. see(q, k) says which keys a
// query sees, bias(h, q, k) is added to the scaled scores.
func (o *Decoder) Forward(x [][]float64, pos []int32, see func(q, k int) bool, bias func(h, q, k int) float64) [][]float64 {
	h := clone(x)
	for l := range o.c.Layers {
		at := func(name string) []float64 { return o.w[fmt.Sprintf("layers_%d/", l)+name] }
		attended := o.attend(at, o.norms(h, at("input_layernorm")), pos, see, bias)
		for t := range h {
			Add(h[t], attended[t])
		}
		for t := range h {
			n := o.norm(h[t], at("post_attention_layernorm"))
			gate := Product(n, at("mlp/gate_proj"), o.c.FFN)
			up := Product(n, at("mlp/up_proj"), o.c.FFN)
			for i := range gate {
				gate[i] = gate[i] / (1 + math.Exp(-gate[i])) * up[i]
			}
			Add(h[t], Product(gate, at("mlp/down_proj"), o.c.Dim))
		}
	}
	return o.norms(h, o.w["norm"])
}

// attend is the attention sub-layer with its output projection.
func (o *Decoder) attend(at func(string) []float64, x [][]float64, pos []int32,
	see func(q, k int) bool, bias func(h, q, k int) float64) [][]float64 {
	out := make([][]float64, len(x))
	for t := range out {
		out[t] = make([]float64, o.c.Heads*o.hd)
	}
	for head := range o.c.Heads {
		kvHead := head / (o.c.Heads / o.kvh)
		q, k, v := make([][]float64, len(x)), make([][]float64, len(x)), make([][]float64, len(x))
		for t := range x {
			q[t] = o.head(at, x[t], "q", o.c.Heads, head, pos[t])
			k[t] = o.head(at, x[t], "k", o.kvh, kvHead, pos[t])
			v[t] = Product(x[t], at("self_attn/v_proj"), o.kvh*o.hd)[kvHead*o.hd : (kvHead+1)*o.hd]
		}
		for t := range x {
			sum, mixed := 0.0, make([]float64, o.hd)
			for u := range x {
				if !see(t, u) {
					continue
				}
				p := math.Exp(Dot(q[t], k[u])/math.Sqrt(float64(o.hd)) + bias(head, t, u))
				sum += p
				for i := range mixed {
					mixed[i] += p * v[u][i]
				}
			}
			for i := range mixed {
				out[t][head*o.hd+i] = mixed[i] / sum
			}
		}
	}
	for t := range out {
		out[t] = Product(out[t], at("self_attn/o_proj"), o.c.Dim)
	}
	return out
}

// head returns the rotated query or key of one head of token x at position pos.
func (o *Decoder) head(at func(string) []float64, x []float64, which string, heads, head int, pos int32) []float64 {
	v := Product(x, at("self_attn/"+which+"_proj"), heads*o.hd)[head*o.hd : (head+1)*o.hd]
	if o.c.QKNorm {
		v = o.norm(v, at("self_attn/"+which+"_norm"))
	}
	out, half := make([]float64, o.hd), o.hd/2
	for i := range half {
		sin, cos := math.Sincos(float64(pos) / math.Pow(o.c.RopeTheta, float64(2*i)/float64(o.hd)))
		out[i] = v[i]*cos - v[i+half]*sin
		out[i+half] = v[i+half]*cos + v[i]*sin
	}
	return out
}

// norm is x / rms(x) * w.
func (o *Decoder) norm(x, w []float64) []float64 {
	rms := math.Sqrt(Dot(x, x)/float64(len(x)) + o.c.NormEps)
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] / rms * w[i]
	}
	return out
}

func (o *Decoder) norms(x [][]float64, w []float64) [][]float64 {
	out := make([][]float64, len(x))
	for t := range x {
		out[t] = o.norm(x[t], w)
	}
	return out
}

// Product is x [n] times w [n, m].
func Product(x, w []float64, m int) []float64 {
	out := make([]float64, m)
	for i, v := range x {
		for j := range out {
			out[j] += v * w[i*m+j]
		}
	}
	return out
}

// Dot is the inner product of a and b.
func Dot(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// Add adds b to a in place.
func Add(a, b []float64) {
	for i := range a {
		a[i] += b[i]
	}
}

func clone(x [][]float64) [][]float64 {
	out := make([][]float64, len(x))
	for i := range x {
		out[i] = append([]float64(nil), x[i]...)
	}
	return out
}
