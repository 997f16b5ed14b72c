package training

import (
	"context"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/run"
)

// goldenLosses are the first ten losses of the toy regression, made once on the
// pure-Go backend by this test; AdamW itself is checked against a float64 oracle
// in optimizer_test.go.
var goldenLosses = []float64{
	2.2080838680, 1.9771227837, 1.0919623375, 0.9503606558, 1.9964165688,
	0.8774833679, 1.9133880138, 0.5710390210, 0.3104135394, 0.6479687095,
}

func TestTenGoldenLosses(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		o, cfg := toyOptions(b), toyConfig()
		o.Batches, o.Run = toyBatches{steps: 10, sizes: []int{8}}, newRun(t)
		cfg.Epochs, cfg.LogEvery, cfg.Update = 1, 1, update
		mustTrain(t, o, cfg)
		var got []float64
		records, err := o.Run.ReadMetrics()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Kind == "train" {
				got = append(got, r.Values["loss"])
			}
		}
		if len(got) != len(goldenLosses) {
			t.Fatalf("losses %v, want %v", got, goldenLosses)
		}
		for i := range got {
			if math.Abs(got[i]-goldenLosses[i]) > 1e-4 {
				t.Errorf("step %d: loss %v, want %v", i+1, got[i], goldenLosses[i])
			}
		}
	})
}

func TestOverfitsOneBatch(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		o, cfg := toyOptions(b), toyConfig()
		o.Batches = toyBatches{steps: 150, sizes: []int{6}, one: true}
		cfg.Epochs, cfg.Decay, cfg.LR, cfg.Update = 1, 0, 0.08, update
		res := mustTrain(t, o, cfg)
		if res.LastLoss > 0.01 {
			t.Errorf("loss %v after %d steps on one batch, want below 0.01", res.LastLoss, res.Steps)
		}
	})
}

// Eight rows in one batch, or two batches of 4, or unequal 6 and 2, are the same
// update: gradients are averaged by weight.
func TestAccumulationEqualsOneBatch(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		var want map[string][]float32
		for _, c := range []struct {
			split      []int
			accumulate int
		}{{[]int{8}, 1}, {[]int{4, 4}, 2}, {[]int{6, 2}, 2}, {[]int{2, 2, 2, 2}, 4}} {
			o, cfg := toyOptions(b), toyConfig()
			o.Batches, cfg.Accumulate, cfg.Epochs, cfg.Update = splitBatches{c.split, 6}, c.accumulate, 1, update
			if res := mustTrain(t, o, cfg); res.Steps != 6 {
				t.Fatalf("%v: %d steps, want 6", c.split, res.Steps)
			}
			got := weights(o.Store, IsModelPath)
			if want == nil {
				want = got
				continue
			}
			for path, w := range want {
				for i := range w {
					if d := math.Abs(float64(w[i] - got[path][i])); d > 1e-5 {
						t.Errorf("%v: %s[%d] differs by %g from one batch", c.split, path, i, d)
					}
				}
			}
		}
	})
}

// splitBatches gives the rows of batches of 8 in parts.
type splitBatches struct {
	parts []int
	of8   int
}

func (s splitBatches) Steps(int) int { return s.of8 * len(s.parts) }

func (s splitBatches) Batch(_ context.Context, _, step int) (Batch, error) {
	first := step / len(s.parts) * 8
	for _, p := range s.parts[:step%len(s.parts)] {
		first += p
	}
	return rows(first, s.parts[step%len(s.parts)]), nil
}

// A last group that is shorter than Accumulate is still an update.
func TestPartialAccumulation(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	cfg.Accumulate, cfg.Epochs = 2, 2
	if res := mustTrain(t, o, cfg); res.Steps != 6 { // 5 batches an epoch: 3 updates
		t.Errorf("%d steps, want 6", res.Steps)
	}
}

// stopAfter cancels when a batch is asked for, so that training stops early at
// an unforeseeable but harmless place.
type stopAfter struct {
	Batches
	epoch, step int
	stop        context.CancelFunc
}

func (s stopAfter) Batch(ctx context.Context, epoch, step int) (Batch, error) {
	if epoch == s.epoch && step == s.step {
		s.stop()
	}
	return s.Batches.Batch(ctx, epoch, step)
}

