// Package tune puts the stages of post-training together (paper sections 3.2.2 and
// 3.2.3): a pre-trained run, a feed of impressions and a recipe become batches, a
// loss and rankers. It is to `finetune` what package fit is to `pretrain`.
//
// Vocabulary: a stage is embed (two towers), rank (candidates scored behind a
// shared user prefix) or align (preferences against a frozen reference); the base
// is the run a stage starts from.
//
// Promises. A stage reads impressions of the training period only, and of each no
// action at or after it. The reference of alignment is the base's own weights: its
// log-probabilities are computed once, before training, so that it is frozen by
// construction. Scoring goes through the same encoder as training.
//
// Failure. Errors wrap those of the packages it joins; a feed with nothing to
// learn from wraps poi.ErrEmpty.
package tune

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/media"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
)

// Assembly is a stage ready to train or to score.
type Assembly struct {
	*fit.Assembly
	Feed   *poi.Feed
	Counts *pipeline.FeedReport
	Stage  *spacetime.Stage
	Media  *media.Matrix // nil: the stage sees no text and no image
}

// Options of Assemble.
type Options struct {
	Backend  compute.Backend
	Cache    string // folder for media vectors; "" keeps none
	Progress pipeline.Progress
}

// Assemble joins the data of a base with a recipe of post-training. The recipe was
// read over the base's own (recipe.Over).
func Assemble(ctx context.Context, base *fit.Assembly, rec *recipe.Recipe, o Options) (*Assembly, error) {
	if s := rec.Tune.Stage; s == "" || s == spacetime.StageBase {
		return nil, fmt.Errorf("recipe %s is of stage %q: %w; a network is post-trained by embed, rank or align", rec.Name, s, poi.ErrBadInput)
	}
	if rec.Tune.Stage == spacetime.StageAlign && rec.Media.Kind != media.None {
		return nil, fmt.Errorf("recipe %s aligns with media.kind %s: %w; the generator proposes among all places and sees no media, set it to none", rec.Name, rec.Media.Kind, poi.ErrBadInput)
	}
	feed, counts, err := pipeline.LoadFeed(ctx, rec.Data, base.Dataset, o.Progress)
	if err != nil {
		return nil, err
	}
	// The network of the stage may see a shorter window, drop more or carry media,
	// so the base's parts are built again under the stage's recipe.
	own, err := fit.New(rec, base.Dataset, base.Index, base.Report)
	if err != nil {
		return nil, err
	}
	a := &Assembly{Assembly: own, Feed: feed, Counts: counts, Stage: &spacetime.Stage{Model: own.Model, Tune: rec.Tune}}
	if err := a.loadMedia(ctx, o); err != nil {
		return nil, err
	}
	return a, nil
}

// hoodLevel is the level of cells (geo.Cells) that count as one neighbourhood: about
// two kilometres.
const hoodLevel = 6

// loadMedia encodes text and images of all places, from the cache where it can.
func (a *Assembly) loadMedia(ctx context.Context, o Options) error {
	if a.Recipe.Media.Kind == media.None {
		return nil
	}
	enc, err := media.New(a.Recipe.Media, o.Backend)
	if err != nil {
		return err
	}
	details, err := pipeline.LoadDetails(ctx, a.Recipe.Data, a.Dataset)
	if err != nil {
		return err
	}
	told := 0
	progress := func(done, total int) {
		if o.Progress != nil && (done == total || done >= told+total/10) {
			told = done
			o.Progress(fmt.Sprintf("text and images of %d of %d places by %s", done, total, enc.Name()))
		}
	}
	if a.Media, err = media.Vectors(ctx, enc, a.Dataset.Places, details, o.Cache, progress); err != nil {
		return fmt.Errorf("vectors of places: %w", err)
	}
	if a.Recipe.Media.Relative {
		category, cell := make([]string, len(a.Dataset.Places)), make([]uint64, len(a.Dataset.Places))
		for i, p := range a.Dataset.Places {
			category[i], cell[i] = p.Category, geo.Cells(p.Lat, p.Lng)[hoodLevel]
		}
		media.Relative(a.Media, category)
		media.Relative(a.Media, cell)
	}
	if a.Recipe.Media.Standardize {
		a.Media.Standardize()
	}
	a.Model.Tables.Media = a.Media.Dim
	return nil
}

// vectors adapts a matrix to batches.
type vectors struct{ m *media.Matrix }

