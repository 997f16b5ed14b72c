package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whereto/whereto/engine"
)

// A command lives in a file of its own and registers itself there with one line
// at package level, so that this file need not know it:
//
//	var _ = register(newDataCmd)
//
// Commands return errors and print none. For a mistake of the person at the
// keyboard return usageError(...); wrong flags, missing required flags and
// wrong numbers of arguments become one by themselves. Commands that compute
// call openEngine(cmd); commands that show progress read globalsOf(cmd).

// commands are the constructors of all top-level commands.
var commands []func() *cobra.Command

// register adds a command; its result only allows the call at package level.
func register(newCmd func() *cobra.Command) struct{} {
	commands = append(commands, newCmd)
	return struct{}{}
}

// globals are the flags that every command has.
type globals struct {
	Backend  string // one of engine.Names()
	Progress string // one of progressModes
	Verbose  bool
}

// progressModes are the values of --progress; "auto" is a bar on a terminal and
// plain lines elsewhere.
var progressModes = []string{"auto", "bar", "plain", "json", "none"}

// globalsOf reads the global flags. A command that is not under the root, as in
// a test of its own, gets the defaults.
func globalsOf(cmd *cobra.Command) globals {
	g := globals{Backend: engine.Auto, Progress: progressModes[0]}
	text := func(name string, dst *string) {
		if f := cmd.Flag(name); f != nil {
			*dst = f.Value.String()
		}
	}
	text("backend", &g.Backend)
	text("progress", &g.Progress)
	if f := cmd.Flag("verbose"); f != nil {
		g.Verbose = f.Value.String() == "true"
	}
	return g
}

// openEngine opens the engine of --backend and says on standard error which one
// and why. The caller finalizes it.
func openEngine(cmd *cobra.Command) (compute.Backend, error) {
	g := globalsOf(cmd)
	backend, choice, err := engine.Open(g.Backend)
	if err != nil {
		return nil, err
	}
	w := cmd.ErrOrStderr()
	if g.Progress != "none" && g.Progress != "json" {
		fmt.Fprintf(w, "engine: %s\n", choice)
	}
	if g.Verbose {
		for _, s := range choice.Skipped {
			fmt.Fprintf(w, "engine: not %s\n", s)
		}
	}
	return backend, nil
}

// usage is a mistake in how the program was called; it ends with status 2.
type usage struct {
	err error
	try string // a command line that helps
}

func (u *usage) Error() string { return u.err.Error() }
func (u *usage) Unwrap() error { return u.err }

// usageError makes an error that ends the program with status 2 and points to
// the command's help.
func usageError(cmd *cobra.Command, format string, args ...any) error {
	return asUsage(cmd, fmt.Errorf(format, args...))
}

// asUsage is usageError for an error at hand; nil stays nil.
func asUsage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return &usage{err: err, try: cmd.CommandPath() + " --help"}
}

// execute runs the program and returns its exit status.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCmd(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "whereto: %v\n", err)
	var u *usage
	if errors.As(err, &u) {
		fmt.Fprintf(stderr, "try: %s\n", u.try)
		return 2
	}
	return 1
}

func newRootCmd(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "whereto",
		Short:         "Predict where a person wants to go next",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetOut(stdout) // before the completion command is made, which keeps the writer it sees
	root.SetErr(stderr)
	root.SetVersionTemplate("whereto {{.Version}}\n")
	root.SetFlagErrorFunc(asUsage)
	bindGlobals(root.PersistentFlags())
	for name, values := range map[string][]string{"backend": engine.Names(), "progress": progressModes} {
		complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
		if err := root.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // a misspelt flag name in this function
		}
	}
	for _, newCmd := range commands {
		root.AddCommand(newCmd())
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		markUsage(c)
	}
	return root
}

// bindGlobals adds the flags that every command has.
func bindGlobals(f *pflag.FlagSet) {
	f.Var(&enum{"auto", engine.Names()}, "backend", "compute engine: "+strings.Join(engine.Names(), ", "))
	f.Var(&enum{"auto", progressModes}, "progress", "how to show progress: "+strings.Join(progressModes, ", "))
	f.BoolP("verbose", "v", false, "say more on standard error")
}

// markUsage makes wrong arguments and missing flags of c and the commands below
// it usage errors. Cobra would return them unmarked, and a group called with an
// unknown subcommand would print its help with status 0.
func markUsage(c *cobra.Command) {
	check := c.Args
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
		check = cobra.ArbitraryArgs
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if check != nil {
			if err := check(cmd, args); err != nil {
				return asUsage(cmd, err)
			}
		}
		return asUsage(cmd, errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()))
	}
	for _, sub := range c.Commands() {
		markUsage(sub)
	}
}

// unknownCommand names the nearest commands, if any is near.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong; cobra's own default for its suggestions
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usageError(cmd, "unknown command %q for %q; did you mean %s?", name, cmd.CommandPath(), strings.Join(near, " or "))
	}
	return usageError(cmd, "unknown command %q for %q", name, cmd.CommandPath())
}

// enum is the value of a flag that takes one of a few words.
type enum struct {
	value   string
	allowed []string
}

func (e *enum) String() string { return e.value }
func (e *enum) Type() string   { return "string" }
func (e *enum) Set(s string) error {
	if !slices.Contains(e.allowed, s) {
		return fmt.Errorf("use one of %s", strings.Join(e.allowed, ", "))
	}
	e.value = s
	return nil
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if revision != "" {
		return "commit " + revision + changed
	}
	return "development build"
}