// N steps are k steps, a stop, and N-k steps more, bit for bit: weights,
// moments, averages, records and the best choice.
func TestResumeIsBitExact(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		for _, accumulate := range []int{1, 2} {
			cfg := toyConfig()
			cfg.Accumulate, cfg.EMADecay, cfg.Prefetch, cfg.Update = accumulate, 0.9, 0, update
			make := func() Options {
				o := toyOptions(b)
				o.Model, o.Run = toyModel{dropout: true}, newRun(t)
				o.Batches = toyBatches{steps: 5, sizes: []int{8, 5}}
				return o
			}
			whole := make()
			mustTrain(t, whole, cfg)
			for _, at := range [][2]int{{0, 1}, {1, 0}, {2, 4}} {
				part := make()
				ctx, cancel := context.WithCancel(context.Background())
				first := part
				first.Batches = stopAfter{part.Batches, at[0], at[1], cancel}
				if _, err := Train(ctx, first, cfg); !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "--resume auto") {
					t.Fatalf("stopped at %v: %v, want ErrInterrupted with what to do", at, err)
				}
				part.Store, part.Resume = model.NewStore(), true
				res := mustTrain(t, part, cfg)
				if res.ResumedAt == 0 && at[0] > 0 {
					t.Errorf("stopped at %v: resumed from the start", at)
				}
				compareStores(t, at, whole.Store, part.Store)
				compareRecords(t, at, whole.Run, part.Run)
			}
		}
	})
}

func compareStores(t *testing.T, at any, a, b *model.Store) {
	t.Helper()
	wa, wb := weights(a, persistent), weights(b, persistent)
	if !slices.Equal(slices.Sorted(maps.Keys(wa)), slices.Sorted(maps.Keys(wb))) {
		t.Fatalf("%v: other variables", at)
	}
	for path := range wa {
		if !slices.Equal(wa[path], wb[path]) {
			t.Errorf("stopped at %v: %s differs after resuming", at, path)
		}
	}
}

// compareRecords compares everything but the windows of the training loss, which
// begin anew after a stop.
func compareRecords(t *testing.T, at any, a, b *run.Run) {
	t.Helper()
	strip := func(r *run.Run) []run.Record {
		list, err := r.ReadMetrics()
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			list[i].Time = time.Time{}
			if list[i].Kind == "train" {
				list[i].Values = nil
			}
		}
		return list
	}
	if ra, rb := strip(a), strip(b); !reflect.DeepEqual(ra, rb) {
		t.Errorf("stopped at %v: records\n%v\nwant\n%v", at, rb, ra)
	}
}

// A bad batch ends training; weights and checkpoint are as after the last good step.
func TestNotFiniteLeavesWeights(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend, update string) {
		for _, accumulate := range []int{1, 2} {
			cfg := toyConfig()
			cfg.Accumulate, cfg.CheckpointSteps, cfg.EMADecay, cfg.Update = accumulate, 1, 0.9, update
			o := toyOptions(b)
			o.Run = newRun(t)
			o.Batches = toyBatches{steps: 5, sizes: []int{8}, bad: func(epoch, step int, b *Batch) {
				if epoch == 0 && step == 4 {
					b.Inputs[1].Data.([]float32)[3] = float32(math.NaN())
				}
			}}
			_, err := Train(context.Background(), o, cfg)
			if !errors.Is(err, ErrNotFinite) {
				t.Fatalf("error %v, want ErrNotFinite", err)
			}
			for _, want := range []string{"epoch 0", "batch 4", "losses before"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			fresh := model.NewStore()
			ck, err := o.Run.OpenCheckpoint(run.Last)
			if err != nil {
				t.Fatal(err)
			}
			if err := ck.Restore(fresh, nil); err != nil {
				t.Fatal(err)
			}
			ck.Close()
			compareStores(t, "nan", fresh, o.Store)
			if ck.State.Step != 4/accumulate {
				t.Errorf("checkpoint at step %d", ck.State.Step)
			}
		}
	})
}

func TestEarlyStopAndBest(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	o.Run = newRun(t)
	scores := []float64{3, 1, 2, 5, 0}
	call := 0
	o.Validate = func(context.Context, *model.Store) (map[string]float64, error) {
		call++
		return map[string]float64{"loss": scores[call-1]}, nil
	}
	cfg.Epochs, cfg.Patience = 5, 2
	res := mustTrain(t, o, cfg)
	if !res.StoppedEarly || res.Epochs != 4 || res.Best == nil || res.Best.Epoch != 1 || res.Best.Value != 1 {
		t.Errorf("result %+v, best %+v; want a stop after epoch 4 with the best in epoch 1", res, res.Best)
	}
	ck, err := o.Run.OpenCheckpoint(run.Best)
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	if ck.State.Best.Epoch != 1 {
		t.Errorf("best checkpoint is of epoch %d", ck.State.Best.Epoch)
	}
	for _, name := range ck.Tensors().Names() {
		if !IsModelPath("/" + name) {
			t.Errorf("best checkpoint holds %s; want weights only", name)
		}
	}
	// Resuming a run that stopped early does nothing more.
	o.Store, o.Resume = model.NewStore(), true
	if again := mustTrain(t, o, cfg); again.Steps != res.Steps || call != 4 {
		t.Errorf("resumed run did %d steps and %d validations", again.Steps-res.Steps, call)
	}
}

