package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/baseline"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/split"
)

var _ = register(newEvalCmd)

// runFlags are the flags of commands that open a trained run.
type runFlags struct {
	data       []string
	checkpoint *enum
}

func (f *runFlags) bind(cmd *cobra.Command) {
	f.checkpoint = &enum{run.Best, []string{run.Best, run.Last}}
	cmd.Flags().StringArrayVar(&f.data, "data", nil, "where the data of training is now; repeat for more (default: as at training)")
	cmd.Flags().Var(f.checkpoint, "checkpoint", "best: chosen on validation; last: the newest")
}

func (f *runFlags) options(cmd *cobra.Command, backend compute.Backend) fit.OpenOptions {
	return fit.OpenOptions{Backend: backend, Checkpoint: f.checkpoint.value, Data: f.data, Progress: sayTo(cmd)}
}

// newEvalCmd returns `whereto eval`: how good a run is, beside the floors.
func newEvalCmd() *cobra.Command {
	var from runFlags
	part := &enum{poi.Test.String(), []string{poi.Validation.String(), poi.Test.String()}}
	protocol := &enum{"", split.Protocols()}
	output := &enum{"table", []string{"table", "json", "markdown"}}
	on := &enum{"targets", []string{"targets", "impressions", "lists"}}
	var saved bool
	var lists listFlags
	var service through
	cmd := &cobra.Command{
		Use:   "eval RUN...",
		Short: "Measure trained runs and the floors on the same rows",
		Long: "Measure runs and all floors on the same rows, print one table, and write\n" +
			"eval-SPLIT.json and predictions-SPLIT.jsonl into each run folder (with another\n" +
			"--protocol its name is part of theirs). Choose settings on validation only: each\n" +
			"look at the test split is noted in the run folder, and `whereto audit` reads the note.\n\n" +
			"On impressions the runs rank what was shown: AUC over all candidates and within\n" +
			"requests, beside the ceiling where a simulated log knows it. The first run is the\n" +
			"one that the others are compared with; runs of one recipe are its seeds.\n\n" +
			"On lists, runs that generate (pre-trained or aligned) recommend out of all places, at\n" +
			"moments of the part: hit rates on the last five actions and on clicked places,\n" +
			"discovery rates, what a rule file says of the lists, and a judge's verdict on them.\n\n" +
			"With --through, the same targets are asked of a running service with that run, and\n" +
			"its lists compared with those in process; its key is read from WHERETO_KEY.",
		Example: "  whereto eval runs/nyc-s1\n  whereto eval runs/nyc-s1 runs/nyc-s2 runs/nyc-s3 -o markdown\n" +
			"  whereto eval --on impressions runs/city-base-s1 runs/city-rank-s1\n" +
			"  whereto eval --on lists runs/city-s1 runs/city-align-s1 --rules meals.yaml --judge city",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := lists.check(cmd, on.value); err != nil {
				return err
			}
			if service.url != "" && (len(args) != 1 || on.value != "targets" || service.rows < 1) {
				return usageError(cmd, "--through compares one run's answers on at least one target with those of a service")
			}
			if on.value == "lists" {
				l := &listRuns{cmd: cmd, flags: &lists, from: &from, tag: tagOf(part.value), saved: saved}
				return l.print(args, output.value)
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			if on.value == "impressions" {
				s := &shownRuns{cmd: cmd, backend: backend, from: &from, tag: tagOf(part.value), saved: saved}
				res, err := s.table(args)
				if err != nil {
					return err
				}
				return writeRanks(cmd.OutOrStdout(), res, output.value)
			}
			o := from.options(cmd, backend)
			o.Protocol = protocol.value
			if service.url != "" {
				return agree(cmd, args, o, service, tagOf(part.value), output.value)
			}
			all := evaluated{}
			for _, dir := range args {
				if err := all.add(cmd.Context(), dir, o, part.value); err != nil {
					return err
				}
			}
			return all.write(cmd.OutOrStdout(), output.value)
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.Var(part, "split", "validation or test")
	f.Var(on, "on", "targets: where people went; impressions: what they clicked of what was shown; lists: out of all places")
	lists.bind(f)
	f.BoolVar(&saved, "saved", false, "impressions, lists: take the scores or lists that an earlier call left in the run folders")
	f.StringVar(&service.url, "through", "", "targets: URL of a service whose answers are compared with the run's")
	f.IntVar(&service.rows, "through-rows", 300, "targets that are asked of the service, evenly spaced")
	f.Var(protocol, "protocol", "pose the questions of another protocol (default: the run's own)")
	f.VarP(output, "output", "o", "table, json or markdown")
	return cmd
}

// agree compares one run with a service.
func agree(cmd *cobra.Command, args []string, o fit.OpenOptions, service through, tag poi.Tag, output string) (err error) {
	t, err := fit.Open(cmd.Context(), args[0], o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	a, err := service.run(cmd.Context(), t, tag)
	if err != nil {
		return err
	}
	return a.write(cmd, output)
}

// evaluated are the results of one call.
type evaluated struct {
	results []*eval.Result
	recipes []*recipe.Recipe
}

// add evaluates a run and writes the figures into its folder.
func (e *evaluated) add(ctx context.Context, dir string, o fit.OpenOptions, part string) (err error) {
	t, err := fit.Open(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := noteRead(t.Run, part); err != nil {
		return err
	}
	res, err := evaluate(ctx, t, part)
	if err != nil {
		return err
	}
	e.results, e.recipes = append(e.results, res), append(e.recipes, t.Recipe)
	return nil
}

// tagOf is the part of a split by name.
func tagOf(part string) poi.Tag {
	if part == poi.Validation.String() {
		return poi.Validation
	}
	return poi.Test
}

// evaluate scores a run and the floors and writes eval-SPLIT.json and
// predictions-SPLIT.jsonl. The bootstrap takes the seed of training.
func evaluate(ctx context.Context, t *fit.Trained, part string) (*eval.Result, error) {
	d := t.Questions
	res, preds, err := eval.Run(ctx, d, tagOf(part), t.Predictor, baseline.All(d), eval.Options{Seed: t.Recipe.Training.Seed, Rows: t.Recipe.Measure.Test})
	if err != nil {
		return nil, err
	}
	res.Run = filepath.Base(t.Run.Dir())
	name := part
	if d.Protocol != t.Dataset.Protocol {
		name += "-" + d.Protocol
	}
	err = t.Run.WriteTo("eval-"+name+".json", func(w io.Writer) error { return eval.WriteJSON(w, res) })
	if err != nil {
		return nil, err
	}
	return res, t.Run.WriteTo("predictions-"+name+".jsonl", func(w io.Writer) error { return eval.WritePredictions(w, preds) })
}

// readsFile notes each look at a split of a run, one JSON object a line, so that
// an audit can tell whether the test split was read before the choice was made.
const readsFile = "reads.jsonl"

// readNote is a line of readsFile.
type readNote struct {
	Time  time.Time `json:"time"`
	Split string    `json:"split"`
}

func noteRead(r *run.Run, part string) (err error) {
	line, err := json.Marshal(readNote{Time: time.Now().UTC(), Split: part})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(r.Path(readsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("note the look at the %s split: %w", part, err)
	}
	_, err = f.Write(append(line, '\n')) // one write: lines of two processes do not mix
	return errors.Join(err, f.Sync(), f.Close())
}

// spread is the mean and the standard deviation over seeds of one recipe.
type spread struct {
	Recipe string  `json:"recipe"`
	Runs   int     `json:"runs"`
	Metric string  `json:"metric"`
	Mean   float64 `json:"mean"`
	SD     float64 `json:"sd"` // of a sample: divided by runs - 1
}

// seeds groups runs whose recipes differ in the training seed alone.
func (e *evaluated) seeds() ([]spread, error) {
	values, names := map[string][]float64{}, map[string]string{}
	var order []string
	for i, r := range e.recipes {
		s, err := settings(*r)
		if err != nil {
			return nil, err
		}
		delete(s, "training.seed")
		key := ""
		for _, k := range slices.Sorted(maps.Keys(s)) {
			key += k + "=" + s[k] + "\n"
		}
		if _, ok := values[key]; !ok {
			order = append(order, key)
		}
		values[key], names[key] = append(values[key], e.results[i].Metrics["acc@1"].Value), r.Name
	}
	var out []spread
	for _, key := range order {
		if x := values[key]; len(x) > 1 {
			mean, sd := meanSD(x)
			out = append(out, spread{Recipe: names[key], Runs: len(x), Metric: "acc@1", Mean: mean, SD: sd})
		}
	}
	return out, nil
}

// meanSD needs at least two values.
func meanSD(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(len(x)-1))
}

func (e *evaluated) write(w io.Writer, format string) error {
	seeds, err := e.seeds()
	if err != nil {
		return err
	}
	switch {
	case format == "json" && len(e.results) == 1:
		return eval.WriteJSON(w, e.results[0])
	case format == "json":
		return printJSON(w, map[string]any{"runs": e.results, "seeds": seeds})
	case format == "markdown":
		err = eval.WriteMarkdown(w, e.results)
	default:
		err = eval.WriteTable(w, e.results)
	}
	if err != nil {
		return err
	}
	for _, s := range seeds {
		if _, err := fmt.Fprintf(w, "\n%s: Acc@1 over %d seeds: mean %.4f, standard deviation %.4f\n", s.Recipe, s.Runs, s.Mean, s.SD); err != nil {
			return err
		}
	}
	return nil
}
