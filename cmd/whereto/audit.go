package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/split"
)

var _ = register(newAuditCmd)

// newAuditCmd returns `whereto audit`: is the run honest?
func newAuditCmd() *cobra.Command {
	var from runFlags
	output := newOutputFlag()
	targets := 8
	cmd := &cobra.Command{
		Use:   "audit RUN",
		Short: "Check a run for leaks: later data in statistics, the answer in the input, a choice on test",
		Long: "Check a run for leaks. Statistics, floors and index are fitted again on data whose\n" +
			"later visits were altered, scores are computed again with an altered future and an\n" +
			"altered answer, and the records of the run are read. Exit status 1 if a check fails.",
		Example: "  whereto audit runs/nyc-s1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if targets < 2 || targets > 1000 {
				return usageError(cmd, "--targets is %d, want 2 to 1000", targets)
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			t, err := fit.Open(cmd.Context(), args[0], from.options(cmd, backend))
			if err != nil {
				return err
			}
			in, err := auditInput(t, backend)
			if err != nil {
				return errors.Join(err, t.Close())
			}
			in.Targets = targets
			sayTo(cmd)("auditing " + args[0])
			return errors.Join(printAudit(cmd, in, output.value), t.Close())
		},
	}
	from.bind(cmd)
	cmd.Flags().VarP(output, "output", "o", "table or json")
	cmd.Flags().IntVar(&targets, "targets", targets, "targets scored again with altered data")
	return cmd
}

// printAudit runs the checks; a failed one is an error.
func printAudit(cmd *cobra.Command, in eval.AuditInput, output string) error {
	checks := eval.Audit(cmd.Context(), in)
	var err error
	if output == "json" {
		err = printJSON(cmd.OutOrStdout(), checks)
	} else {
		err = eval.WriteChecks(cmd.OutOrStdout(), checks)
	}
	return errors.Join(err, eval.AuditError(checks))
}

// auditInput says how the parts of a run are fitted, and what it recorded.
func auditInput(t *fit.Trained, backend compute.Backend) (eval.AuditInput, error) {
	in := eval.AuditInput{Data: t.Dataset, Refingerprint: split.Fingerprint}
	in.Artefacts = []eval.Artefact{
		{Name: "floors", Fit: func(d *poi.Dataset) (string, error) { return baseline.Fingerprint(d), nil }},
		{Name: "index", Fit: func(d *poi.Dataset) (string, error) {
			ix, err := index.Build(d.Places, pipeline.Popularity(d), t.Recipe.Data.Index)
			if err != nil {
				return "", err
			}
			return ix.Fingerprint(), nil
		}},
	}
	if t.Stats != nil {
		in.Artefacts = append(in.Artefacts,
			eval.Artefact{Name: "evidence", Fit: func(d *poi.Dataset) (string, error) { return evidence.Fit(d).Fingerprint(), nil }},
			eval.Artefact{Name: "scale of the evidence", Fit: func(d *poi.Dataset) (string, error) { return scaleOf(t, d) }})
		in.Recall = func(ctx context.Context, targets []poi.Target) (float64, error) { return recall(ctx, t, targets) }
	} else {
		in.Skip = []string{eval.CheckLeaveOut} // no candidates without a copy head
	}
	in.Bind = func(d *poi.Dataset) ([]poi.Scorer, error) {
		r := *t.Recipe
		r.Recommend.Batch = 1 // the audit asks one question at a time
		a, err := fit.New(&r, d, t.Index, nil)
		if err != nil {
			return nil, err
		}
		p, err := a.Predictor(r.Name, backend, t.Store)
		if err != nil {
			return nil, err
		}
		return append([]poi.Scorer{p}, baseline.All(d)...), nil
	}
	var err error
	if in.Choice, err = choiceOf(t); err != nil {
		return in, err
	}
	in.Fingerprints, err = fingerprintsOf(t)
	return in, err
}

// scaleOf fingerprints what the network's standardisation takes from data.
func scaleOf(t *fit.Trained, d *poi.Dataset) (string, error) {
	a, err := fit.New(t.Recipe, d, t.Index, nil)
	if err != nil {
		return "", err
	}
	h := fnv.New128a()
	fmt.Fprint(h, a.Model.Tables.Mean, a.Model.Tables.Scale)
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// recall is the share of targets whose place is among the candidates.
func recall(ctx context.Context, t *fit.Trained, targets []poi.Target) (float64, error) {
	b := evidence.NewBuilder(t.Stats, t.Recipe.Evidence)
	var set evidence.Set
	found := 0
	for _, target := range targets {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		q := t.Dataset.QueryOf(target)
		b.Compute(&q, &set)
		if set.Index(t.Dataset.Label(target)) >= 0 {
			found++
		}
	}
	return float64(found) / float64(len(targets)), nil
}

// choiceOf reads how the checkpoint was chosen and when test was first read.
func choiceOf(t *fit.Trained) (*eval.Choice, error) {
	c := &eval.Choice{}
	records, err := t.Run.ReadMetrics()
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if _, ok := r.Values[t.Recipe.Training.KeepBest]; ok {
			c.Kinds = append(c.Kinds, r.Kind)
		}
	}
	if t.Run.HasCheckpoint(run.Best) {
		ck, err := t.Run.OpenCheckpoint(run.Best)
		if err != nil {
			return nil, err
		}
		c.Best = ck.State.SavedAt
		if err := ck.Close(); err != nil {
			return nil, err
		}
	}
	c.TestRead, err = firstTestRead(t.Run)
	return c, err
}

// firstTestRead is the earliest look at the test split; zero if there was none.
func firstTestRead(r *run.Run) (time.Time, error) {
	f, err := os.Open(r.Path(readsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var note readNote
		if err := json.Unmarshal(lines.Bytes(), &note); err != nil {
			return time.Time{}, fmt.Errorf("%s: line %d: %w: %v", f.Name(), n, run.ErrCorrupt, err)
		}
		if note.Split == poi.Test.String() {
			return note.Time, nil
		}
	}
	return time.Time{}, lines.Err()
}

// fingerprintsOf maps the parts of a run to the data they were made with.
func fingerprintsOf(t *fit.Trained) (map[string]string, error) {
	out := map[string]string{run.MetaFile: t.Run.Meta().DataFingerprint, "checkpoint": t.State.DataFingerprint}
	names, err := filepath.Glob(t.Run.Path("eval-*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range names {
		name := filepath.Base(path)
		text, err := t.Run.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var res eval.Result
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&res); err != nil {
			return nil, fmt.Errorf("%s: %w: %v; evaluate again", path, run.ErrCorrupt, err)
		}
		if !strings.EqualFold(res.Protocol, t.Dataset.Protocol) {
			continue // the same log under another protocol is another data set
		}
		out[name] = res.Fingerprint
	}
	return out, nil
}
