package fit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// OpenOptions says how to open a run. Only Backend is required.
type OpenOptions struct {
	Backend compute.Backend
	// Checkpoint is run.Best (the default) or run.Last. With averaged weights
	// (training.ema_decay) "best" holds the average and "last" the plain weights.
	Checkpoint string
	Data       []string // where the data is now; nil: where it was at training
	Protocol   string   // pose the questions of another protocol; "": the run's own
	Progress   pipeline.Progress
}

// Trained is a run put together again: recipe, data, index and weights.
type Trained struct {
	*Assembly
	Run       *run.Run
	State     run.State // of the checkpoint
	Store     *model.Store
	Predictor *recommend.Predictor
	// Questions is the data set whose targets are asked: Assembly.Dataset, or the
	// same users and places under OpenOptions.Protocol.
	Questions *poi.Dataset
}

// Close frees the run folder, the weights and what was compiled for the predictor: an
// engine's memory is not the garbage collector's. Nobody may use them any more.
func (t *Trained) Close() error {
	if t.Predictor != nil {
		t.Predictor.Close()
	}
	if t.Store != nil {
		t.Store.Finalize()
	}
	return t.Run.Close()
}

// Open loads a run folder and the data its recipe names. Data or an index other
// than those of training, and weights of another network, give run.ErrMismatch
// with both fingerprints; a folder that was not finished gives run.ErrIncomplete.
func Open(ctx context.Context, dir string, o OpenOptions) (*Trained, error) {
	if o.Checkpoint == "" {
		o.Checkpoint = run.Best
	}
	t, err := OpenParts(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	if err := t.checkWeights(o.Backend); err != nil {
		return nil, errors.Join(fmt.Errorf("open run %s, checkpoint %s: %w", dir, o.Checkpoint, err), t.Close())
	}
	if t.Predictor, err = t.Assembly.Predictor(t.Recipe.Name, o.Backend, t.Store); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// OpenParts is Open without a predictor, and without asking whether the weights are
// those of a generator: for runs of post-training.
func OpenParts(ctx context.Context, dir string, o OpenOptions) (t *Trained, err error) {
	if o.Checkpoint == "" {
		o.Checkpoint = run.Best
	}
	if o.Checkpoint != run.Best && o.Checkpoint != run.Last {
		return nil, fmt.Errorf("open run %s: checkpoint %q: %w: use %s or %s", dir, o.Checkpoint, poi.ErrBadInput, run.Best, run.Last)
	}
	r, err := run.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	rec, err := Recipe(r)
	if err != nil {
		return nil, err
	}
	ck, err := openWeights(r, o.Checkpoint)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ck.Close()) }()
	ix, err := openIndex(r)
	if err != nil {
		return nil, err
	}
	if o.Data != nil {
		rec.Data.Paths = o.Data
	}
	t = &Trained{Run: r, State: ck.State}
	if err := t.data(ctx, rec, ix, o); err != nil {
		return nil, err
	}
	t.Store = t.NewStore()
	return t, ck.Restore(t.Store, training.IsModelPath)
}

// Recipe reads the resolved recipe of a run folder.
func Recipe(r *run.Run) (*recipe.Recipe, error) {
	text, err := r.ReadFile(run.RecipeFile)
	if err != nil {
		return nil, err
	}
	rec, err := recipe.Parse(text, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; it was written by another version or edited: use the version that wrote it, or train again", r.Path(run.RecipeFile), err)
	}
	return rec, nil
}

// openWeights opens a checkpoint and says what to do where there is none.
func openWeights(r *run.Run, name string) (*run.Checkpoint, error) {
	if !r.HasCheckpoint(name) {
		hint := "train it with `whereto pretrain`"
		if name == run.Best && r.HasCheckpoint(run.Last) {
			hint = "no epoch was validated yet: let training go on, or take --checkpoint " + run.Last
		}
		return nil, fmt.Errorf("open run %s: it has no checkpoint %q: %w; %s", r.Dir(), name, run.ErrIncomplete, hint)
	}
	return r.OpenCheckpoint(name)
}

