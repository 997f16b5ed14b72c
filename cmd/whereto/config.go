package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var _ = register(newConfigCmd)

// newConfigCmd returns `whereto config`: the settings of `whereto serve`.
func newConfigCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show the settings of a service",
		Long: "The settings of `whereto serve` are its flags. Each is set by the command line, else\n" +
			"by the environment (--drain-delay is " + variableOf("drain-delay") + "), else by a file in YAML, one\n" +
			"setting a line (drain-delay: 5s), which `whereto serve --config FILE` reads.",
	}
	cmd.AddCommand(newConfigCheckCmd(), newConfigPrintCmd())
	return cmd
}

func newConfigCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a file of settings; status 2 if something is wrong",
		Long: "Check a file of settings by itself, without the environment, and tell all that is\n" +
			"wrong with file, line and column. Nothing is opened: whether the store, the models\n" +
			"and the ports are there shows when the service starts.",
		Example: "  whereto config check serve.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := newSettings()
			s.given = map[string]setting{"config": {text: args[0]}}
			if err := s.layer(func(string) (string, bool) { return "", false }); err != nil {
				return asUsage(cmd, err)
			}
			n := 0
			for _, o := range s.from {
				if o.layer == byFile {
					n++
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d settings, nothing wrong\n", args[0], n)
			return nil
		},
	}
}

func newConfigPrintCmd() *cobra.Command {
	s := newServing()
	cmd := &cobra.Command{
		Use:   "print [FILE]",
		Short: "Print the settings that `whereto serve --config FILE` would have here, and where each comes from",
		Long: "Print the settings that `whereto serve --config FILE` would have with the same flags\n" +
			"and in the same environment, and where each comes from: flag, environment, file or\n" +
			"default. Passwords are left out. The output is itself a file of settings.",
		Example: "  whereto config print serve.yaml --log-level debug\n" +
			"  whereto config print > serve.yaml # all settings, to begin with",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if cmd.Flags().Changed("config") {
					return usageError(cmd, "two files are given: %s and --config; give one", args[0])
				}
				if err := cmd.Flags().Set("config", args[0]); err != nil {
					return asUsage(cmd, err)
				}
			}
			if err := s.settle(cmd); err != nil {
				return err
			}
			for _, name := range strayVariables(cmd.Flags(), os.Environ()) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s in the environment is no setting\n", name)
			}
			return s.print(cmd.OutOrStdout())
		},
	}
	s.bind(cmd.Flags())
	return cmd
}

// strayVariables lists variables that look like settings and are none, most likely
// mistyped. The service itself keeps quiet about them, for a cluster makes some up
// (WHERETO_SERVICE_HOST, WHERETO_PORT_...) from the names of its services.
func strayVariables(flags *pflag.FlagSet, environment []string) (stray []string) {
	known := map[string]bool{keysVariable: true, tokenVariable: true, keyVariable: true}
	flags.VisitAll(func(f *pflag.Flag) { known[variableOf(f.Name)] = true })
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if ours && !known[name] && !strings.Contains(rest, "SERVICE_") && !strings.HasPrefix(rest, "PORT") {
			stray = append(stray, name)
		}
	}
	slices.Sort(stray)
	return stray
}
