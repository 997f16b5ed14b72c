package training

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"pgregory.net/rapid"
)

// linearModel has loss sum over variables of <w, c> for a constant input c: its
// gradient is c, whatever the weights, so that an oracle needs no model.
type linearModel struct{}

func (linearModel) AuxNames() []string { return nil }

func (linearModel) Loss(s *model.Scope, in []*Node, _ *Node) (*Node, []*Node) {
	g := in[0].Graph()
	net := s.In("net")
	matrix := net.VariableWithValue("matrix", [][]float32{{1, -2}, {0.5, 3}}).NodeValue(g)
	embed := s.In("embed").VariableWithValue("table", [][]float32{{0.3, -0.7}}).NodeValue(g)
	gain := net.VariableWithValue("gain", []float32{1, 1.5}).NodeValue(g)
	return Add(Add(ReduceAllSum(Mul(matrix, in[0])), ReduceAllSum(Mul(embed, in[1]))), ReduceAllSum(Mul(gain, in[2]))), nil
}

// linearBatches gives the gradient of step t for each variable.
type linearBatches struct{ grads [][3][]float32 }

func (l linearBatches) Steps(int) int { return len(l.grads) }

func (l linearBatches) Batch(_ context.Context, _, step int) (Batch, error) {
	g := l.grads[step]
	return Batch{Inputs: []Array{{g[0], []int{2, 2}}, {g[1], []int{1, 2}}, {g[2], []int{2}}}, Weight: 1}, nil
}

// oracle is AdamW in float64, straight from the paper.
type oracle struct {
	w, m, v, avg []float64
	decay, scale float64
}

func (o *oracle) step(c Config, t int, rate, clip float64, grad []float32) {
	for i := range o.w {
		g := float64(grad[i]) * clip
		o.m[i] = c.Beta1*o.m[i] + (1-c.Beta1)*g
		o.v[i] = c.Beta2*o.v[i] + (1-c.Beta2)*g*g
		mHat := o.m[i] / (1 - math.Pow(c.Beta1, float64(t)))
		vHat := o.v[i] / (1 - math.Pow(c.Beta2, float64(t)))
		o.w[i] -= rate * o.scale * (mHat/(math.Sqrt(vHat)+c.Eps) + o.decay*o.w[i])
		d := math.Min(c.EMADecay, float64(t-1)/float64(t+9))
		o.avg[i] = d*o.avg[i] + (1-d)*o.w[i]
	}
}

func newOracle(decay, scale float64, w ...float64) *oracle {
	zeros := func() []float64 { return make([]float64, len(w)) }
	return &oracle{w: w, m: zeros(), v: zeros(), avg: zeros(), decay: decay, scale: scale}
}

func TestAdamWAgainstOracle(t *testing.T) {
	var src linearBatches
	for i := range 10 {
		f := func(k int) float32 { return float32(math.Sin(float64(7*i+k)) * math.Pow(3, float64(k%4-2))) }
		src.grads = append(src.grads, [3][]float32{{f(0), f(1), f(2), f(3)}, {f(4), f(5)}, {f(6), f(7)}})
	}
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		cfg := Config{Seed: 1, Epochs: 1, LR: 0.02, MinLR: 0.002, Warmup: 2, Decay: 0.1, NoDecay: []string{"embed"},
			LRScale: map[string]float64{"embed": 0.5, "": 1}, Beta1: 0.9, Beta2: 0.95, Eps: 1e-3, ClipNorm: 2, Accumulate: 1,
			EMADecay: 0.3, LogEvery: 1, Update: update}
		o := Options{Backend: b, Store: model.NewStore(), Model: linearModel{}, Batches: src, Progress: Progress{Mode: "none"}}
		mustTrain(t, o, cfg)
		want := map[string]*oracle{
			"/net/matrix":  newOracle(0.1, 1, 1, -2, 0.5, 3),
			"/embed/table": newOracle(0, 0.5, 0.3, -0.7),
			"/net/gain":    newOracle(0, 1, 1, 1.5),
		}
		for i, g := range src.grads {
			sum := 0.0
			for _, part := range g {
				for _, x := range part {
					sum += float64(x) * float64(x)
				}
			}
			clip := math.Min(1, cfg.ClipNorm/(math.Sqrt(sum)+1e-6))
			rate := cfg.Rate(i+1, len(src.grads))
			want["/net/matrix"].step(cfg, i+1, rate, clip, g[0])
			want["/embed/table"].step(cfg, i+1, rate, clip, g[1])
			want["/net/gain"].step(cfg, i+1, rate, clip, g[2])
		}
		got := weights(o.Store, func(string) bool { return true })
		for path, w := range want {
			compare(t, path, got[path], w.w)
			compare(t, "m of "+path, got["/optimizer/m"+path], w.m)
			compare(t, "v of "+path, got["/optimizer/v"+path], w.v)
			compare(t, "average of "+path, got["/ema"+path], w.avg)
		}
	})
}

