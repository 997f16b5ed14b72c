package training

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// hostChunk is how many numbers one goroutine takes at a time. It is fixed, so
// that sums come out the same however many processors there are.
const hostChunk = 1 << 15

// hostUpdate is adamW on the host, for backends whose buffers Go can reach: one
// pass over each array, in place, instead of about 15 with copies. Measured on
// ONNX Runtime, 2 cores, one table of 8.4 M numbers: 33 ms a step against 108,
// with averages 38 against 219; on 8 matrices of 512 x 512, which stay in the
// cache, 7.9 against 8.5. The arithmetic is that of adamW.
type hostUpdate struct {
	cfg   Config
	store *model.Store
	grads []*tensors.Tensor // of the last batch, if Accumulate is 1
	sums  [][]float32       // weighted gradients of the step, if Accumulate > 1
	fresh bool              // sums hold nothing yet
}

// buildGrads is the graph of a batch whose update is done on the host.
func (s *stepper) buildGrads(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
	loss, aux, grads := s.lossOf(scope, inputs)
	scalars := report(append([]*graph.Node{loss, graph.ZerosLike(loss)}, aux...)...)
	return append([]*graph.Node{scalars}, grads...)
}

// prepare makes the moments and averages, zero at first.
func (h *hostUpdate) prepare(params []*model.Variable) error {
	scopes := []string{optimizerScope + "m/", optimizerScope + "v/"}
	if h.cfg.EMADecay > 0 {
		scopes = append(scopes, emaScope)
	}
	for _, p := range params {
		for _, scope := range scopes {
			v, err := h.store.CreateVariable(scope+strings.TrimPrefix(p.Path(), "/"), tensors.FromShape(p.Shape()))
			if err != nil {
				return err
			}
			v.SetTrainable(false)
		}
	}
	return nil
}

// take keeps the gradients of a batch of the given weight.
func (h *hostUpdate) take(grads []*tensors.Tensor, weight float64) error {
	if h.cfg.Accumulate == 1 {
		h.grads = grads
		return nil
	}
	if h.sums == nil {
		h.sums = make([][]float32, len(grads))
		for i, g := range grads {
			h.sums[i] = make([]float32, g.Size())
		}
		h.fresh = true
	}
	w := float32(weight)
	var errs []error
	for i, g := range grads {
		sum, fresh := h.sums[i], h.fresh
		errs = append(errs, tensors.ConstFlatData(g, func(flat []float32) {
			inChunks(len(flat), func(_, from, to int) {
				for j, x := range flat[from:to] {
					if fresh {
						sum[from+j] = w * x
					} else {
						sum[from+j] += w * x
					}
				}
			})
		}))
	}
	h.fresh = false
	return errors.Join(append(errs, release(grads))...)
}

// release frees tensors.
func release(list []*tensors.Tensor) error {
	var errs []error
	for _, t := range list {
		errs = append(errs, t.FinalizeAll())
	}
	return errors.Join(errs...)
}

// apply updates the weights with what take kept. It returns the norm of the
// gradients before clipping; if that is not finite nothing is changed.
func (h *hostUpdate) apply(params []*model.Variable, n numbers) (norm float64, err error) {
	grads, share := h.sums, n.weight
	if h.cfg.Accumulate == 1 {
		share = 1
		grads = make([][]float32, len(h.grads))
		for i, t := range h.grads {
			if err := tensors.ConstFlatData(t, func(flat []float32) { grads[i] = flat }); err != nil {
				return 0, fmt.Errorf("gradient of %s: %w", params[i].Path(), err)
			}
		}
		defer func() {
			err = errors.Join(err, release(h.grads))
			h.grads = nil
		}()
	}
	h.fresh = true
	norm = share * math.Sqrt(squares(grads))
	if !isFinite(norm) {
		return norm, nil
	}
	clip := 1.0
	if h.cfg.ClipNorm > 0 {
		clip = min(1, h.cfg.ClipNorm/(norm+1e-6))
	}
	for i, p := range params {
		if err := h.one(p, grads[i], share*clip, n); err != nil {
			return norm, err
		}
	}
	return norm, nil
}

