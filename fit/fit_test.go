package fit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// tinyRecipe is the default recipe with every addition on, made small: one layer of
// 24 numbers, no dropout, no averaged weights.
func tinyRecipe(mode index.Mode) *recipe.Recipe {
	r := recipe.Default()
	r.Data.Index = index.Options{Mode: mode, SizeKM: 5}
	r.Evidence.MaxPast, r.Evidence.Next, r.Evidence.Near, r.Evidence.History = 8, 2, 2, 100
	r.Batch.Window, r.Batch.Chunk, r.Batch.Size, r.Batch.Profile, r.Batch.GeoTable = 16, 8, 8, 2, 64
	d := &r.Model.Decoder
	d.Layers, d.Dim, d.Heads, d.KVHeads, d.FFN, d.Dropout = 1, 24, 2, 2, 32, 0
	r.Model.Dropout, r.Model.HeadHidden, r.Model.HeadOut, r.Model.GenerateWeight = 0, 16, 8, 0
	c := &r.Training
	c.Epochs, c.LR, c.MinLR, c.Warmup, c.Decay, c.EMADecay = 1, 0.01, 0.001, 5, 0, 0
	c.CheckpointMinutes, c.LogEvery, c.Prefetch = 0, 1, 0
	r.Recommend.Batch = 16
	return &r
}