func compare(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 2e-6*(1+math.Abs(want[i])) {
			t.Errorf("%s[%d] = %v, want %v", what, i, got[i], want[i])
		}
	}
}

// Clipping makes the update of a huge gradient that of its direction with norm
// ClipNorm; below ClipNorm nothing changes.
func TestClipping(t *testing.T) {
	b := goBackend(t)
	moments := func(clip, size float64) []float32 {
		x := float32(size / 2)
		src := linearBatches{[][3][]float32{{{x, x, x, x}, {0, 0}, {0, 0}}}}
		cfg := Config{Epochs: 1, LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, ClipNorm: clip, Accumulate: 1, LogEvery: 1}
		o := Options{Backend: b, Store: model.NewStore(), Model: linearModel{}, Batches: src, Progress: Progress{Mode: "none"}}
		mustTrain(t, o, cfg)
		return weights(o.Store, func(string) bool { return true })["/optimizer/m/net/matrix"]
	}
	for _, c := range []struct{ clip, norm, want float64 }{{1, 1000, 1}, {1, 0.5, 0.5}, {0, 1000, 1000}} {
		if got := moments(c.clip, c.norm)[0]; math.Abs(float64(got)-0.1*c.want/2) > 1e-5*c.want {
			t.Errorf("clip %v, norm %v: first moment %v, want %v", c.clip, c.norm, got, 0.1*c.want/2)
		}
	}
}

// rootModel has a finite loss whose gradient is not: the root of zero.
type rootModel struct{}

func (rootModel) AuxNames() []string { return nil }

func (rootModel) Loss(s *model.Scope, in []*Node, _ *Node) (*Node, []*Node) {
	w := s.VariableWithValue("w", []float32{1, 2}).NodeValue(in[0].Graph())
	return Sqrt(ReduceAllSum(Mul(w, in[0]))), nil
}

type rootBatches struct{}

func (rootBatches) Steps(int) int { return 3 }

func (rootBatches) Batch(_ context.Context, _, step int) (Batch, error) {
	x := float32(1)
	if step == 2 {
		x = 0
	}
	return Batch{Inputs: []Array{{[]float32{x, x}, []int{2}}}, Weight: 1}, nil
}

func TestBadGradientWithGoodLoss(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		for _, accumulate := range []int{1, 2} {
			train := func(steps int) (map[string][]float32, error) {
				cfg := Config{Epochs: 1, MaxSteps: steps, LR: 0.1, MinLR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Accumulate: accumulate, EMADecay: 0.5, LogEvery: 1, Update: update}
				o := Options{Backend: b, Store: model.NewStore(), Model: rootModel{}, Batches: rootBatches{}, Progress: Progress{Mode: "none"}}
				_, err := Train(context.Background(), o, cfg)
				return weights(o.Store, persistent), err
			}
			want, err := train(2 / accumulate)
			if err != nil {
				t.Fatal(err)
			}
			got, err := train(0)
			if !errors.Is(err, ErrNotFinite) {
				t.Fatalf("accumulate %d: error %v, want ErrNotFinite", accumulate, err)
			}
			for path := range want {
				for i := range want[path] {
					if got[path][i] != want[path][i] {
						t.Errorf("accumulate %d: %s changed from %v to %v", accumulate, path, want[path], got[path])
					}
				}
			}
		}
	})
}