// one updates one parameter. The slices of Go-reachable buffers stay valid
// while the store holds their tensors, that is to the end of the step.
func (h *hostUpdate) one(p *model.Variable, grad []float32, factor float64, n numbers) error {
	slice := func(scope string) ([]float32, error) {
		v := h.store.GetVariable(scope + strings.TrimPrefix(p.Path(), "/"))
		if v == nil {
			return nil, fmt.Errorf("no variable %s of %s", scope, p.Path())
		}
		value, err := v.Value()
		if err != nil {
			return nil, err
		}
		var out []float32
		err = tensors.MutableFlatData(value, func(flat []float32) { out = flat })
		return out, err
	}
	w, err := slice("/")
	m, errM := slice(optimizerScope + "m/")
	v, errV := slice(optimizerScope + "v/")
	var avg []float32
	var errAvg error
	if h.cfg.EMADecay > 0 {
		avg, errAvg = slice(emaScope)
	}
	if err := errors.Join(err, errM, errV, errAvg); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	rate := n.rate * h.cfg.scaleOf(p.Path())
	root2 := math.Sqrt(n.fix2)
	k := kernel{factor: float32(factor), keep1: float32(h.cfg.Beta1), new1: float32(1 - h.cfg.Beta1), keep2: float32(h.cfg.Beta2),
		new2: float32(1 - h.cfg.Beta2), eps: float32(h.cfg.Eps / root2), step: float32(rate * n.fix1 / root2),
		shrink: float32(1 - rate*h.cfg.decayOf(p.Path(), p.Shape().Rank())), keepAvg: float32(n.ema)}
	inChunks(len(w), func(_, from, to int) {
		k.run(w[from:to], m[from:to], v[from:to], grad[from:to])
		if avg != nil {
			k.average(avg[from:to], w[from:to])
		}
	})
	return nil
}

// kernel holds the scalars of one parameter's update.
type kernel struct{ factor, keep1, new1, keep2, new2, eps, step, shrink, keepAvg float32 }

func (k kernel) run(w, m, v, grad []float32) {
	m, v, grad = m[:len(w)], v[:len(w)], grad[:len(w)] // lets the compiler drop bounds checks
	for i := range w {
		g := grad[i] * k.factor
		mi := k.keep1*m[i] + k.new1*g
		vi := k.keep2*v[i] + k.new2*g*g
		m[i], v[i] = mi, vi
		w[i] = w[i]*k.shrink - k.step*mi/(float32(math.Sqrt(float64(vi)))+k.eps)
	}
}

func (k kernel) average(avg, w []float32) {
	w = w[:len(avg)]
	fresh := 1 - k.keepAvg
	for i := range avg {
		avg[i] = k.keepAvg*avg[i] + fresh*w[i]
	}
}

// squares returns the sum of squares of all arrays, added in a fixed order.
func squares(arrays [][]float32) float64 {
	total := 0.0
	for _, a := range arrays {
		parts := make([]float64, (len(a)+hostChunk-1)/hostChunk)
		inChunks(len(a), func(chunk, from, to int) {
			var s0, s1, s2, s3 float64 // four sums keep the adder busy
			part := a[from:to]
			for ; len(part) >= 4; part = part[4:] {
				x0, x1, x2, x3 := float64(part[0]), float64(part[1]), float64(part[2]), float64(part[3])
				s0, s1, s2, s3 = s0+x0*x0, s1+x1*x1, s2+x2*x2, s3+x3*x3
			}
			for _, x := range part {
				s0 += float64(x) * float64(x)
			}
			parts[chunk] = (s0 + s1) + (s2 + s3)
		})
		for _, p := range parts {
			total += p
		}
	}
	return total
}

// inChunks calls f for the chunks of [0, n) on all processors and waits.
func inChunks(n int, f func(chunk, from, to int)) {
	chunks := (n + hostChunk - 1) / hostChunk
	workers := min(chunks, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for c := range chunks {
			f(c, c*hostChunk, min(n, (c+1)*hostChunk))
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for c := w; c < chunks; c += workers {
				f(c, c*hostChunk, min(n, (c+1)*hostChunk))
			}
		})
	}
	wg.Wait()
}
