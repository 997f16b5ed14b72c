package main

import (
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/report"
)

var _ = register(newReportCmd)

// newReportCmd returns `whereto report`: one page that shows runs.
func newReportCmd() *cobra.Command {
	var out string
	split := &enum{"auto", []string{"auto", report.Test, report.Validation}}
	cmd := &cobra.Command{
		Use:   "report RUN...",
		Short: "Show runs on one self-contained HTML page",
		Long: "Show runs on one self-contained HTML page: facts, tables with floors, charts, a map of errors.\n" +
			"What a run has not got yet, such as a result before whereto eval, is told in its place.",
		Example: "  whereto report runs/nyc\n" +
			"  whereto report runs/nyc runs/nyc-paper --out compare.html",
		Args: cobra.RangeArgs(1, report.MaxRuns),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt := report.Options{}
			if split.value != "auto" {
				opt.Split = split.value
			}
			path := out
			if path == "" {
				path = report.DefaultPath(args)
			}
			if err := report.WriteFile(cmd.Context(), path, args, opt); err != nil {
				return err
			}
			sayTo(cmd)("wrote " + path)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "page to write (default RUN/report.html, or report.html for several runs)")
	cmd.Flags().Var(split, "split", "split whose predictions are drawn: auto (test if there is one), test or validation")
	return cmd
}
