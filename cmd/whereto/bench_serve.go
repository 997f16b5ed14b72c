package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/load"
)

// keyVariable holds the API key of the service.
const keyVariable = "WHERETO_KEY"

func newBenchServeCmd() *cobra.Command {
	cfg := load.Default()
	mix := cfg.Mix.String()
	output := &enum{"table", []string{"table", "json", "markdown"}}
	cmd := &cobra.Command{
		Use:   "serve URL (--rate R | --clients N)",
		Short: "Measure latency and throughput of a running service",
		Long: "Measure latency and throughput of a running service.\n\n" +
			"--rate asks at random moments (a Poisson process), whether or not the service keeps\n" +
			"up, and counts time from the moment a request was due. --clients keeps as many\n" +
			"callers busy; 1 shows the latency of a quiet service.\n\n" +
			"Requests are drawn from the people, their hours and places that the service stores.\n" +
			"--mix weighs recommend, rank, similar, explain and actions; the last WRITES actions\n" +
			"(ids load-...) into the histories of the people it draws, so it is never asked\n" +
			"unless named. The API key comes from the environment variable " + keyVariable + ".\n\n" +
			"An interrupt ends the load and prints what was measured until then. The status is 1\n" +
			"if the run was interrupted, nothing was answered, or a written action was lost.",
		Example: "  whereto bench serve http://localhost:8080 --rate 50 --duration 2m --admin http://localhost:9090\n" +
			"  whereto bench serve http://localhost:8080 --clients 1 -o json\n" +
			"  whereto bench serve http://localhost:8080 --rate 20 --mix recommend=80,actions=20 --verify-writes",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if cfg.Mix, err = load.ParseMix(mix); err != nil {
				return asUsage(cmd, err)
			}
			cfg.URL = args[0]
			if cfg.Key == "" {
				cfg.Key = os.Getenv(keyVariable)
			}
			if err := cfg.Validate(); err != nil {
				return asUsage(cmd, err)
			}
			if globalsOf(cmd).Progress != "none" {
				cfg.Progress = func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
			}
			return benchServe(cmd, cfg, output.value)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&cfg.Rate, "rate", 0, "requests per second, asked whether or not the service keeps up")
	f.IntVar(&cfg.Clients, "clients", 0, "callers, each of whom asks again as soon as it has its answer")
	f.DurationVar(&cfg.Duration, "duration", cfg.Duration, "how long it measures")
	f.DurationVar(&cfg.Warmup, "warmup", cfg.Warmup, "how long it asks before that, not counted")
	f.DurationVar(&cfg.Timeout, "timeout", cfg.Timeout, "how long one request may take, from the moment it was due")
	f.DurationVar(&cfg.SLO, "slo", cfg.SLO, "goodput counts the answers within this time")
	f.StringVar(&mix, "mix", mix, "`WEIGHTS` of the kinds of requests")
	f.IntVar(&cfg.Candidates, "candidates", cfg.Candidates, "places of a rank request")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of arrivals and requests")
	f.StringVar(&cfg.Key, "key", "", "API `KEY`; the environment variable "+keyVariable+" is the safer place, others see a command line")
	f.StringVar(&cfg.Admin, "admin", "", "`URL` of the service's admin listener, to follow its memory; one that asks for no token")
	f.BoolVar(&cfg.VerifyWrites, "verify-writes", false, "look every acknowledged action up after the run")
	f.VarP(output, "output", "o", "`FORMAT` of the result: table, json or markdown")
	cmd.MarkFlagsOneRequired("rate", "clients")
	cmd.MarkFlagsMutuallyExclusive("rate", "clients")
	return cmd
}

// benchServe runs the load and prints the result.
func benchServe(cmd *cobra.Command, cfg load.Config, output string) error {
	r, err := load.Run(cmd.Context(), cfg, nil)
	if err != nil {
		return err
	}
	return printLoad(cmd, r, output)
}

// printLoad prints a result, and fails if it is none to rely on.
func printLoad(cmd *cobra.Command, r *load.Result, output string) (err error) {
	out := cmd.OutOrStdout()
	switch output {
	case "json":
		err = printJSON(out, r)
	case "markdown":
		err = r.Markdown(out)
	default:
		err = r.Text(out)
	}
	if r.Interrupted {
		err = errors.Join(err, fmt.Errorf("stopped after %.1f of %.0f seconds; the result is of that part", r.Seconds, r.Asked))
	}
	if r.Total.Answered == 0 {
		err = errors.Join(err, fmt.Errorf("%d requests, none answered: %v; look at the log of the service", r.Total.Asked, r.Total.Errors))
	}
	if w := r.Writes; w != nil && w.LostCount > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d acknowledged actions are lost", w.LostCount, w.Acknowledged))
	}
	if w := r.Writes; w != nil && w.Unchecked > 0 {
		err = errors.Join(err, fmt.Errorf("%d acknowledged actions could not be looked up: %s", w.Unchecked, w.Reason))
	}
	return err
}
