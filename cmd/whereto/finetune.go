package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
// ranker, vectors or an aligned generator.
func newFinetuneCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "finetune",
		Short: "Post-train a run on impressions: embed, rank or align",
		Long: "Post-train a run on impressions (what was shown, what was clicked). The recipe\n" +
			"is read over that of the run it starts from: what it leaves out of the data, the\n" +
			"input and the network stays as it was.",
	}
	for _, s := range []struct{ stage, short string }{
		{spacetime.StageEmbed, "Vectors of users and places from two towers (InfoNCE)"},
		{spacetime.StageRank, "Scores of candidates behind a shared user prefix (binary cross entropy)"},
		{spacetime.StageAlign, "Preferences of clicks and rules into the generator (DPO, S-DPO)"},
	} {
		cmd.AddCommand(newStageCmd(s.stage, s.short))
	}
	cmd.AddCommand(newBaseCmd())
	return cmd
}

func newStageCmd(stage, short string) *cobra.Command {
	var from recipeFlags
	var base, out string
	checkpoint := &enum{run.Best, []string{run.Best, run.Last}}
	resume, output := &enum{"auto", []string{"auto", "never"}}, newOutputFlag()
	cmd := &cobra.Command{
		Use:     stage + " RECIPE --from RUN",
		Short:   short,
		Example: fmt.Sprintf("  whereto finetune %s city-%s --from runs/city-s1", stage, stage),
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
			s := &staging{cmd: cmd, backend: backend, stage: stage, out: out, resume: resume.value == "auto"}
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
	f.Var(checkpoint, "checkpoint", "its weights: best, chosen on validation, or last")
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
	if text, err := r.ReadFile(baseFile); err == nil {
		var was origin
		if err := json.Unmarshal(text, &was); err != nil {
			return fmt.Errorf("%s: %w: %w", r.Path(baseFile), run.ErrCorrupt, err)
		}
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
	return tune.Options{Backend: backend, Progress: sayTo(cmd)}
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
