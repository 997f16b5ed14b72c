package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/index"
)

var _ = register(newBenchCmd)

// newBenchCmd returns `whereto bench`: how fast the parts are.
func newBenchCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "bench", Short: "Measure the speed of training, of a network, of a service and of building an index"}
	cmd.AddCommand(newBenchTrainCmd(), newBenchNetworkCmd(), newBenchIndexCmd(), newBenchServeCmd(), newBenchSoakCmd())
	return cmd
}

func newBenchIndexCmd() *cobra.Command {
	output := newOutputFlag()
	sizes := []string{"1e6", "2e6", "5e6", "10e6"}
	cmd := &cobra.Command{
		Use:     "index",
		Short:   "Measure time and memory of building the index over synthetic places",
		Example: "  whereto bench index --places 1e6,10e6",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ns, err := counts(sizes)
			if err != nil {
				return asUsage(cmd, err)
			}
			rows, err := index.BenchBuild(ns)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			const mib = 1 << 20
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "places\tseconds\tpeak MiB\tinput MiB\tafter MiB\tblocks\tlargest block\tvocabulary\t")
			for _, r := range rows {
				fmt.Fprintf(w, "%d\t%.2f\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.N, r.Seconds, r.PeakBytes/mib, r.InputBytes/mib, r.HeapBytes/mib, r.Blocks, r.MaxInner, r.Vocabulary)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringSliceVar(&sizes, "places", sizes, "numbers of places, such as 1e6,10e6")
	cmd.Flags().VarP(output, "output", "o", "table or json")
	return cmd
}

// counts reads whole numbers, which may be written like 10e6.
func counts(texts []string) ([]int, error) {
	var out []int
	for _, s := range texts {
		x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || x != math.Trunc(x) || x < 1 || x > index.MaxPlaces {
			return nil, fmt.Errorf("--places %q: want a whole number from 1 to %d, such as 1e6", s, index.MaxPlaces)
		}
		out = append(out, int(x))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("--places is empty; give numbers such as 1e6,10e6")
	}
	return out, nil
}
