package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/source"
)

// logFlags say which log a command looks at: paths, or a recipe whose data are
// paths or a simulated city.
type logFlags struct {
	recipe, format, zone string
	maxBadRows           int
}

func (f *logFlags) bind(cmd *cobra.Command) {
	def := pipeline.Default()
	cmd.Flags().StringVar(&f.recipe, "recipe", "", "recipe whose data, or simulated city, is looked at instead of PATH")
	cmd.Flags().StringVar(&f.format, "format", def.Format, "format of the log: "+formatNames())
	cmd.Flags().StringVar(&f.zone, "zone", "", "IANA time zone of rows without an offset (default: by longitude)")
	cmd.Flags().IntVar(&f.maxBadRows, "max-bad-rows", def.MaxBadRows, "stop when more rows are bad; -1 never stops")
}

// data returns the data settings of the paths or of the recipe; one of the two
// must be there.
func (f *logFlags) data(cmd *cobra.Command, paths []string) (pipeline.Config, error) {
	if (len(paths) > 0) == (f.recipe != "") {
		return pipeline.Config{}, usageError(cmd, "give either a PATH or --recipe")
	}
	if f.recipe != "" {
		r, err := readRecipe(f.recipe, nil, nil)
		if err != nil {
			return pipeline.Config{}, err
		}
		return r.Data, nil
	}
	cfg := pipeline.Default()
	cfg.Paths, cfg.Format, cfg.Zone, cfg.MaxBadRows = paths, f.format, f.zone, f.maxBadRows
	return cfg, asUsage(cmd, cfg.Validate())
}

func formatNames() string {
	var names []string
	for _, f := range source.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// lawsReport is what `data laws -o json` prints.
type lawsReport struct {
	Laws        *mobility.Laws        `json:"laws"`
	Against     *mobility.Laws        `json:"against,omitempty"`
	Differences []mobility.Difference `json:"differences,omitempty"`
}

func newDataLawsCmd() *cobra.Command {
	var log logFlags
	var against, againstFormat string
	output := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "laws [PATH...]",
		Short: "Measure the laws of a log: trips, returns, rhythm; hold it against another log",
		Long: "Measure the laws of mobility of a log or of a recipe's data: trip lengths and their\n" +
			"truncated power law, radius of gyration, time between stays, exploration and returns,\n" +
			"rhythm of the week, popularity of places. Searches, clicks and favourites do not count:\n" +
			"they do not say where a person is. With --against, the laws stand beside those of another\n" +
			"log, with the distances between them and whether they agree within stated bounds.",
		Example: "  whereto data laws checkins.tsv.gz --format tsmc\n" +
			"  whereto data laws --recipe quickstart --against checkins.tsv.gz --against-format tsmc",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := log.data(cmd, args)
			if err != nil {
				return err
			}
			say := sayTo(cmd)
			var report lawsReport
			if report.Laws, err = lawsOf(cmd.Context(), cfg, say); err != nil {
				return err
			}
			if against != "" {
				reference := pipeline.Default()
				reference.Paths, reference.Format = []string{against}, againstFormat
				if report.Against, err = lawsOf(cmd.Context(), reference, say); err != nil {
					return err
				}
				report.Differences = mobility.Compare(report.Laws, report.Against)
			}
			return printLaws(cmd, &report, output.value)
		},
	}
	log.bind(cmd)
	bindAgainst(cmd, &against, &againstFormat)
	cmd.Flags().VarP(output, "output", "o", "table or json")
	return cmd
}

// bindAgainst adds the flags of a reference log.
func bindAgainst(cmd *cobra.Command, path, format *string) {
	cmd.Flags().StringVar(path, "against", "", "log to hold this one against")
	cmd.Flags().StringVar(format, "against-format", pipeline.Default().Format, "format of that log")
}

func printLaws(cmd *cobra.Command, r *lawsReport, output string) error {
	w := cmd.OutOrStdout()
	if output == "json" {
		return printJSON(w, r)
	}
	if err := mobility.WriteText(w, r.Laws); err != nil || r.Against == nil {
		return err
	}
	fmt.Fprintln(w)
	if err := mobility.WriteText(w, r.Against); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return mobility.WriteDifferences(w, r.Laws.Name, r.Against.Name, r.Differences)
}

// lawsOf measures a log, or a simulated city person by person, which needs no
// memory for its actions.
func lawsOf(ctx context.Context, cfg pipeline.Config, say pipeline.Progress) (*mobility.Laws, error) {
	if len(cfg.Paths) > 0 {
		log, err := pipeline.Read(ctx, cfg, nil, say)
		if err != nil {
			return nil, err
		}
		say("measuring the laws of " + log.Name)
		return mobility.OfActions(ctx, log.Name, log.Actions)
	}
	say(fmt.Sprintf("simulating a city of %d people", cfg.City.Users))
	c, err := city.New(cfg.City)
	if err != nil {
		return nil, err
	}
	laws := mobility.NewCollector()
	for u := range c.Users() {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stopped before person %d of %d: %w", u, c.Users(), err)
		}
		if err := laws.Add(c.Actions(u)); err != nil {
			return nil, err
		}
	}
	return laws.Laws(cityName(cfg.City))
}

// cityName is how logs of simulated cities are called.
func cityName(cfg city.Config) string { return fmt.Sprintf("city-%d", cfg.Seed) }
