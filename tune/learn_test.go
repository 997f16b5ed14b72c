package tune

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
)

// Every stage trains from the pre-trained weights through the ordinary loop, and can
// fit a batch that it sees again and again.
func TestStagesOverfitOneBatch(t *testing.T) {
	w := getWorld(t)
	for _, c := range []struct {
		stage string
		sets  []string
		below float64 // share of the first loss
		both  bool    // on every engine
	}{
		{"embed", withMedia, .6, false},
		{"rank", nil, .5, true},
		{"rank", withMedia, .5, false},
		{"align", nil, .3, false},
		{"align", []string{"tune.loss=sdpo"}, .3, false},
	} {
		test := func(t *testing.T, backend compute.Backend) {
			a := w.stage(t, backend, c.stage, c.sets...)
			cfg := a.Recipe.Training
			cfg.LR, cfg.MaxSteps = .02, 40
			_, steps := a.learn(t, backend, w.weights(t), cfg, func(o *training.Options) { o.Batches = only{o.Batches, 40} })
			first, last := steps[0], steps[len(steps)-1]
			t.Logf("%s: loss %.4f, then %.4f; pair accuracy %.3f, then %.3f", c.stage, first["loss"], last["loss"], first["pair_accuracy"], last["pair_accuracy"])
			if len(steps) != 40 || !(last["loss"] < c.below*first["loss"]) {
				t.Errorf("%s %v: loss %v after %d steps on one batch, from %v; want below %v of it", c.stage, c.sets, last["loss"], len(steps), first["loss"], c.below)
			}
			if !(last["pair_accuracy"] > first["pair_accuracy"]) {
				t.Errorf("%s: pair accuracy %v, was %v", c.stage, last["pair_accuracy"], first["pair_accuracy"])
			}
		}
		if c.both {
			eachBackend(t, test)
			continue
		}
		test(t, pureGo(t))
	}
}

// A stage trains, validates and is chosen end to end.
func TestStageValidates(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range stages {
		a := w.stage(t, backend, stage)
		store := w.weights(t)
		o, err := a.Options(t.Context(), backend, store, nil)
		must(t, err)
		o.Run, o.Progress = newRun(t, a.Assembly), training.Progress{Mode: "none"}
		res, err := training.Train(t.Context(), o, a.Recipe.Training)
		must(t, err)
		if res.Steps != 6 || res.Best == nil || res.Best.Metric != "auc" {
			t.Fatalf("%s: %+v", stage, res)
		}
		// The figure is that of the ranker on the validation requests.
		var requests []*poi.Request
		for _, at := range a.Feed.ByTag[poi.Validation] {
			requests = append(requests, &a.Feed.Requests[at])
		}
		want, err := areas(requests, rank(t, a.ranker(t, backend, store), requests...))
		must(t, err)
		if math.Abs(want["auc"]-res.Best.Value) > 1e-9 || math.Abs(want["gauc"]-res.Best.All["gauc"]) > 1e-9 {
			t.Errorf("%s: validation gave %v, the ranker gives %v", stage, res.Best.All, want)
		}
	}
}

// Stopping and going on gives the weights of training in one go, bit by bit; the
// reference of alignment is computed again from the base.
func TestStagesResume(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range stages {
		a := w.stage(t, backend, stage, "model.dropout=0.1")
		cfg, whole := a.Recipe.Training, w.weights(t)
		a.learn(t, backend, whole, cfg, nil)

		ctx, stop := context.WithCancel(t.Context())
		r := newRun(t, a.Assembly)
		o, err := a.Options(t.Context(), backend, w.weights(t), nil)
		must(t, err)
		o.Validate, o.Run, o.Progress = nil, r, training.Progress{Mode: "none"}
		o.Batches = stopAt{o.Batches, 3, stop}
		if _, err := training.Train(ctx, o, cfg); !errors.Is(err, training.ErrInterrupted) {
			t.Fatalf("%s: %v, want an interruption", stage, err)
		}
		rest := w.weights(t)
		if o, err = a.Options(t.Context(), backend, rest, nil); err != nil {
			t.Fatal(err)
		}
		o.Validate, o.Run, o.Resume, o.Progress = nil, r, true, training.Progress{Mode: "none"}
		res, err := training.Train(t.Context(), o, cfg)
		must(t, err)
		if res.ResumedAt == 0 || res.ResumedAt >= cfg.MaxSteps {
			t.Fatalf("%s: resumed at step %d of %d", stage, res.ResumedAt, cfg.MaxSteps)
		}
		sameWeights(t, whole, rest)
	}
}

// stopAt cancels when a step is asked for.
type stopAt struct {
	training.Batches
	step int
	stop context.CancelFunc
}