func (v vectors) Width() int               { return v.m.Dim }
func (v vectors) At(place int32) []float32 { return v.m.Row(int(place)) }

// shown is what batches take: nil without media.
func (a *Assembly) shown() batch.Media {
	if a.Media == nil {
		return nil
	}
	return vectors{a.Media}
}

// Start returns the store a stage trains: the base's weights, or none from scratch.
func (a *Assembly) Start(base *model.Store) *model.Store {
	if a.Recipe.Tune.Scratch || base == nil {
		return a.NewStore()
	}
	return base
}

// Options are what training needs of this stage. store holds the weights to start
// from; of alignment it is also the reference.
func (a *Assembly) Options(ctx context.Context, backend compute.Backend, store *model.Store, say pipeline.Progress) (training.Options, error) {
	tasks, err := a.tasks(ctx, backend, store, say)
	if err != nil {
		return training.Options{}, err
	}
	sampler, err := batch.NewFeedSampler(a.Dataset, a.Encoder, tasks, a.Recipe.Feed, a.shown(), a.Recipe.Training.Seed)
	if err != nil {
		return training.Options{}, err
	}
	o := training.Options{Backend: backend, Store: store, Model: a.Stage, Batches: batches{sampler}}
	if len(a.Feed.ByTag[poi.Validation]) > 0 {
		o.Validate = a.validate(backend)
	}
	return o, nil
}

// batches adapts the sampler to training.
type batches struct{ s *batch.FeedSampler }

func (b batches) Steps(epoch int) int { return b.s.Steps(epoch) }

func (b batches) Batch(ctx context.Context, epoch, step int) (training.Batch, error) {
	if err := ctx.Err(); err != nil {
		return training.Batch{}, err
	}
	in := b.s.Batch(epoch, step)
	out := training.Batch{Weight: in.Weight, Tokens: in.Tokens + in.Options, Inputs: make([]training.Array, len(in.Arrays))}
	for i, x := range in.Arrays {
		out.Inputs[i] = training.Array{Dims: x.Dims, Data: x.F}
		if x.I != nil {
			out.Inputs[i].Data = x.I
		}
	}
	return out, nil
}

var _ training.Model = (*spacetime.Stage)(nil)

// Trained is a run of post-training put together again.
type Trained struct {
	*Assembly
	Base  *fit.Trained // the same folder as a run of its own: recipe, data, weights
	Store *model.Store
}

// Close frees the run folder.
func (t *Trained) Close() error { return t.Base.Close() }

// Open loads the run folder of a stage. A folder of pre-training gives the align
// stage on its plain weights: the row "pre-trained" of a table.
func Open(ctx context.Context, dir string, fo fit.OpenOptions, o Options) (*Trained, error) {
	base, err := fit.OpenParts(ctx, dir, fo)
	if err != nil {
		return nil, err
	}
	t, err := open(ctx, base, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open run %s: %w", dir, err), base.Close())
	}
	return t, nil
}

func open(ctx context.Context, base *fit.Trained, o Options) (*Trained, error) {
	rec := base.Recipe
	if rec.Tune.Stage == "" {
		copied := *rec
		copied.Tune.Stage, rec = spacetime.StageAlign, &copied
	}
	a, err := Assemble(ctx, base.Assembly, rec, o)
	if err != nil {
		return nil, err
	}
	return &Trained{Assembly: a, Base: base, Store: base.Store}, a.complete(base.Store)
}

// complete checks that the weights hold all that the stage reads: what is lacking
// would else be drawn at random without a word.
func (a *Assembly) complete(store *model.Store) error {
	t := a.Recipe.Tune
	embed, rank, align := t.Stage == spacetime.StageEmbed, t.Stage == spacetime.StageRank, t.Stage == spacetime.StageAlign
	for _, w := range []struct {
		name   string
		needed bool
	}{
		{"embed/user", embed}, {"embed/place", embed}, {"interest/again", (embed || rank) && t.Interest > 0},
		{"rank/out", rank}, {"rank/bias", rank}, {"rank/likelihood", rank && t.Likelihood},
		{"kind", align}, {"place", align}, {"media/map", a.Media != nil},
	} {
		if w.needed && store.GetVariable("/spacetime/"+w.name) == nil {
			return fmt.Errorf("its weights have no %s: %w; train the stage again", w.name, run.ErrMismatch)
		}
	}
	return nil
}
