package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/engine"
)

var _ = register(newDoctorCmd)

// doctorReport is what `doctor -o json` prints.
type doctorReport struct {
	Version string               `json:"version"`
	OS      string               `json:"os"`
	Arch    string               `json:"arch"`
	Cores   int                  `json:"cores"` // usable by this process
	Go      string               `json:"go"`
	CGO     bool                 `json:"cgo"`
	Library *engine.FoundLibrary `json:"onnx_library"` // null if there is none
	Chosen  engine.Choice        `json:"chosen"`
	Engines []engine.Found       `json:"engines"`
}

// newDoctorCmd returns `whereto doctor`: what this machine can compute with.
func newDoctorCmd() *cobra.Command {
	output := &enum{"table", []string{"table", "json"}}
	var quick bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show the compute engines found, which is chosen and why, and how fast each is",
		Long: "Show the compute engines found, which one --backend chooses and why, and for each\n" +
			"engine the speed of its best float32 matrix product and of a small training step\n" +
			"(512 tokens, 2 layers, d 128), about a second each. Nothing is downloaded.",
		Example: "  whereto doctor\n  whereto doctor --backend go -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := diagnose(cmd, !quick)
			if err != nil {
				return err
			}
			if output.value == "json" {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(report)
			}
			return printDoctor(cmd.OutOrStdout(), report)
		},
	}
	cmd.Flags().VarP(output, "output", "o", "table or json")
	cmd.Flags().BoolVar(&quick, "quick", false, "do not measure speed")
	return cmd
}

func diagnose(cmd *cobra.Command, measure bool) (doctorReport, error) {
	r := doctorReport{Version: version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(), CGO: engine.CGO}
	if lib, err := engine.Library(); err == nil {
		r.Library = &lib
	}
	backend, choice, err := engine.Open(globalsOf(cmd).Backend)
	if err != nil {
		return doctorReport{}, err
	}
	backend.Finalize()
	r.Chosen = choice
	r.Engines, err = engine.Probe(cmd.Context(), measure)
	return r, err
}

func printDoctor(out io.Writer, r doctorReport) error {
	cgo := "without"
	if r.CGO {
		cgo = "with"
	}
	fmt.Fprintf(out, "whereto %s, %s, %s/%s, %d cores, built %s cgo\n\n", r.Version, r.Go, r.OS, r.Arch, r.Cores, cgo)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "engine\tmatrix product\ttraining step\t\tfound")
	for _, e := range r.Engines {
		product, step, tokens, mark := "-", "-", "-", ""
		if s := e.Speed; s != nil {
			product = fmt.Sprintf("%.1f GFLOP/s (n=%d)", s.GEMM, s.GEMMSize)
			step = fmt.Sprintf("%.1f GFLOP/s", s.Train)
			tokens = fmt.Sprintf("%.0f tokens/s", s.TrainTokens)
		}
		if e.Name == r.Chosen.Name {
			mark = " *"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", e.Name, mark, product, step, tokens, e.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n* chosen: %s\n", r.Chosen)
	for _, s := range r.Chosen.Skipped {
		fmt.Fprintf(out, "  passed over %s\n", s)
	}
	return nil
}
