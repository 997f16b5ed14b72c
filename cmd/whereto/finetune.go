package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
	"github.com/whereto/whereto/tune"
)

var _ = register(newFinetuneCmd)

// baseFile tells from which run a run of post-training started.
const baseFile = "base.json"

// newFinetuneCmd returns `whereto finetune`: a trained run and impressions become a
// ranker, vectors, an aligned generator or a click model.
func newFinetuneCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "finetune",
		Short: "Post-train a run on impressions: embed, rank, align or base",
		Long: "Post-train a run on impressions (what was shown, what was clicked). The recipe\n" +
			"is read over that of the run it starts from: what it leaves out of the data, the\n" +
			"input and the network stays as it was.",
	}
	for _, h := range []stageHelp{
		{stage: spacetime.StageEmbed, short: "Vectors of users and places from two towers (InfoNCE)"},
		{stage: spacetime.StageRank, short: "Scores of candidates behind a shared user prefix (binary cross entropy)"},
		{stage: spacetime.StageAlign, short: "Preferences of clicks and rules into the generator (DPO, S-DPO)"},
		{spacetime.StageBase, "The ordinary click model, alone or with features of trained stages",
			"Train the click model that stands for an online ranker on the data of a run (its\n" +
				"weights are not used). --with adds the vectors of an embed run or the logits of a\n" +
				"rank run to its features. A rank run scores the clicks that it has learned from\n" +
				"too well, and the click model would trust it too much: give it two runs that each\n" +
				"leave half of the users out (feed.folds=2, feed.fold=0 and 1), or let the stages\n" +
				"learn from an earlier part of the log (feed.until) than the click model\n" +
				"(ranker.warm_up).",
			"\n  whereto finetune base city-base --from runs/city-s1 --with runs/city-embed-s1 --with runs/fold0 --with runs/fold1 --out runs/both-s1"},
	} {
		cmd.AddCommand(newStageCmd(h))
	}
	return cmd
}

// stageHelp is what tells the command of one stage from those of others.
type stageHelp struct{ stage, short, long, example string }

func newStageCmd(h stageHelp) *cobra.Command {
	var from recipeFlags
	var base, out string
	var with []string
	checkpoint := &enum{run.Best, []string{run.Best, run.Last}}
	resume, output := &enum{"auto", []string{"auto", "never"}}, newOutputFlag()
	cmd := &cobra.Command{
		Use:     h.stage + " RECIPE --from RUN",
		Short:   h.short,
		Long:    h.long,
		Example: fmt.Sprintf("  whereto finetune %s city-%s --from runs/city-s1", h.stage, h.stage) + h.example,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if base == "" {
				return usageError(cmd, "say which run to start from with --from RUN")
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			s := &staging{cmd: cmd, backend: backend, stage: h.stage, out: out, resume: resume.value == "auto", with: with}
			if err := s.open(base, checkpoint.value, args[0], &from); err != nil {
				return err
			}
			done, err := s.train()
			if err = errors.Join(err, s.base.Close()); err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), done)
			}
			return done.write(cmd.OutOrStdout())
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&base, "from", "", "run folder to start from")
	if h.stage == spacetime.StageBase {
		f.StringArrayVar(&with, "with", nil, "run folder of a stage whose scores become features; repeat for more")
	} else {
		f.Var(checkpoint, "checkpoint", "its weights: best, chosen on validation, or last")
	}
	f.StringVar(&out, "out", "", "run folder (default runs/NAME-sSEED)")
	f.Var(resume, "resume", "auto: continue a run of the same recipe in the folder; never: refuse an existing folder")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// staging is one run of post-training on its way.
type staging struct {
	cmd     *cobra.Command
	backend compute.Backend
	stage   string
	out     string
	resume  bool
	base    *fit.Trained
	rec     *recipe.Recipe
	with    []string // base stage: runs whose scores become features
}