func (s stopAt) Batch(ctx context.Context, epoch, step int) (training.Batch, error) {
	if step == s.step {
		s.stop()
	}
	return s.Batches.Batch(context.WithoutCancel(ctx), epoch, step)
}

// Before the first step the policy is the reference: the log-probabilities that each
// sample carries are those of the base, every margin is 0 and the loss is ln 2.
func TestAlignStartsAtItsReference(t *testing.T) {
	w := getWorld(t)
	eachBackend(t, func(t *testing.T, backend compute.Backend) {
		a := w.stage(t, backend, "align", "feed.requests=3", "training.max_steps=1")
		store := w.weights(t)
		tasks, err := a.tasks(t.Context(), backend, store, nil)
		must(t, err)
		base := a.ranker(t, backend, w.weights(t))
		for _, task := range tasks[:5] {
			scores := rank(t, base, task.Request)[0]
			for i, x := range scores {
				if math.Abs(x-float64(task.Extra[i])) > 1e-5 || !(x < 0) {
					t.Errorf("request %s, option %d: the reference says %v, the base %v", task.Request.ID, i, task.Extra[i], x)
				}
			}
		}
		_, steps := a.learn(t, backend, store, a.Recipe.Training, nil)
		if math.Abs(steps[0]["loss"]-math.Ln2) > 1e-5 || math.Abs(steps[0]["margin"]) > 1e-5 {
			t.Errorf("first step %v, want loss ln 2 and margin 0", steps[0])
		}
	})
}

// A stage reads training requests up to feed.until, and no other.
func TestUntil(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range stages {
		all := w.stage(t, backend, stage)
		half := w.stage(t, backend, stage, "feed.until=0.5")
		var times []int64
		for _, q := range all.Feed.Requests {
			if q.Tag == poi.Train {
				times = append(times, q.TimeMS)
			}
		}
		slices.Sort(times)
		end := times[(len(times)+1)/2-1]
		a, err := all.tasks(t.Context(), backend, w.weights(t), nil)
		must(t, err)
		b, err := half.tasks(t.Context(), backend, w.weights(t), nil)
		must(t, err)
		want := map[string]bool{}
		for _, task := range a {
			if task.Request.Tag != poi.Train {
				t.Fatalf("%s learns from request %s of %s", stage, task.Request.ID, task.Request.Tag)
			}
			if task.Request.TimeMS <= end {
				want[task.Request.ID] = true
			}
		}
		for _, task := range b {
			if !want[task.Request.ID] {
				t.Errorf("%s with feed.until 0.5 learns from request %s", stage, task.Request.ID)
			}
		}
		if len(b) != len(want) || len(b) >= len(a) || len(b) == 0 {
			t.Errorf("%s: %d tasks up to the half, %d in all, want %d", stage, len(b), len(a), len(want))
		}
		for i := range b[1:] {
			x, y := b[i].Request, b[i+1].Request
			if x.User > y.User || x.User == y.User && x.TimeMS > y.TimeMS {
				t.Fatalf("%s: tasks %d and %d are not in the order of user and time", stage, i, i+1)
			}
		}
	}
}

// InfoNCE gets only requests that tell something apart; the binary loss gets all.
func TestTasksOfStages(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	count := map[string]int{}
	for _, stage := range stages {
		a := w.stage(t, backend, stage)
		tasks, err := a.tasks(t.Context(), backend, w.weights(t), nil)
		must(t, err)
		count[stage] = len(tasks)
		for _, task := range tasks {
			if stage != spacetime.StageRank && !mixed(task.Request) {
				t.Errorf("%s learns from %s, which tells nothing apart", stage, task.Request.ID)
			}
		}
		if train := len(a.Feed.ByTag[poi.Train]); stage == spacetime.StageRank && len(tasks) != train {
			t.Errorf("rank learns from %d of %d requests", len(tasks), train)
		}
	}
	if count["embed"] >= count["rank"] || count["embed"] != count["align"] {
		t.Errorf("tasks %v, want fewer where a click and a miss are needed", count)
	}
	a := w.stage(t, backend, "rank")
	a.Feed.ByTag[poi.Train] = nil
	_, err := a.Options(t.Context(), backend, w.weights(t), nil)
	wantError(t, err, poi.ErrEmpty)
}

// The network is post-trained by its own stages only, and generates without media.
func TestAssembleRefuses(t *testing.T) {
	w := getWorld(t)
	for _, stage := range []string{"", "base"} {
		rec := *w.recipe(t, "rank")
		rec.Tune.Stage = stage
		_, err := Assemble(t.Context(), w.base, &rec, Options{})
		wantError(t, err, poi.ErrBadInput, "embed, rank or align")
	}
	_, err := Assemble(t.Context(), w.base, w.recipe(t, "align", withMedia...), Options{})
	wantError(t, err, poi.ErrBadInput, "sees no media")
}