func TestRate(t *testing.T) {
	c := Config{LR: 1, MinLR: 0.1, Warmup: 10}
	for _, x := range []struct {
		step, total int
		want        float64
	}{{1, 110, 0.1}, {5, 110, 0.5}, {10, 110, 1}, {60, 110, 0.55}, {110, 110, 0.1}, {35, 110, 0.1 + 0.9*(1+math.Sqrt(0.5))/2}, {200, 110, 0.1}, {3, 5, 0.3}} {
		if got := c.Rate(x.step, x.total); math.Abs(got-x.want) > 1e-12 {
			t.Errorf("rate of step %d of %d is %v, want %v", x.step, x.total, got, x.want)
		}
	}
	if got := (Config{LR: 1}).Rate(1, 1); got != 0 {
		t.Errorf("without warm-up the last of one steps has rate %v, want min_lr 0", got)
	}
}

// The rate stays within its bounds, rises during warm-up and never rises after.
func TestRateLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{LR: rapid.Float64Range(1e-6, 1).Draw(t, "lr"), Warmup: rapid.IntRange(0, 50).Draw(t, "warmup")}
		c.MinLR = c.LR * rapid.Float64Range(0, 1).Draw(t, "min")
		total := rapid.IntRange(1, 200).Draw(t, "total")
		before := 0.0
		for s := 1; s <= total; s++ {
			r := c.Rate(s, total)
			if r < 0 || r > c.LR*(1+1e-12) {
				t.Fatalf("step %d: rate %v outside [0, %v]", s, r, c.LR)
			}
			if s > 1 && (s <= c.Warmup && r < before || s > c.Warmup+1 && r > before*(1+1e-12)) {
				t.Fatalf("step %d: rate %v after %v", s, r, before)
			}
			before = r
		}
	})
}

func TestNoiseSeed(t *testing.T) {
	seen := map[float32]int{}
	for seed := range int64(3) {
		for epoch := range 10 {
			for batch := range 100 {
				n := noiseSeed(seed, epoch, batch)
				if n != noiseSeed(seed, epoch, batch) || n < 0 || n >= 1<<24 || n != float32(math.Trunc(float64(n))) {
					t.Fatalf("noise %v of %d/%d/%d: want the same whole number in [0, 2^24) each time", n, seed, epoch, batch)
				}
				seen[n]++
			}
		}
	}
	if len(seen) < 2990 {
		t.Errorf("%d different seeds of 3000", len(seen))
	}
}

func TestScaleAndDecayOf(t *testing.T) {
	c := Config{Decay: 0.1, NoDecay: []string{"embed"}, LRScale: map[string]float64{"net": 2, "net/head": 3, "/": 0.5}}
	for path, want := range map[string]float64{"/net/w": 2, "/net/head/w": 3, "/net/header": 2, "/netto/w": 0.5, "/net": 2} {
		if got := c.scaleOf(path); got != want {
			t.Errorf("factor of %s is %v, want %v", path, got, want)
		}
	}
	for _, x := range []struct {
		path string
		rank int
		want float64
	}{{"/net/w", 2, 0.1}, {"/net/b", 1, 0}, {"/net/embed_poi", 2, 0}, {"/s", 0, 0}} {
		if got := c.decayOf(x.path, x.rank); got != x.want {
			t.Errorf("decay of %s rank %d is %v, want %v", x.path, x.rank, got, x.want)
		}
	}
}
