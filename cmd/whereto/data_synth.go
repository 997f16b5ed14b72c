package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/atlas"
	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
)

func newDataSynthCmd() *cobra.Command {
	cfg := pipeline.Default().City
	var opt pipeline.CityOptions
	var recipePath, out string
	cmd := &cobra.Command{
		Use:   "synth",
		Short: "Write the log, the impressions and the places of the simulated city",
		Long: "Write the simulated city of a recipe, or of the flags, to a data folder: what people did\n" +
			"(" + pipeline.ActionsFile + "), who they are (" + pipeline.ProfilesFile + "), the places with their texts and\n" +
			"images (" + pipeline.DetailsFile + "), what was shown to them and clicked, with the true\n" +
			"probabilities (" + pipeline.ImpressionsFile + ", if the city makes any), " + pipeline.CardFile + ", " + pipeline.PlacesFile + "\n" +
			"and a page to look at (" + cityPage + ").\n" +
			"Equal settings give equal bytes. Flags win over the recipe. People are made one by one,\n" +
			"so a city of millions needs little memory.",
		Example: "  whereto data synth --recipe recipes/quickstart.yaml --out city\n" +
			"  whereto data synth --users 500 --impressions 4 --seed 7 --out city",
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
					"impressions": func() { cfg.Impressions = flags.Impressions },
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
			card, err := pipeline.WriteCity(cmd.Context(), cfg, out, opt, say)
			if err != nil {
				return err
			}
			if err := drawCity(cmd, cfg, filepath.Join(out, cityPage)); err != nil {
				return err
			}
			tellCity(say, out, recipePath, card)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipePath, "recipe", "", "recipe, shipped or a file, whose data.city is simulated (default: the quickstart's city)")
	f.StringVar(&out, "out", "", "folder to write; must not exist")
	f.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "seed of the city")
	f.IntVar(&cfg.Users, "users", cfg.Users, "number of people")
	f.IntVar(&cfg.POIs, "pois", cfg.POIs, "number of places")
	f.IntVar(&cfg.Days, "days", cfg.Days, "length of the log in days")
	f.Float64Var(&cfg.Impressions, "impressions", cfg.Impressions, "recommendation requests of a person over the log, on average")
	f.BoolVar(&opt.NoImages, "no-images", false, "leave out the images of places")
	mustMark(cmd, "out")
	return cmd
}

// cityPage is the page of a simulated city in its data folder.
const cityPage = "city.html"

// drawCity writes the page on which one sees the city.
func drawCity(cmd *cobra.Command, cfg city.Config, path string) error {
	sayTo(cmd)("drawing " + path)
	in, err := cityAtlas(cmd.Context(), cfg, nil)
	if err != nil {
		return err
	}
	return file.Write(path, func(w io.Writer) error { return atlas.Write(w, in) })
}

// tellCity says what was written and what to do with it.
func tellCity(say pipeline.Progress, out, recipePath string, c *pipeline.CityCard) {
	images := "with images"
	if !c.Images {
		images = "without images"
	}
	say(fmt.Sprintf("wrote %s with %s (%d actions of %d people), %s, %s (%s), %s and %s (%d places)", out,
		pipeline.ActionsFile, c.Actions, c.Users, pipeline.ProfilesFile, pipeline.DetailsFile, images, pipeline.CardFile, pipeline.PlacesFile, c.POIs))
	if c.Impressions > 0 {
		say(fmt.Sprintf("wrote %s (%d impressions, %d of %d candidates clicked)", filepath.Join(out, pipeline.ImpressionsFile), c.Impressions, c.Clicks, c.Shown))
	}
	say("look at it: " + filepath.Join(out, cityPage))
	say("next: whereto data describe " + out)
	if recipePath == "" {
		recipePath = "quickstart"
	}
	say("then: whereto pretrain " + recipePath + " --data " + out)
}

// recipeCity returns the city of a recipe.
func recipeCity(path string) (city.Config, error) {
	r, err := readRecipe(path, nil, nil)
	if err != nil {
		return city.Config{}, err
	}
	if len(r.Data.Paths) > 0 {
		return city.Config{}, fmt.Errorf("the recipe %s reads %s, it simulates no city; give one without data.paths, or the settings as flags: %w",
			path, r.Data.Paths[0], poi.ErrBadInput)
	}
	return r.Data.City, nil
}
