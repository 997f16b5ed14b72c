package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
)

func newDataSynthCmd() *cobra.Command {
	cfg := pipeline.Default().City
	var recipePath, out string
	cmd := &cobra.Command{
		Use:   "synth",
		Short: "Write the log and the places of the simulated city",
		Long: "Write the simulated city of a recipe, or of the flags, to a folder: its actions as\n" +
			pipeline.ActionsFile + " and its places as " + pipeline.PlacesFile + ". Equal settings give equal bytes.\n" +
			"Flags win over the recipe.",
		Example: "  whereto data synth --recipe recipes/quickstart.yaml --out city\n" +
			"  whereto data synth --users 500 --seed 7 --out city",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if recipePath != "" {
				flags := cfg
				var err error
				if cfg, err = recipeCity(recipePath); err != nil {
					return err
				}
				for name, keep := range map[string]func(){
					"seed": func() { cfg.Seed = flags.Seed }, "users": func() { cfg.Users = flags.Users },
					"pois": func() { cfg.POIs = flags.POIs }, "days": func() { cfg.Days = flags.Days },
				} {
					if cmd.Flags().Changed(name) {
						keep()
					}
				}
			}
			if err := cfg.Validate(); err != nil {
				return asUsage(cmd, err)
			}
			say := sayTo(cmd)
			actions, places, err := pipeline.Synth(cmd.Context(), cfg, out, say)
			if err != nil {
				return err
			}
			say(fmt.Sprintf("wrote %s with %s (%d actions of %d people) and %s (%d places)", out, pipeline.ActionsFile, actions, cfg.Users, pipeline.PlacesFile, places))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipePath, "recipe", "", "recipe whose data.city is simulated (default: the quickstart's city)")
	f.StringVar(&out, "out", "", "folder to write; must not exist")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of the city")
	f.IntVar(&cfg.Users, "users", cfg.Users, "number of people")
	f.IntVar(&cfg.POIs, "pois", cfg.POIs, "number of places")
	f.IntVar(&cfg.Days, "days", cfg.Days, "length of the log in days")
	mustMark(cmd, "out")
	return cmd
}

// recipeCity returns the city of a recipe.
func recipeCity(path string) (city.Config, error) {
	r, err := recipe.Load(path, nil)
	if err != nil {
		return city.Config{}, err
	}
	if len(r.Data.Paths) > 0 {
		return city.Config{}, fmt.Errorf("the recipe %s reads %s, it simulates no city; give one without data.paths, or the settings as flags: %w",
			path, r.Data.Paths[0], poi.ErrBadInput)
	}
	return r.Data.City, nil
}
