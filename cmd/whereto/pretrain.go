package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recipes"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

var _ = register(newPretrainCmd)

// newPretrainCmd returns `whereto pretrain`: a recipe and data become a run.
func newPretrainCmd() *cobra.Command {
	var from recipeFlags
	var out string
	var plan bool
	resume, output := &enum{"auto", []string{"auto", "never"}}, newOutputFlag()
	cmd := &cobra.Command{
		Use:   "pretrain RECIPE",
		Short: "Train the network of a recipe",
		Long: "Train the network of a recipe, a YAML file or the name of a shipped one (see\n" +
			"`whereto recipes ls`), and keep everything in a run folder. A run that was stopped\n" +
			"goes on where it was; SIGINT and SIGTERM save first.",
		Example: "  whereto pretrain quickstart\n" +
			"  whereto pretrain nyc --data checkins.tsv.gz --seed 2\n" +
			"  whereto pretrain mine.yaml --set training.epochs=3 --plan",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := from.load(cmd, args[0])
			if err != nil {
				return err
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			if plan {
				return printPlan(cmd, backend, r, output.value)
			}
			if out == "" {
				out = filepath.Join("runs", fmt.Sprintf("%s-s%d", r.Name, r.Training.Seed))
			}
			done, err := pretrain(cmd, backend, r, out, resume.value == "auto")
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), done)
			}
			return done.write(cmd.OutOrStdout())
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return recipes.Names(), cobra.ShellCompDirectiveDefault
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "run folder (default runs/NAME-sSEED)")
	f.Var(resume, "resume", "auto: continue a run of the same recipe in the folder; never: refuse an existing folder")
	f.BoolVar(&plan, "plan", false, "print parameters, memory, operations and estimated time, and train nothing")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// trained is what pretrain prints.
type trained struct {
	Run      string `json:"run"`
	Seed     int64  `json:"seed"`
	Finished bool   `json:"finished_before"` // the folder was complete already, nothing was done
	training.Result
}

func (t trained) write(w io.Writer) error {
	if t.Finished {
		fmt.Fprintf(w, "%s is finished already, with seed %d; nothing was done\n", t.Run, t.Seed)
	} else {
		fmt.Fprintf(w, "trained with seed %d: %d steps, %d epochs, %s, %.0f tokens/s, %.1f GFLOP/s\n",
			t.Seed, t.Steps, t.Epochs, time.Duration(t.Seconds*float64(time.Second)).Round(time.Second), t.TokensPerSecond, t.GFLOPs)
	}
	if b := t.Best; b != nil {
		fmt.Fprintf(w, "best epoch %d: validation %s %.4f\n", b.Epoch+1, b.Metric, b.Value)
	}
	_, err := fmt.Fprintf(w, "everything is in %s\nnext: whereto eval %s\n", t.Run, t.Run)
	return err
}

// pretrain trains a recipe into the folder out, or goes on with the run there.
func pretrain(cmd *cobra.Command, backend compute.Backend, rec *recipe.Recipe, out string, resume bool) (done trained, err error) {
	done = trained{Run: out, Seed: rec.Training.Seed}
	r, err := findRun(rec, out, resume)
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
	if err := wantData(cmd, rec); err != nil {
		return done, err
	}
	a, err := fit.Assemble(cmd.Context(), rec, sayTo(cmd))
	if err != nil {
		return done, err
	}
	for _, w := range a.Report.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w)
	}
	if r == nil {
		if r, err = newRun(a, backend, out); err != nil {
			return done, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
	}
	if err := completeRun(r, a); err != nil {
		return done, err
	}
	done.Result, err = train(cmd, a, r, backend)
	if err != nil {
		return done, err
	}
	return done, r.MarkDone()
}

// train runs training in an open and locked run folder.
func train(cmd *cobra.Command, a *fit.Assembly, r *run.Run, backend compute.Backend) (training.Result, error) {
	o := a.Options(backend, a.NewStore())
	if o.Validate == nil {
		sayTo(cmd)("no validation targets: no epoch can be chosen, only the last checkpoint is kept")
	}
	o.Run, o.Resume = r, true
	o.Progress = training.Progress{Mode: globalsOf(cmd).Progress, Out: cmd.ErrOrStderr()}
	return training.Train(cmd.Context(), o, a.Recipe.Training)
}

// findRun opens and locks the run in out if there is one and it was made by the
// same recipe; nil if the folder is absent or empty. A recipe without paths
// takes those of the run.
func findRun(rec *recipe.Recipe, out string, resume bool) (*run.Run, error) {
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	if !resume {
		return nil, fmt.Errorf("%s exists: %w; choose another --out, continue it with --resume auto, or remove it", out, run.ErrExists)
	}
	r, err := run.Open(out)
	if err != nil {
		return nil, err
	}
	err = func() error {
		old, err := fit.Recipe(r)
		if err != nil {
			return err
		}
		if len(rec.Data.Paths) == 0 {
			rec.Data.Paths = old.Data.Paths
		}
		diff, err := recipeDiff(old, rec)
		if err != nil {
			return err
		}
		if diff != "" {
			return fmt.Errorf("%s was made by another recipe (%s): %w; choose another --out, or give the same settings", out, diff, run.ErrMismatch)
		}
		return r.Lock()
	}()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// newRun makes the run folder of an assembly and locks it.
func newRun(a *fit.Assembly, backend compute.Backend, out string) (*run.Run, error) {
	text, err := a.Recipe.Resolved()
	if err != nil {
		return nil, err
	}
	meta := run.NewMeta(filepath.Base(filepath.Clean(out)), text)
	meta.Seed, meta.Backend = a.Recipe.Training.Seed, backend.Name()
	meta.DataFingerprint, meta.IndexFingerprint = a.Dataset.Fingerprint, a.Index.Fingerprint()
	r, err := run.Create(out, meta, text)
	if err != nil {
		return nil, err
	}
	if err := r.Lock(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// completeRun checks the data against the run and writes what a stop between
// making the folder and training may have left out.
func completeRun(r *run.Run, a *fit.Assembly) error {
	if err := fit.SameData(r, a.Dataset); err != nil {
		return err
	}
	if got, want := a.Index.Fingerprint(), r.Meta().IndexFingerprint; got != want {
		return fmt.Errorf("run %s was begun with index %s, this version builds %s: %w; use the version that began it, or another --out", r.Dir(), want, got, run.ErrMismatch)
	}
	if err := r.WriteTo(run.IndexFile, a.Index.Write); err != nil {
		return err
	}
	var card bytes.Buffer
	e := json.NewEncoder(&card)
	e.SetIndent("", "  ")
	if err := e.Encode(a.Report.Card); err != nil {
		return fmt.Errorf("data card: %w", err)
	}
	return r.WriteFile(pipeline.CardFile, card.Bytes())
}

// bestOf reads the choice of a finished run.
func bestOf(r *run.Run) (*run.Choice, error) {
	ck, err := r.OpenCheckpoint(run.Last)
	if err != nil {
		return nil, err
	}
	return ck.State.Best, ck.Close()
}
