package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/source"
	"github.com/whereto/whereto/split"
)

var _ = register(newDataCmd)

// newDataCmd returns `whereto data`: look at, convert and simulate logs.
func newDataCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "Describe, import and simulate action logs"}
	cmd.AddCommand(newDataDescribeCmd(), newDataImportCmd(), newDataSynthCmd(), newDataLawsCmd(), newDataMapCmd())
	return cmd
}

func newDataDescribeCmd() *cobra.Command {
	cfg := pipeline.Default()
	output := newOutputFlag()
	var rejects string
	cmd := &cobra.Command{
		Use:   "describe PATH...",
		Short: "Print the data card: what was read, what the filters dropped, what is left",
		Long: "Print the data card: what was read, what the filters dropped, what is left. If a folder among\n" +
			"the paths holds impressions, or --impressions names some, they are described, too.",
		Example: "  whereto data describe checkins.tsv.gz --format tsmc\n" +
			"  whereto data describe log.parquet --protocol every-checkin -o json",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Paths = args
			if err := cfg.Validate(); err != nil {
				return asUsage(cmd, err)
			}
			described, err := describe(cmd.Context(), cfg, rejects, sayTo(cmd))
			if err != nil {
				return err
			}
			return described.print(cmd, output.value)
		},
	}
	bindData(cmd, &cfg)
	bindImpressions(cmd, &cfg)
	cmd.Flags().VarP(output, "output", "o", "table or json")
	cmd.Flags().StringVar(&rejects, "rejects", "", "write rejected rows to this file, one JSON object a line")
	return cmd
}

// description is what data describe prints.
type description struct {
	data *pipeline.Report
	feed *pipeline.FeedReport // nil without impressions
}

// describe reads and splits. The reject file is written also when reading fails,
// for that is when it is wanted most.
func describe(ctx context.Context, cfg pipeline.Config, rejects string, say pipeline.Progress) (*description, error) {
	if rejects == "" {
		return describeTo(ctx, cfg, nil, say)
	}
	var out *description
	var readErr error
	err := file.Write(rejects, func(w io.Writer) error {
		out, readErr = describeTo(ctx, cfg, w, say)
		return nil
	})
	if err := errors.Join(readErr, err); err != nil {
		return nil, err
	}
	return out, nil
}

func describeTo(ctx context.Context, cfg pipeline.Config, rejects io.Writer, say pipeline.Progress) (*description, error) {
	log, err := pipeline.Read(ctx, cfg, rejects, say)
	if err != nil {
		return nil, err
	}
	d, report, err := pipeline.Describe(ctx, cfg, log, say)
	if err != nil {
		return nil, err
	}
	out := &description{data: report}
	if pipeline.HasFeed(cfg) {
		_, out.feed, err = pipeline.ReadFeed(ctx, cfg, d, rejects, say)
	}
	return out, err
}

// print writes the card and the impressions to standard output and doubts to
// standard error. In JSON the impressions are one more key of the card.
func (x *description) print(cmd *cobra.Command, output string) error {
	if x.feed == nil {
		return printCard(cmd, x.data, output)
	}
	if output == "json" {
		tellWarnings(cmd, slices.Concat(x.data.Warnings, x.feed.Warnings))
		return printJSON(cmd.OutOrStdout(), struct {
			*split.Card
			Impressions *pipeline.FeedReport `json:"impressions"`
		}{x.data.Card, x.feed})
	}
	if err := printCard(cmd, x.data, output); err != nil {
		return err
	}
	tellWarnings(cmd, x.feed.Warnings)
	return x.feed.WriteText(cmd.OutOrStdout())
}

