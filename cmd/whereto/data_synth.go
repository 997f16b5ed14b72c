package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
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

// maxRecipe is far above any recipe, and small enough to hold in memory.
const maxRecipe = 1 << 20

// recipeCity reads the city of a recipe and leaves the rest of it unread, so
// that a recipe for another version of the trainer still makes its city.
func recipeCity(path string) (city.Config, error) {
	cfg := pipeline.Default().City
	f, err := os.Open(path)
	if err != nil {
		return cfg, fmt.Errorf("open the recipe: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRecipe+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return cfg, fmt.Errorf("read the recipe %s: %w", path, err)
	}
	if len(text) > maxRecipe {
		return cfg, fmt.Errorf("the recipe %s is longer than %d bytes; is it a recipe? %w", path, maxRecipe, poi.ErrBadInput)
	}
	var tree struct {
		Data struct {
			City yaml.Node `yaml:"city"`
		} `yaml:"data"`
	}
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return cfg, fmt.Errorf("read the recipe %s: %w: %w", path, err, poi.ErrBadInput)
	}
	if tree.Data.City.IsZero() {
		return cfg, fmt.Errorf("the recipe %s has no data.city; give a recipe that trains on the simulated city, or the settings as flags: %w", path, poi.ErrBadInput)
	}
	// A node cannot be decoded strictly; its text can.
	text, err = yaml.Marshal(&tree.Data.City)
	if err != nil {
		return cfg, fmt.Errorf("read the city of recipe %s: %w", path, err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("read the city of recipe %s: %w: %w", path, err, poi.ErrBadInput)
	}
	return cfg, nil
}
