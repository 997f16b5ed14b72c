package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/training"
)

// planReport is what `pretrain --plan -o json` prints.
type planReport struct {
	Recipe string       `json:"recipe"`
	Engine string       `json:"engine"`
	Speed  engine.Speed `json:"speed"`
	training.Plan
}

// printPlan says what training a recipe will cost, and trains nothing.
func printPlan(cmd *cobra.Command, backend compute.Backend, rec *recipe.Recipe, output string) error {
	if err := wantData(cmd, rec); err != nil {
		return err
	}
	a, err := fit.Assemble(cmd.Context(), rec, sayTo(cmd))
	if err != nil {
		return err
	}
	p := planReport{Recipe: rec.Name, Engine: backend.Name()}
	if p.Speed, err = engine.Measure(cmd.Context(), backend); err != nil {
		return err
	}
	if p.Plan, err = a.Plan(cmd.Context(), backend, p.Speed.Train); err != nil {
		return err
	}
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), p)
	}
	mib := func(b int64) string { return fmt.Sprintf("%.1f MiB", float64(b)/(1<<20)) }
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"recipe", p.Recipe},
		{"parameters", fmt.Sprintf("%d in %d arrays", p.Parameters, p.Variables)},
		{"weights", mib(p.WeightBytes)},
		{"optimiser", mib(p.OptimizerBytes)},
		{"gradients", mib(p.GradientBytes)},
		{"activations, at most", mib(p.ActivationBytes)},
		{"training", fmt.Sprintf("%d epochs, %d steps, %d batches", rec.Training.Epochs, p.Steps, p.Batches)},
		{"shapes to compile", fmt.Sprintf("%d among the batches looked at", p.Shapes)},
		{"operations", fmt.Sprintf("%.2f GFLOP a batch, %.1f TFLOP in all", p.FLOPsPerBatch/1e9, p.FLOPs/1e12)},
		{"engine", fmt.Sprintf("%s, a small training step at %.1f GFLOP/s", p.Engine, p.Speed.Train)},
		{"time, about", time.Duration(p.Seconds*float64(time.Second)).Round(time.Second).String() + " of matrix products; validation and the rest come on top"},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	return w.Flush()
}

// recipeDiff names up to three settings in which two recipes differ, "" if they
// mean the same run. Where the data lies is no difference: its fingerprint is
// compared instead.
func recipeDiff(old, now *recipe.Recipe) (string, error) {
	a, err := settings(*old)
	if err != nil {
		return "", err
	}
	b, err := settings(*now)
	if err != nil {
		return "", err
	}
	var diff []string
	for key := range a {
		if a[key] != b[key] {
			diff = append(diff, fmt.Sprintf("%s is %s there, %s here", key, a[key], b[key]))
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			diff = append(diff, fmt.Sprintf("%s is only here", key))
		}
	}
	slices.Sort(diff)
	if n := len(diff) - 3; n > 0 {
		diff = append(diff[:3], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(diff, "; "), nil
}

// settings lists a recipe as path.to.key -> value.
func settings(r recipe.Recipe) (map[string]string, error) {
	r.Data.Paths = nil
	text, err := r.Resolved()
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("read the resolved recipe back: %w", err)
	}
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok && len(m) > 0 {
			for k, x := range m {
				walk(strings.TrimPrefix(path+"."+k, "."), x)
			}
			return
		}
		out[path] = fmt.Sprint(v)
	}
	walk("", tree)
	return out, nil
}