func assemble(t testing.TB, r *recipe.Recipe, d *poi.Dataset) *fit.Assembly {
	t.Helper()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	ix, err := index.Build(d.Places, pipeline.Popularity(d), r.Data.Index)
	if err != nil {
		t.Fatal(err)
	}
	a, err := fit.New(r, d, ix, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trainOn trains without validation and returns the losses by step.
func trainOn(t testing.TB, a *fit.Assembly, be compute.Backend, b training.Batches) (*model.Store, []float64) {
	t.Helper()
	r := newRun(t, a)
	o := training.Options{Backend: be, Store: a.NewStore(), Model: a.Model, Batches: b, Run: r, Progress: training.Progress{Mode: "none"}}
	if _, err := training.Train(context.Background(), o, a.Recipe.Training); err != nil {
		t.Fatal(err)
	}
	var losses []float64
	for _, rec := range records(t, r) {
		if rec.Kind == "train" {
			losses = append(losses, rec.Values["loss"])
		}
	}
	return o.Store, losses
}

func newRun(t testing.TB, a *fit.Assembly) *run.Run {
	t.Helper()
	text, err := a.Recipe.Resolved()
	if err != nil {
		t.Fatal(err)
	}
	meta := run.NewMeta(a.Recipe.Name, text)
	meta.DataFingerprint, meta.IndexFingerprint = a.Dataset.Fingerprint, a.Index.Fingerprint()
	r, err := run.Create(filepath.Join(t.TempDir(), "run"), meta, text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func records(t testing.TB, r *run.Run) []run.Record {
	t.Helper()
	list, err := r.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// only gives the first batch of Batches again and again.
type only struct {
	training.Batches
	steps int
}

func (o only) Steps(int) int { return o.steps }

func (o only) Batch(ctx context.Context, _, _ int) (training.Batch, error) {
	return o.Batches.Batch(ctx, 0, 0)
}

func TestOverfitsOneBatch(t *testing.T) {
	be := testkit.Backends(t)["go"]
	for _, mode := range []index.Mode{index.Flat, index.Hier} {
		t.Run(string(mode), func(t *testing.T) {
			r := tinyRecipe(mode)
			r.Training.LR = 0.02
			a := assemble(t, r, testkit.Toy(1, 8, 20))
			_, losses := trainOn(t, a, be, only{a.Batches(), 50})
			t.Logf("loss %.3f, then %.4f after %d steps", losses[0], losses[len(losses)-1], len(losses))
			if last := losses[len(losses)-1]; !(last < 0.05) || losses[0] < 1 {
				t.Errorf("loss %.4f after %d steps on one batch, from %.4f; want below 0.05", last, len(losses), losses[0])
			}
		})
	}
}

// golden are the first ten losses on the toy data, made by this test on "go". They
// change with the network, its initial values, the evidence and the order of
// batches: if that was meant, take the new ones from the message.
var golden = map[index.Mode][]float64{
	index.Flat: {3.800031, 3.469779, 2.877104, 2.293426, 1.917488, 1.670311, 1.165455, 1.244277, 2.825087, 1.310893},
	index.Hier: {4.032200, 3.749609, 3.013304, 2.334928, 1.949972, 1.637709, 1.152096, 1.439862, 2.790942, 1.375253},
}

func TestTenGoldenLosses(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for mode, want := range golden {
			t.Run(name+"/"+string(mode), func(t *testing.T) {
				r := tinyRecipe(mode)
				r.Training.MaxSteps, r.Model.GenerateWeight = 10, 0.1
				a := assemble(t, r, testkit.Toy(2, 12, 20))
				_, got := trainOn(t, a, be, a.Batches())
				if len(got) != len(want) {
					t.Fatalf("%d losses %.6f, want %d", len(got), got, len(want))
				}
				for i := range got {
					if !(math.Abs(got[i]-want[i]) <= 1e-3) {
						t.Fatalf("step %d: loss %.6f, want %.6f; all are %.6f", i+1, got[i], want[i], got)
					}
				}
			})
		}
	}
}

// stopping cancels when a batch is asked for.
type stopping struct {
	training.Batches
	epoch, step int
	stop        context.CancelFunc
}

func (s stopping) Batch(ctx context.Context, epoch, step int) (training.Batch, error) {
	if epoch == s.epoch && step == s.step {
		s.stop()
	}
	return s.Batches.Batch(ctx, epoch, step)
}

// N steps are k steps, a stop, and N-k steps more, bit for bit: weights, moments and
// averages, with dropout, an average and a choice by validation.
func TestResumeIsBitExact(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			r := tinyRecipe(index.Hier)
			r.Model.Dropout, r.Model.Decoder.Dropout = 0.2, 0.2
			r.Training.Epochs, r.Training.EMADecay = 2, 0.9
			fresh := func() (*fit.Assembly, training.Options) {
				a := assemble(t, r, testkit.Toy(3, 6, 12)) // anew, as another process would
				o := a.Options(be, a.NewStore())
				o.Run, o.Progress.Mode = newRun(t, a), "none"
				if name != "go" {
					o.Validate = nil // compiling its graphs is most of the time there
				}
				return a, o
			}
			a, whole := fresh()
			if _, err := training.Train(context.Background(), whole, r.Training); err != nil {
				t.Fatal(err)
			}
			_, first := fresh()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			steps := a.Sampler.Steps(0)
			if steps < 3 {
				t.Fatalf("an epoch has %d batches; too few to stop within", steps)
			}
			first.Batches = stopping{first.Batches, 0, steps - 1, cancel}
			if _, err := training.Train(ctx, first, r.Training); !errors.Is(err, training.ErrInterrupted) {
				t.Fatalf("stopped: %v, want ErrInterrupted", err)
			}
			_, second := fresh()
			second.Run, second.Resume = first.Run, true
			res, err := training.Train(context.Background(), second, r.Training)
			if err != nil {
				t.Fatal(err)
			}
			if res.ResumedAt == 0 || res.ResumedAt >= res.Steps {
				t.Errorf("resumed at step %d of %d", res.ResumedAt, res.Steps)
			}
			compareStores(t, second.Store, whole.Store)
			if name == "go" {
				compareValidation(t, second.Run, whole.Run)
			}
		})
	}
}

func compareStores(t *testing.T, got, want *model.Store) {
	t.Helper()
	a, b := variables(got), variables(want)
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) || len(a) < 50 {
		t.Fatalf("variables %v, want %v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	for path := range a {
		if !slices.Equal(a[path], b[path]) {
			t.Errorf("%s differs after resuming", path)
		}
	}
}

// variables copies what training keeps: weights, moments, averages.
func variables(s *model.Store) map[string][]float32 {
	out := map[string][]float32{}
	for v := range s.IterVariables() {
		if v.DType() == dtypes.Float32 {
			out[v.Path()] = tensors.MustCopyFlatData[float32](v.MustValue())
		}
	}
	return out
}

// compareValidation compares the last validation of two runs.
func compareValidation(t *testing.T, got, want *run.Run) {
	t.Helper()
	last := func(r *run.Run) (values map[string]float64) {
		for _, rec := range records(t, r) {
			if rec.Kind == "validation" {
				values = rec.Values
			}
		}
		return values
	}
	if a, b := last(got), last(want); len(b) == 0 || !maps.Equal(a, b) {
		t.Errorf("validation %v, want %v", a, b)
	}
}

// A short training beats the counter, which ignores the hour that the toy people
// live by.
func TestBeatsTheCounter(t *testing.T) {
	be := testkit.Backends(t)["go"]
	r := tinyRecipe(index.Flat)
	r.Training.Epochs = 6
	d := testkit.Toy(4, 24, 20)
	a := assemble(t, r, d)
	store, _ := trainOn(t, a, be, a.Batches())
	p, err := a.Predictor("toy", be, store)
	if err != nil {
		t.Fatal(err)
	}
	res, _, err := eval.Run(context.Background(), d, poi.Test, p, baseline.All(d), eval.Options{Seed: 1, Resamples: 100})
	if err != nil {
		t.Fatal(err)
	}
	ours := res.Metrics["acc@1"].Value
	for name, floor := range res.Floors {
		was := floor.Metrics["acc@1"].Value
		t.Logf("acc@1 %.3f on %d targets, %s %.3f", ours, res.N, name, was)
		if ours < was || (name == "counter" && ours < was+0.1) {
			t.Errorf("acc@1 is %.3f on %d targets, that of %s %.3f", ours, res.N, name, was)
		}
	}
}

// What training minimises is what the predictor says: on windows that hold whole
// histories, the loss of a batch is the mean of -log of the probability that
// recommend gives the target. This catches any skew between the two paths.
func TestPredictorGivesTheProbabilityOfTheLoss(t *testing.T) {
	for name, be := range testkit.Backends(t) {
		for _, mode := range []index.Mode{index.Flat, index.Hier} {
			for _, all := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/whole history %v", name, mode, all), func(t *testing.T) {
					r := tinyRecipe(mode)
					r.Batch.Window, r.Batch.Chunk, r.Model.WholeHistory = 24, 24, all
					r.Training.Warmup, r.Training.MinLR = 1, 0
					r.Recommend.Beam = beam.Width{Blocks: 40, Inners: 40}
					a := assemble(t, r, shortened(testkit.Toy(5, 6, 40), 24))
					// Three steps move the weights, the fourth, at a rate of zero, reads the loss.
					store, losses := trainOn(t, a, be, only{a.Batches(), 4})
					p, err := a.Predictor("toy", be, store)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := meanNLL(t, a, p), losses[len(losses)-1]; !(math.Abs(got-want) < 1e-4*want) {
						t.Errorf("the predictor's mean -log probability is %.6f, the loss %.6f", got, want)
					}
				})
			}
		}
	}
}