// open loads the base and reads the recipe over its own.
func (s *staging) open(dir, checkpoint, name string, from *recipeFlags) error {
	r, err := run.Open(dir)
	if err != nil {
		return err
	}
	old, err := fit.Recipe(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if s.rec, err = from.loadOver(s.cmd, name, old); err != nil {
		return err
	}
	if s.rec.Tune.Stage != s.stage {
		return usageError(s.cmd, "recipe %s is of stage %q, not %s; take another recipe or another command", s.rec.Name, s.rec.Tune.Stage, s.stage)
	}
	if s.out == "" {
		s.out = filepath.Join("runs", fmt.Sprintf("%s-s%d", s.rec.Name, s.rec.Training.Seed))
	}
	o := fit.OpenOptions{Backend: s.backend, Checkpoint: checkpoint, Progress: sayTo(s.cmd)}
	if from.data != nil {
		o.Data = s.rec.Data.Paths
	}
	s.base, err = fit.OpenParts(s.cmd.Context(), dir, o)
	return err
}

// origin is what base.json says.
type origin struct {
	Run        string    `json:"run"`
	CreatedAt  time.Time `json:"created_at"`
	RecipeHash string    `json:"recipe_hash"`
	Step       int       `json:"step"`
	Scratch    bool      `json:"scratch"`
	With       []string  `json:"with,omitempty"` // base stage: runs whose scores are features
}

// originOf reads where a run of post-training came from.
func originOf(r *run.Run) (from origin, err error) {
	text, err := r.ReadFile(baseFile)
	if err != nil {
		return from, err
	}
	if err := json.Unmarshal(text, &from); err != nil {
		return from, fmt.Errorf("%s: %w: %w", r.Path(baseFile), run.ErrCorrupt, err)
	}
	return from, nil
}

// train runs the stage into its folder, or goes on with the run there.
func (s *staging) train() (done staged, err error) {
	done = staged{trained: trained{Run: s.out, Seed: s.rec.Training.Seed}, Stage: s.stage, From: s.base.Run.Dir()}
	r, err := findRun(s.rec, s.out, s.resume)
	if err != nil {
		return done, err
	}
	if r != nil {
		defer func() { err = errors.Join(err, r.Close()) }()
		if r.IsDone() {
			done.Finished = true
			done.Best, err = bestOf(r)
			return done, err
		}
	}
	ctx := s.cmd.Context()
	o, err := s.options()
	if err != nil {
		return done, err
	}
	whole := *s.base.Assembly
	whole.Recipe = s.rec
	if r == nil {
		if r, err = newRun(&whole, s.backend, s.out); err != nil {
			return done, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
	}
	if err := errors.Join(completeRun(r, &whole), s.note(r)); err != nil {
		return done, err
	}
	o.Run, o.Resume = r, true
	o.Progress = training.Progress{Mode: globalsOf(s.cmd).Progress, Out: s.cmd.ErrOrStderr()}
	if done.Result, err = training.Train(ctx, o, s.rec.Training); err != nil {
		return done, err
	}
	return done, r.MarkDone()
}

// options prepares the training of the stage.
func (s *staging) options() (training.Options, error) {
	if s.stage == spacetime.StageBase {
		return s.clickModel()
	}
	ctx := s.cmd.Context()
	a, err := tune.Assemble(ctx, s.base.Assembly, s.rec, tuneOptions(s.cmd, s.backend))
	if err != nil {
		return training.Options{}, err
	}
	return a.Options(ctx, s.backend, a.Start(s.base.Store), sayTo(s.cmd))
}

// note writes where the run comes from, or checks it when the run goes on.
func (s *staging) note(r *run.Run) error {
	meta := s.base.Run.Meta()
	dir, err := filepath.Abs(s.base.Run.Dir())
	if err != nil {
		return err
	}
	var with []string
	for _, w := range s.with {
		abs, err := filepath.Abs(w)
		if err != nil {
			return err
		}
		with = append(with, abs)
	}
	now := origin{With: with, Run: dir, CreatedAt: meta.CreatedAt, RecipeHash: meta.RecipeHash, Step: s.base.State.Step, Scratch: s.rec.Tune.Scratch}
	if was, err := originOf(r); errors.Is(err, run.ErrCorrupt) {
		return err
	} else if err == nil {
		if !was.CreatedAt.Equal(now.CreatedAt) || was.RecipeHash != now.RecipeHash || was.Step != now.Step || !slices.Equal(was.With, now.With) {
			return fmt.Errorf("%s started from %s at step %d, not from %s at step %d: %w; give the same --from, --checkpoint and --with, or another --out",
				r.Dir(), was.Run, was.Step, now.Run, now.Step, run.ErrMismatch)
		}
		return nil
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	return r.WriteFile(baseFile, append(text, '\n'))
}

// tuneOptions are what every command that opens a stage gives it.
func tuneOptions(cmd *cobra.Command, backend compute.Backend) tune.Options {
	o := tune.Options{Backend: backend, Progress: sayTo(cmd)}
	if dir, err := os.UserCacheDir(); err == nil { // else vectors are made again each time
		o.Cache = filepath.Join(dir, "whereto", "media")
	}
	return o
}

// staged is what finetune prints.
type staged struct {
	trained
	Stage string `json:"stage"`
	From  string `json:"from"`
}

func (s staged) write(w io.Writer) error {
	if s.Finished {
		fmt.Fprintf(w, "%s is finished already, with seed %d; nothing was done\n", s.Run, s.Seed)
	} else {
		fmt.Fprintf(w, "stage %s from %s with seed %d: %d steps, %d epochs, %s, %.0f tokens/s\n",
			s.Stage, s.From, s.Seed, s.Steps, s.Epochs, time.Duration(s.Seconds*float64(time.Second)).Round(time.Second), s.TokensPerSecond)
	}
	if b := s.Best; b != nil {
		fmt.Fprintf(w, "best epoch %d: validation %s %.4f\n", b.Epoch+1, b.Metric, b.Value)
	}
	_, err := fmt.Fprintf(w, "everything is in %s\nnext: whereto eval --on impressions %s\n", s.Run, s.Run)
	return err
}