// With an average, validation and "best" see it, and training goes on with the
// plain weights.
func TestValidationSeesAverage(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	o.Run, cfg.Epochs, cfg.EMADecay = newRun(t), 1, 0.5
	var seen map[string][]float32
	o.Validate = func(_ context.Context, s *model.Store) (map[string]float64, error) {
		seen = weights(s, IsModelPath)
		return map[string]float64{"loss": 1}, nil
	}
	mustTrain(t, o, cfg)
	for path, w := range weights(o.Store, IsModelPath) {
		avg := weights(o.Store, func(p string) bool { return p == "/ema"+path })["/ema"+path]
		if !slices.Equal(avg, seen[path]) || slices.Equal(w, seen[path]) {
			t.Errorf("%s: validation saw %v, average %v, weights %v", path, seen[path], avg, w)
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	b := goBackend(t)
	for _, c := range []struct {
		name   string
		change func(o *Options, c *Config)
		want   error
		says   string
	}{
		{"setting", func(_ *Options, c *Config) { c.LR = -1 }, ErrBadConfig, "lr is -1"},
		{"resume without run", func(o *Options, _ *Config) { o.Resume = true }, ErrBadConfig, "run folder"},
		{"progress", func(o *Options, _ *Config) { o.Progress.Mode = "loud" }, ErrBadConfig, "loud"},
		{"no batches", func(o *Options, _ *Config) { o.Batches = toyBatches{steps: 0, sizes: []int{8}} }, ErrBadBatch, "no step"},
		{"metric", func(_ *Options, c *Config) { c.KeepBest = "acc" }, ErrBadConfig, `"acc"`},
		{"weight", func(o *Options, _ *Config) {
			o.Batches = toyBatches{steps: 2, sizes: []int{8}, bad: func(_, s int, b *Batch) { b.Weight = float64(1 - s) }}
		}, ErrBadBatch, "batch 1: weight 0"},
		{"dims", func(o *Options, _ *Config) {
			o.Batches = toyBatches{steps: 2, sizes: []int{8}, bad: func(_, s int, b *Batch) { b.Inputs[1].Dims = []int{9 - s} }}
		}, ErrBadBatch, "needs 9 values, has 8"},
		{"type", func(o *Options, _ *Config) {
			o.Batches = toyBatches{steps: 2, sizes: []int{8}, bad: func(_, _ int, b *Batch) { b.Inputs[1].Data = []string{} }}
		}, ErrBadBatch, "[]string"},
	} {
		o, cfg := toyOptions(b), toyConfig()
		c.change(&o, &cfg)
		if _, err := Train(context.Background(), o, cfg); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %v saying %q", c.name, err, c.want, c.says)
		}
	}
}

// A checkpoint of another seed or another data set is refused.
func TestResumeRefusesOther(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	o.Run = newRun(t)
	mustTrain(t, o, cfg)
	o.Store, o.Resume, cfg.Seed = model.NewStore(), true, 9
	if _, err := Train(context.Background(), o, cfg); !errors.Is(err, run.ErrMismatch) || !strings.Contains(err.Error(), "seed 1") {
		t.Errorf("error %v, want ErrMismatch naming the seed", err)
	}
}

func TestCompilesOncePerShape(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	o.Batches = toyBatches{steps: 9, sizes: []int{8, 4, 6}}
	if res := mustTrain(t, o, cfg); res.Compilations != 3 || res.Steps != 27 {
		t.Errorf("%d compilations in %d steps, want 3 in 27", res.Compilations, res.Steps)
	}
}

func TestPlanCountsByHand(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	cfg.EMADecay = 0.9
	p, err := NewPlan(context.Background(), o, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	params := toyFeatures*toyHidden + toyHidden + toyHidden
	// Products of a batch of 8: x w1, h w2, and backwards dw1, dw2, dh.
	flops := 2 * 8.0 * toyHidden * (toyFeatures + 1 + toyFeatures + 1 + 1)
	if p.Parameters != params || p.Variables != 3 || p.WeightBytes != int64(4*params) || p.OptimizerBytes != int64(3*4*params) {
		t.Errorf("plan %+v, want %d parameters in 3 variables", p, params)
	}
	if p.FLOPsPerBatch != flops || p.Steps != 15 || p.Batches != 15 || p.Seconds != p.FLOPs/1e9 || p.Shapes != 1 {
		t.Errorf("plan %+v, want %v operations a batch and 15 steps", p, flops)
	}
}

func goBackend(t *testing.T) compute.Backend {
	t.Helper()
	b, err := compute.NewWithConfig("go")
	if err != nil {
		t.Fatal(err)
	}
	return b
}
