package fit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// Plan says what training this assembly will cost, from its graphs and a sample
// of its batches; nothing is trained. gflops is the measured speed of a training
// step in 1e9 operations a second, 0 if unknown.
func (a *Assembly) Plan(ctx context.Context, backend compute.Backend, gflops float64) (training.Plan, error) {
	return training.NewPlan(ctx, a.Options(backend, a.NewStore()), a.Recipe.Training, gflops)
}

// Options are what training needs of this assembly. Without validation targets
// no epoch can be chosen, so there is no Validate then.
func (a *Assembly) Options(backend compute.Backend, store *model.Store) training.Options {
	o := training.Options{Backend: backend, Store: store, Model: a.Model, Batches: a.Batches()}
	if len(a.Dataset.Targets[poi.Validation]) > 0 {
		o.Validate = a.Validate(backend)
	}
	return o
}

// checkWeights builds the graph of the loss, without compiling it, to see which
// variables the network wants: one that the checkpoint does not hold would
// otherwise be drawn at random without a word.
func (t *Trained) checkWeights(backend compute.Backend) error {
	have := map[string]bool{}
	for v := range t.Store.IterVariables() {
		have[v.Path()] = true
	}
	g := graph.NewGraph(backend, "check")
	defer g.Finalize()
	err := exceptions.TryCatch[error](func() {
		model.SetStore(g, t.Store)
		in := make([]*graph.Node, batch.NumInputs)
		for i, a := range t.Sampler.Batch(0, 0).Arrays {
			dtype := dtypes.Float32
			if a.I != nil {
				dtype = dtypes.Int32
			}
			in[i] = graph.Parameter(g, fmt.Sprint(i), shapes.Make(dtype, a.Dims...))
		}
		t.Model.Loss(t.Store.RootScope(), in, graph.ScalarZero(g, dtypes.Float32))
	})
	if err != nil {
		return fmt.Errorf("the weights do not fit the recipe's network: %w: %w", run.ErrMismatch, err)
	}
	var lacking []string
	for v := range t.Store.IterVariables() {
		if !have[v.Path()] && training.IsModelPath(v.Path()) {
			lacking = append(lacking, v.Path())
		}
	}
	if len(lacking) > 0 {
		slices.Sort(lacking)
		return fmt.Errorf("the network has %d variables that the checkpoint lacks (%s): %w; use the version of whereto that trained it, or train again",
			len(lacking), strings.Join(lacking[:min(5, len(lacking))], ", "), run.ErrMismatch)
	}
	return nil
}