// shortened keeps the first n visits of every user, all for training.
func shortened(d *poi.Dataset, n int32) *poi.Dataset {
	for u := range d.Users {
		d.Users[u].Visits = d.Users[u].Visits[:n]
	}
	d.Targets = [3][]poi.Target{slices.DeleteFunc(d.Targets[poi.Train], func(t poi.Target) bool { return t.Pos >= n })}
	return d
}

// meanNLL asks the predictor for the targets of the first batch.
func meanNLL(t *testing.T, a *fit.Assembly, p poi.Scorer) float64 {
	t.Helper()
	b := a.Sampler.Batch(0, 0)
	requests := b.Arrays[batch.InRequest].Dims[1]
	var queries []poi.Query
	var labels []int32
	for i, user := range b.Arrays[batch.InUser].I {
		for m := range requests {
			if at := i*requests + m; b.Arrays[batch.InWeight].F[at] == 1 {
				target := poi.Target{User: user - 1, Pos: b.Arrays[batch.InRequest].I[at]}
				queries, labels = append(queries, a.Dataset.QueryOf(target)), append(labels, a.Dataset.Label(target))
			}
		}
	}
	if len(queries) != b.Targets {
		t.Fatalf("%d targets of weight one, the batch has %d", len(queries), b.Targets)
	}
	scores := make([][]float64, len(queries))
	for i := range scores {
		scores[i] = make([]float64, len(a.Dataset.Places))
	}
	if err := p.Scores(context.Background(), queries, scores); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i := range scores {
		sum -= math.Log(scores[i][labels[i]])
	}
	return sum / float64(len(scores))
}

// The loss asks only for actions with It = 1.
func TestOnlyIntentsAreTargets(t *testing.T) {
	d := testkit.Toy(6, 6, 12)
	kept := 0
	for k, target := range d.Targets[poi.Train] {
		v := &d.Users[target.User].Visits[target.Pos]
		if v.Intent = k%3 == 0; v.Intent {
			kept++
		}
	}
	a := assemble(t, tinyRecipe(index.Flat), d)
	asked := 0
	for step := range a.Sampler.Steps(0) {
		asked += a.Sampler.Batch(0, step).Targets
	}
	if asked != kept || kept == len(d.Targets[poi.Train]) {
		t.Errorf("an epoch asks for %d targets, want the %d of %d with an intent", asked, kept, len(d.Targets[poi.Train]))
	}
}
