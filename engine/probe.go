package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// probeTime is how long one measurement may repeat itself, compiling included;
// a run under way is let finish.
const probeTime = 700 * time.Millisecond

// Speed is what Measure found. FLOPs are counted by arithmetic, not measured:
// 2 m n k for a product, three times the forward pass for a training step.
type Speed struct {
	GEMMSize    int     `json:"gemm_size"`   // n of the n x n float32 product that was fastest
	GEMM        float64 `json:"gemm_gflops"` // GFLOP/s of that product
	TrainTokens float64 `json:"train_tokens_per_s"`
	Train       float64 `json:"train_gflops"`
}

// Found is what Probe learned of one engine.
type Found struct {
	Name        string `json:"name"`
	Available   bool   `json:"available"`
	Why         string `json:"why"` // where its library is, or why it cannot be used
	Description string `json:"description,omitempty"`
	Devices     int    `json:"devices,omitempty"`
	Speed       *Speed `json:"speed,omitempty"` // nil if not available, or not measured
}

// Probe opens each engine in turn, measures it if measure is set, and closes it
// again. An engine that is missing or fails is an entry that says so, not an
// error; the only error is a cancelled context.
func Probe(ctx context.Context, measure bool) ([]Found, error) {
	return probe(ctx, candidates(), measure)
}

func probe(ctx context.Context, from []candidate, measure bool) ([]Found, error) {
	out := make([]Found, 0, len(from))
	for _, c := range from {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("probe engines: %w", context.Cause(ctx))
		}
		f, err := probeOne(ctx, c, measure)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("probe engines: %w", context.Cause(ctx))
			}
			f = Found{Name: c.name, Why: oneLine(err)}
		}
		out = append(out, f)
	}
	return out, nil
}

func probeOne(ctx context.Context, c candidate, measure bool) (Found, error) {
	backend, detail, err := c.try()
	if err != nil {
		return Found{}, err
	}
	defer backend.Finalize()
	f := Found{Name: c.name, Available: true, Why: detail, Description: backend.Description(), Devices: backend.NumDevices()}
	if measure {
		speed, err := Measure(ctx, backend)
		if err != nil {
			return Found{}, fmt.Errorf("it opened but does not compute: %w", err)
		}
		f.Speed = &speed
	}
	return f, nil
}

// Measure times matrix products and a small training step on the backend, about
// a second for each.
func Measure(ctx context.Context, backend compute.Backend) (Speed, error) {
	size, gemm, err := measureGEMM(ctx, backend, probeTime)
	if err != nil {
		return Speed{}, fmt.Errorf("matrix product: %w", err)
	}
	seconds, err := measureTraining(ctx, backend, probeShape, probeTime)
	if err != nil {
		return Speed{}, fmt.Errorf("training step: %w", err)
	}
	return Speed{
		GEMMSize: size, GEMM: gemm / 1e9,
		TrainTokens: float64(probeShape.tokens()) / seconds,
		Train:       probeShape.flops() / seconds / 1e9,
	}, nil
}

// gemmRungs are (n, products in a chain), each rung about 8 to 64 times the one
// before. Short ones show slow engines their pace without a long wait; a chain
// hides the cost of a call from fast ones.
var gemmRungs = []struct{ n, chain int }{{256, 1}, {512, 1}, {1024, 1}, {1024, 8}, {4096, 8}}

// measureGEMM climbs the rungs while the next one is expected to fit into the
// time, and returns the size and FLOP/s of the fastest.
func measureGEMM(ctx context.Context, backend compute.Backend, limit time.Duration) (size int, best float64, err error) {
	for _, r := range gemmRungs {
		flops := 2 * float64(r.n) * float64(r.n) * float64(r.n) * float64(r.chain)
		if best > 0 && flops/best > limit.Seconds()/2 {
			break
		}
		seconds, err := timeGEMM(ctx, backend, r.n, r.chain, limit)
		if err != nil {
			return 0, 0, err
		}
		if rate := flops / seconds; rate > best {
			size, best = r.n, rate
		}
	}
	return size, best, nil
}

// timeGEMM is the seconds of one chain of float32 products [n n] x [n n]. The
// result is reduced by a maximum, which no compiler can move before the product,
// so that a number must be waited for but only four bytes travel.
func timeGEMM(ctx context.Context, backend compute.Backend, n, chain int, limit time.Duration) (float64, error) {
	exec, err := graph.NewExec(backend, func(x, w *graph.Node) *graph.Node {
		for range chain {
			x = graph.MatMul(x, w)
		}
		return graph.ReduceAllMax(x)
	})
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	x, w := filled(n*n, 1, n, n), filled(n*n, 2/float64(n), n, n)
	defer x.MustFinalizeAll()
	defer w.MustFinalizeAll()
	return timed(ctx, limit, func() error {
		out, err := exec.Call(x, w)
		if err != nil {
			return err
		}
		return discard(out)
	})
}

// measureTraining is the seconds of one training step of the shape.
func measureTraining(ctx context.Context, backend compute.Backend, s stepShape, limit time.Duration) (float64, error) {
	exec, err := graph.NewExec(backend, s.step)
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	state := s.state()
	defer func() { finalize(state) }()
	return timed(ctx, limit, func() error {
		args := make([]any, len(state))
		for i, t := range state {
			args[i] = t
		}
		out, err := exec.Call(args...)
		if err != nil {
			return err
		}
		loss := tensors.ToScalar[float32](out[0])
		if loss != loss {
			return errors.New("the loss is not a number")
		}
		// New weights replace the old ones; the input, state[0], stays.
		old := state[1:]
		state = append(state[:1:1], out[1:]...)
		return errors.Join(finalizeErr(old), out[0].FinalizeAll())
	})
}

// timed runs f once to compile and warm up, then repeats it for limit and
// returns the seconds of the fastest run: on a shared machine the fastest run
// says most about the engine. A first run that takes longer is
// taken as it is.
func timed(ctx context.Context, limit time.Duration, f func() error) (float64, error) {
	best := time.Duration(1<<63 - 1)
	for began := time.Now(); ; {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		at := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(at))
		if time.Since(began) >= limit {
			return max(best, time.Nanosecond).Seconds(), nil
		}
	}
}

// discard waits for the first result's value and frees all of them.
func discard(out []*tensors.Tensor) error {
	_ = tensors.ToScalar[float32](out[0])
	return finalizeErr(out)
}

func finalizeErr(ts []*tensors.Tensor) error {
	var errs []error
	for _, t := range ts {
		errs = append(errs, t.FinalizeAll())
	}
	return errors.Join(errs...)
}

// finalize frees tensors on the way out, when an error is already being reported.
func finalize(ts []*tensors.Tensor) { _ = finalizeErr(ts) }

// filled is a float32 tensor of fixed pseudo-random values in [-scale/2, scale/2).
func filled(n int, scale float64, dims ...int) *tensors.Tensor {
	data := make([]float32, n)
	state := uint32(2463534242)
	for i := range data {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		data[i] = float32((float64(state)/(1<<32) - 0.5) * scale)
	}
	return tensors.FromFlatDataAndDimensions(data, dims...)
}
