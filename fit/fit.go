// Package fit puts the parts of a run together: a recipe and data become a
// network, its batches and its predictor. Training, evaluation, recommendation
// and benchmarks all assemble here, so that a run means the same in each.
package fit

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
)

// Assembly is a recipe applied to its data, ready to train or predict.
type Assembly struct {
	Recipe  *recipe.Recipe
	Dataset *poi.Dataset
	Index   *index.Index
	Report  *pipeline.Report
	Stats   *evidence.Stats // nil without a copy head
	Encoder *batch.Encoder
	Model   *spacetime.Model
	Sampler *batch.Sampler
}

// tokens adapts an index to the network.
type tokens struct{ ix *index.Index }

func (t tokens) Token(p int32) (int32, int32) { return t.ix.Token(p) }

func (t tokens) Sizes() (int, int) {
	if !t.ix.Mode.Hierarchical() {
		return 0, len(t.ix.Places)
	}
	return t.ix.NumBlocks(), t.ix.MaxInner()
}

// Assemble loads the data of a recipe and builds everything but the weights.
func Assemble(ctx context.Context, r *recipe.Recipe, progress pipeline.Progress) (*Assembly, error) {
	d, ix, report, err := pipeline.Load(ctx, r.Data, progress)
	if err != nil {
		return nil, err
	}
	return New(r, d, ix, report)
}

// New is Assemble on data already loaded.
func New(r *recipe.Recipe, d *poi.Dataset, ix *index.Index, report *pipeline.Report) (*Assembly, error) {
	if len(d.Targets[poi.Train]) == 0 {
		return nil, fmt.Errorf("the data set %s has no training targets after its filters: %w; see `whereto data describe`", d.Name, poi.ErrEmpty)
	}
	a := &Assembly{Recipe: r, Dataset: d, Index: ix, Report: report, Encoder: batch.NewEncoder(d, r.Batch)}
	if r.Model.CopyHead {
		a.Stats = evidence.Fit(d)
	}
	tables := spacetime.NewTables(d, tokens{ix}, r.Hier(), a.Encoder, r.Batch)
	a.Model = &spacetime.Model{Config: r.Model, Tables: tables}
	a.Sampler = batch.NewSampler(d, a.Encoder, a.Stats, r.Evidence, r.Training.Seed)
	if a.Stats != nil {
		tables.Standardise(a.sample())
	}
	return a, nil
}

// sampled is how many training targets the scale of the evidence is taken from.
const sampled = 2000

// sample computes the evidence of evenly spaced training targets.
func (a *Assembly) sample() []*evidence.Set {
	targets := a.Dataset.Targets[poi.Train]
	step := max(1, len(targets)/sampled)
	b := evidence.NewBuilder(a.Stats, a.Recipe.Evidence)
	var sets []*evidence.Set
	for i := 0; i < len(targets); i += step {
		q := a.Dataset.QueryOf(targets[i])
		set := new(evidence.Set)
		b.Compute(&q, set)
		sets = append(sets, set)
	}
	return sets
}

// NewStore returns an empty store with the recipe's seed.
func (a *Assembly) NewStore() *model.Store {
	s := model.NewStore()
	s.SetParam(model.ParamInitialSeed, a.Recipe.Training.Seed)
	return s
}

// Predictor returns the predictor of the weights in store.
func (a *Assembly) Predictor(name string, backend compute.Backend, store *model.Store) (*recommend.Predictor, error) {
	return recommend.New(recommend.Parts{Name: name, Backend: backend, Store: store, Model: a.Model, Dataset: a.Dataset,
		Index: a.Index, Stats: a.Stats, Evidence: a.Recipe.Evidence, Encoder: a.Encoder, Batch: a.Recipe.Batch, Config: a.Recipe.Recommend})
}

// Validate returns the function that training calls to choose an epoch: the
// protocol's metrics on the validation targets, never on test.
func (a *Assembly) Validate(backend compute.Backend) training.ValidateFunc {
	var p *recommend.Predictor
	return func(ctx context.Context, store *model.Store) (map[string]float64, error) {
		if p == nil {
			var err error
			if p, err = a.Predictor("validation", backend, store); err != nil {
				return nil, err
			}
		}
		res, _, err := eval.Run(ctx, a.Dataset, poi.Validation, p, nil, eval.Options{Seed: a.Recipe.Training.Seed, Resamples: 100, Rows: a.Recipe.Measure.Validation})
		if err != nil {
			return nil, err
		}
		out := map[string]float64{}
		for k, v := range res.Metrics {
			out[k] = v.Value
		}
		return out, nil
	}
}

// Batches adapts the sampler to training.
func (a *Assembly) Batches() training.Batches { return batches{a.Sampler} }

type batches struct{ s *batch.Sampler }

func (b batches) Steps(epoch int) int { return b.s.Steps(epoch) }

func (b batches) Batch(ctx context.Context, epoch, step int) (training.Batch, error) {
	if err := ctx.Err(); err != nil {
		return training.Batch{}, err
	}
	in := b.s.Batch(epoch, step)
	out := training.Batch{Weight: in.Weight, Tokens: in.Tokens, Inputs: make([]training.Array, len(in.Arrays))}
	for i, a := range in.Arrays {
		out.Inputs[i] = training.Array{Dims: a.Dims, Data: a.F}
		if a.I != nil {
			out.Inputs[i].Data = a.I
		}
	}
	return out, nil
}

var _ training.Model = (*spacetime.Model)(nil)