func newDataImportCmd() *cobra.Command {
	cfg := pipeline.Default()
	output := newOutputFlag()
	var out string
	cmd := &cobra.Command{
		Use:   "import PATH...",
		Short: "Convert logs to a folder: actions as Parquet, data card, rejected rows",
		Long: "Convert logs to a folder with " + pipeline.ActionsFile + ", " + pipeline.CardFile + " and " + pipeline.RejectsFile + ",\n" +
			"and " + pipeline.ImpressionsFile + " where --impressions names logs of impressions. All good rows\n" +
			"are kept; the filters only make the card. Commands that read logs take the folder\n" +
			"as PATH with --format actions, the default.",
		Example: "  whereto data import checkins.tsv.gz --format tsmc --out nyc",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Paths = args
			if err := cfg.Validate(); err != nil {
				return asUsage(cmd, err)
			}
			report, err := pipeline.Import(cmd.Context(), cfg, out, sayTo(cmd))
			if err != nil {
				return err
			}
			sayTo(cmd)("wrote " + out + " with " + strings.Join([]string{pipeline.ActionsFile, pipeline.CardFile, pipeline.RejectsFile}, ", "))
			return printCard(cmd, report, output.value)
		},
	}
	bindData(cmd, &cfg)
	bindImpressions(cmd, &cfg)
	cmd.Flags().VarP(output, "output", "o", "how to print the card: table or json")
	cmd.Flags().StringVar(&out, "out", "", "folder to write; must not exist")
	mustMark(cmd, "out")
	return cmd
}

// bindData adds the flags that say how to read and split logs.
func bindData(cmd *cobra.Command, cfg *pipeline.Config) {
	var formats []string
	for _, f := range source.Formats() {
		formats = append(formats, string(f))
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Format, "format", cfg.Format, "format of the logs: "+strings.Join(formats, ", "))
	f.StringVar(&cfg.Protocol, "protocol", cfg.Protocol, "protocol: "+strings.Join(split.Protocols(), ", "))
	f.StringVar(&cfg.Zone, "zone", cfg.Zone, "IANA time zone of rows without an offset (default: by longitude)")
	f.IntVar(&cfg.MaxBadRows, "max-bad-rows", cfg.MaxBadRows, "stop when more rows are bad; -1 never stops")
	f.IntVar(&cfg.Split.MinPOI, "min-poi", cfg.Split.MinPOI, "drop POIs with fewer check-ins")
	f.IntVar(&cfg.Split.MinUser, "min-user", cfg.Split.MinUser, "then drop users with fewer check-ins")
	f.Float64Var(&cfg.Clean.MinRichness, "min-richness", cfg.Clean.MinRichness, "drop users with fewer distinct POIs per action; the paper has 0.3")
	f.StringSliceVar(&cfg.Clean.FunctionalCategories, "functional", cfg.Clean.FunctionalCategories, "category paths whose actions are no targets (It=0)")
	f.Float64Var(&cfg.Clean.MaxActiveRatio, "max-active-ratio", cfg.Clean.MaxActiveRatio, "highest searches/clicks of a POI whose actions are targets; 0 is off")
	complete := func(names []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)
	}
	for name, fn := range map[string]cobra.CompletionFunc{"format": complete(formats), "protocol": complete(split.Protocols())} {
		if err := cmd.RegisterFlagCompletionFunc(name, fn); err != nil {
			panic(err) // a misspelt flag name in this function
		}
	}
}

// bindImpressions adds the flag that names logs of impressions.
func bindImpressions(cmd *cobra.Command, cfg *pipeline.Config) {
	cmd.Flags().StringSliceVar(&cfg.Impressions, "impressions", nil,
		"logs of impressions: .csv, .tsv, .jsonl or .parquet (default: "+pipeline.ImpressionsFile+" of the folders)")
}

// mustMark makes a flag required.
func mustMark(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic(err) // a misspelt flag name in the caller
	}
}

// newOutputFlag returns the value of -o for commands that print a table or JSON.
func newOutputFlag() *enum { return &enum{"table", []string{"table", "json"}} }

// printCard writes the card to standard output and doubts to standard error.
func printCard(cmd *cobra.Command, r *pipeline.Report, output string) error {
	tellWarnings(cmd, r.Warnings)
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), r.Card)
	}
	return r.Card.WriteText(cmd.OutOrStdout())
}

func tellWarnings(cmd *cobra.Command, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w)
	}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// sayTo returns a progress function that obeys --progress: a line on standard
// error, JSON or plain, or nothing.
func sayTo(cmd *cobra.Command) pipeline.Progress {
	stderr := cmd.ErrOrStderr() // nowhere to report it if standard error breaks
	switch globalsOf(cmd).Progress {
	case "none":
		return func(string) {}
	case "json":
		e := json.NewEncoder(stderr)
		return func(doing string) { _ = e.Encode(map[string]string{"doing": doing}) }
	default:
		return func(doing string) { fmt.Fprintln(stderr, doing) }
	}
}