// openIndex loads index.bin and compares it with meta.json.
func openIndex(r *run.Run) (*index.Index, error) {
	path := r.Path(run.IndexFile)
	ix, err := index.Load(path)
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w: %w; copy the whole folder again, or go on with `whereto pretrain --resume auto`, which writes the index again", r.Dir(), run.ErrIncomplete, err)
	}
	if got, want := ix.Fingerprint(), r.Meta().IndexFingerprint; got != want {
		return nil, fmt.Errorf("%s has fingerprint %s, the run was trained with index %s: %w; copy the run's own index back", path, got, want, run.ErrMismatch)
	}
	return ix, nil
}

// data reads the data of the recipe, checks that it is that of training and
// assembles. The places must be those of the index, one by one.
func (t *Trained) data(ctx context.Context, rec *recipe.Recipe, ix *index.Index, o OpenOptions) error {
	log, err := pipeline.Read(ctx, rec.Data, io.Discard, o.Progress)
	if err != nil {
		return fmt.Errorf("read the data of run %s: %w; if it has moved, say where with --data", t.Run.Dir(), err)
	}
	d, report, err := pipeline.Describe(ctx, rec.Data, log, o.Progress)
	if err != nil {
		return err
	}
	if err := SameData(t.Run, d); err != nil {
		return err
	}
	if err := samePlaces(ix, d); err != nil {
		return fmt.Errorf("index of run %s: %w", t.Run.Dir(), err)
	}
	if t.Assembly, err = New(rec, d, ix, report); err != nil {
		return err
	}
	t.Questions = d
	if o.Protocol == "" || o.Protocol == d.Protocol {
		return nil
	}
	other := rec.Data
	other.Protocol = o.Protocol
	if err := other.Validate(); err != nil {
		return err
	}
	if t.Questions, _, err = pipeline.Describe(ctx, other, log, o.Progress); err != nil {
		return err
	}
	return sameWorld(d, t.Questions)
}

// SameData compares a data set with the one a run was made from.
func SameData(r *run.Run, d *poi.Dataset) error {
	if got, want := d.Fingerprint, r.Meta().DataFingerprint; got != want {
		return fmt.Errorf("run %s was trained on data %s, the data at hand (%s) is %s: %w; give the data of training with --data, or train again",
			r.Dir(), want, d.Name, got, run.ErrMismatch)
	}
	return nil
}

// samePlaces checks that position and dense id mean the same place.
func samePlaces(ix *index.Index, d *poi.Dataset) error {
	if len(ix.Places) != len(d.Places) {
		return fmt.Errorf("it has %d places, the data %d: %w", len(ix.Places), len(d.Places), run.ErrMismatch)
	}
	for p := range d.Places {
		if ix.Places[p].ID != d.Places[p].ID {
			return fmt.Errorf("place %d is %q, in the data %q: %w", p, ix.Places[p].ID, d.Places[p].ID, run.ErrMismatch)
		}
	}
	return nil
}

// sameWorld checks that two data sets number users and places alike and cut time
// alike, so that a network trained on one can answer the other's questions
// without having seen the answers.
func sameWorld(a, b *poi.Dataset) error {
	places := slices.EqualFunc(a.Places, b.Places, func(x, y poi.Place) bool { return x.ID == y.ID })
	users := slices.EqualFunc(a.Users, b.Users, func(x, y poi.User) bool {
		return x.ID == y.ID && slices.EqualFunc(x.Visits, y.Visits, func(v, w poi.Visit) bool {
			return v.POI == w.POI && v.TimeMS == w.TimeMS && v.Tag == w.Tag
		})
	})
	if !places || !users {
		return fmt.Errorf("protocol %s keeps other places, users or visits of this data than %s, by which the run was trained: %w; train a run by that protocol", b.Protocol, a.Protocol, run.ErrMismatch)
	}
	return nil
}
