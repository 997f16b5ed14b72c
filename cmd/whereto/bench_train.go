package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/training"
)

// maxBenchBatches is how many batches a bench may hold: training.NewPlan counts
// the operations of up to eight exactly.
const maxBenchBatches = 8

// benchTrain is what `bench train -o json` prints. A pass is one step on each
// of the batches; speeds are those of the median pass.
type benchTrain struct {
	Recipe     string  `json:"recipe"`
	Engine     string  `json:"engine"`
	Parameters int     `json:"parameters"`
	Batches    int     `json:"batches"`
	Passes     int     `json:"passes"` // measured, after one to warm up
	Tokens     int     `json:"tokens_per_pass"`
	Targets    int     `json:"targets_per_pass"`
	Seconds    float64 `json:"seconds_per_pass"`
	Slowest    float64 `json:"slowest_pass_seconds"`
	TokensS    float64 `json:"tokens_per_second"` // actions that are not padding
	TargetsS   float64 `json:"targets_per_second"`
	GFLOPs     float64 `json:"gflops_per_second"` // matrix products, forward and backward
	Ceiling    float64 `json:"gemm_gflops_per_second"`
	Share      float64 `json:"share_of_ceiling"`
	Export     string  `json:"export,omitempty"`
}

func newBenchTrainCmd() *cobra.Command {
	var from recipeFlags
	var export string
	steps, batches := 30, 6
	output := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "train RECIPE",
		Short: "Measure training steps of a recipe, and hand the same batches and weights to others",
		Long: "Measure training steps of a recipe: the first batches of its first epoch are kept in\n" +
			"memory and trained on in turn; the first pass over them warms up. --export writes\n" +
			"these batches, the tables of the network and its first weights for a program in\n" +
			"another language: NumPy arrays, safetensors and a manifest.",
		Example: "  whereto bench train nyc --data checkins.tsv.gz --export /tmp/peer",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if batches < 1 || batches > maxBenchBatches || steps < batches || steps > 100_000 {
				return usageError(cmd, "--batches is %d and --steps %d, want 1 to %d batches and at least one step for each", batches, steps, maxBenchBatches)
			}
			a, backend, err := from.assemble(cmd, args[0])
			if err != nil {
				return err
			}
			defer backend.Finalize()
			kept, err := keep(cmd.Context(), a, batches)
			if err != nil {
				return err
			}
			b, err := kept.measure(cmd.Context(), backend, (steps+len(kept.list)-1)/len(kept.list), export)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), b)
			}
			return b.write(cmd.OutOrStdout())
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.IntVar(&steps, "steps", steps, "steps to measure")
	f.IntVar(&batches, "batches", batches, fmt.Sprintf("different batches, 1 to %d", maxBenchBatches))
	f.StringVar(&export, "export", "", "folder to write batches, tables and first weights to; must not exist")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// keptBatches are the first batches of an assembly, in memory.
type keptBatches struct {
	a    *fit.Assembly
	list []training.Batch
	// turn: each epoch is one step on the next batch, so that what training calls
	// after an epoch comes after every step; else epoch 0 is all of them.
	turn bool
}

func keep(ctx context.Context, a *fit.Assembly, n int) (*keptBatches, error) {
	k := &keptBatches{a: a}
	src := a.Batches()
	for i := range min(n, src.Steps(0)) {
		b, err := src.Batch(ctx, 0, i)
		if err != nil {
			return nil, err
		}
		k.list = append(k.list, b)
	}
	return k, nil
}

func (k *keptBatches) Steps(int) int {
	if k.turn {
		return 1
	}
	return len(k.list)
}

func (k *keptBatches) Batch(_ context.Context, epoch, step int) (training.Batch, error) {
	if k.turn {
		step = epoch % len(k.list)
	}
	return k.list[step], nil
}

// measure trains passes times over the batches and exports them if asked.
func (k *keptBatches) measure(ctx context.Context, backend compute.Backend, passes int, export string) (benchTrain, error) {
	out := benchTrain{Recipe: k.a.Recipe.Name, Engine: backend.Name(), Batches: len(k.list), Passes: passes, Export: export}
	speed, err := engine.Measure(ctx, backend)
	if err != nil {
		return out, err
	}
	store := k.a.NewStore()
	plan, err := training.NewPlan(ctx, training.Options{Backend: backend, Store: store, Model: k.a.Model, Batches: k}, k.a.Recipe.Training, 0)
	if err != nil {
		return out, err
	}
	if export != "" {
		if err := k.export(export, backend, store); err != nil {
			return out, err
		}
	}
	times, err := k.time(ctx, backend, passes)
	if err != nil {
		return out, err
	}
	for _, b := range k.list {
		out.Tokens += b.Tokens
		out.Targets += targetsOf(b)
	}
	slices.Sort(times)
	out.Parameters, out.Ceiling = plan.Parameters, speed.GEMM
	out.Seconds, out.Slowest = median(times), times[len(times)-1]
	out.TokensS, out.TargetsS = float64(out.Tokens)/out.Seconds, float64(out.Targets)/out.Seconds
	out.GFLOPs = plan.FLOPsPerBatch * float64(len(k.list)) / out.Seconds / 1e9
	out.Share = out.GFLOPs / out.Ceiling
	return out, nil
}

// time returns the seconds of each pass but the first. Training calls Validate
// after each epoch, which is one step here: the time between two calls is a step.
func (k *keptBatches) time(ctx context.Context, backend compute.Backend, passes int) ([]float64, error) {
	turns := &keptBatches{a: k.a, list: k.list, turn: true}
	n := len(k.list)
	cfg := k.a.Recipe.Training
	cfg.Epochs, cfg.MaxSteps, cfg.EvalEvery, cfg.Patience, cfg.Accumulate = (passes+1)*n, 0, 1, 0, 1
	cfg.KeepBest = "step"
	times := make([]float64, passes)
	step, since := 0, time.Now()
	_, err := training.Train(ctx, training.Options{Backend: backend, Store: k.a.NewStore(), Model: k.a.Model, Batches: turns,
		Progress: training.Progress{Mode: "none"},
		Validate: func(context.Context, *model.Store) (map[string]float64, error) {
			if pass := step/n - 1; pass >= 0 {
				times[pass] += time.Since(since).Seconds()
			}
			step++
			since = time.Now()
			return map[string]float64{"step": float64(step)}, nil
		}}, cfg)
	return times, err
}

// median of a sorted list.
func median(x []float64) float64 {
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

func (b benchTrain) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"recipe", fmt.Sprintf("%s, %d parameters", b.Recipe, b.Parameters)},
		{"engine", b.Engine},
		{"measured", fmt.Sprintf("median of %d passes over %d batches, %.3f s (slowest %.3f s)", b.Passes, b.Batches, b.Seconds, b.Slowest)},
		{"tokens/s", fmt.Sprintf("%.0f (actions, without padding)", b.TokensS)},
		{"targets/s", fmt.Sprintf("%.0f", b.TargetsS)},
		{"GFLOP/s", fmt.Sprintf("%.1f, %.0f %% of the matrix product's %.1f", b.GFLOPs, 100*b.Share, b.Ceiling)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	if b.Export != "" {
		fmt.Fprintf(w, "export\t%s\n", b.Export)
	}
	return w.Flush()
}
