package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recipes"
	"github.com/whereto/whereto/source"
)

var _ = register(newRecipesCmd)

// newRecipesCmd returns `whereto recipes`: look at the recipes inside the program.
func newRecipesCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "recipes", Short: "List and print the recipes shipped with the program"}
	list := &cobra.Command{
		Use:   "ls",
		Short: "List the shipped recipes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, name := range recipes.Names() {
				text, err := recipes.Read(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(w, "%s\t%s\n", name, recipes.About(text))
			}
			return w.Flush()
		},
	}
	cat := &cobra.Command{
		Use:     "cat NAME",
		Short:   "Print a shipped recipe, to start one of your own",
		Example: "  whereto recipes cat nyc > mine.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := recipes.Read(args[0])
			if err != nil {
				return asUsage(cmd, err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
		ValidArgsFunction: cobra.FixedCompletions(recipes.Names(), cobra.ShellCompDirectiveNoFileComp),
	}
	cmd.AddCommand(list, cat)
	return cmd
}

// recipeFlags are the flags of commands that start from a recipe.
type recipeFlags struct {
	data []string
	sets []string
	seed int64
}

func (f *recipeFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.data, "data", nil, "log file or data folder, in place of the recipe's; repeat for more")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "change a setting of the recipe, section.key=value; repeat for more")
	cmd.Flags().Int64Var(&f.seed, "seed", 0, "seed of training, in place of the recipe's")
}

// load reads the recipe of a file or a shipped name and applies the flags.
func (f *recipeFlags) load(cmd *cobra.Command, name string) (*recipe.Recipe, error) {
	return f.loadOver(cmd, name, nil)
}

// loadOver is load for a recipe of post-training, read over that of a run; nil reads
// it over the defaults. Mistakes in --set are mistakes of the caller, mistakes in
// the file are not.
func (f *recipeFlags) loadOver(cmd *cobra.Command, name string, base *recipe.Recipe) (*recipe.Recipe, error) {
	if _, err := readRecipe(name, base, nil); err != nil {
		return nil, err
	}
	sets := slices.Clone(f.sets)
	if cmd.Flags().Changed("seed") {
		sets = append(sets, fmt.Sprintf("training.seed=%d", f.seed))
	}
	r, err := readRecipe(name, base, sets)
	if err != nil {
		return nil, asUsage(cmd, err)
	}
	if f.data == nil {
		return r, nil
	}
	if r.Data.Paths, err = absolute(cmd, f.data); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, asUsage(cmd, err)
	}
	return r, nil
}

// absolute makes the paths of --data findable from anywhere, as a run folder needs.
func absolute(cmd *cobra.Command, paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		if strings.TrimSpace(p) == "" {
			return nil, usageError(cmd, "--data is empty; give a file or folder")
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("--data %s: %w", p, err)
		}
		out = append(out, abs)
	}
	return out, nil
}

// readRecipe takes a shipped name or a file, read over base if there is one.
func readRecipe(name string, base *recipe.Recipe, sets []string) (*recipe.Recipe, error) {
	text, where, err := recipeText(name)
	if err != nil {
		return nil, err
	}
	parse := recipe.Parse
	if base != nil {
		parse = func(text []byte, sets []string) (*recipe.Recipe, error) { return recipe.Over(base, text, sets) }
	}
	r, err := parse(text, sets)
	if err != nil && where != "" {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return r, err
}

// recipeText reads a shipped recipe or a file, and says which file. A plain word is
// a shipped name first, so that a folder of the same name does not hide it.
func recipeText(name string) (text []byte, where string, err error) {
	plain := !strings.ContainsAny(name, `/\`) && filepath.Ext(name) == ""
	if !plain {
		text, err = recipe.Read(name)
		return text, name, err
	}
	text, err = recipes.Read(name)
	if err == nil {
		return text, "", nil
	}
	if own, fileErr := recipe.Read(name); fileErr == nil || !errors.Is(fileErr, fs.ErrNotExist) {
		return own, name, fileErr
	}
	return nil, "", fmt.Errorf("recipe %q is neither a file nor shipped: %w", name, err)
}

// wantData refuses a recipe for files that names none: without paths the data
// would be the simulated city, which is not what such a recipe means.
func wantData(cmd *cobra.Command, r *recipe.Recipe) error {
	if len(r.Data.Paths) == 0 && r.Data.Format != string(source.Actions) {
		return usageError(cmd, "the recipe %s reads files of format %s and names none; say where they are with --data PATH: %w", r.Name, r.Data.Format, poi.ErrBadInput)
	}
	return nil
}

// assemble loads a recipe and its data and opens the engine, which the caller finalizes.
func (f *recipeFlags) assemble(cmd *cobra.Command, name string) (*fit.Assembly, compute.Backend, error) {
	rec, err := f.load(cmd, name)
	if err != nil {
		return nil, nil, err
	}
	if err := wantData(cmd, rec); err != nil {
		return nil, nil, err
	}
	backend, err := openEngine(cmd)
	if err != nil {
		return nil, nil, err
	}
	a, err := fit.Assemble(cmd.Context(), rec, sayTo(cmd))
	if err != nil {
		backend.Finalize()
		return nil, nil, err
	}
	return a, backend, nil
}
