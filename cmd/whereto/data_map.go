package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/atlas"
	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

func newDataMapCmd() *cobra.Command {
	var log logFlags
	var out, against, againstFormat string
	cmd := &cobra.Command{
		Use:   "map [PATH...]",
		Short: "Draw a log or a simulated city on one self-contained HTML page",
		Long: "Draw a log or a recipe's data on one self-contained HTML page: places on a map, the rhythm\n" +
			"of the week, the laws of mobility, days of people. A simulated city also shows places with\n" +
			"their texts and images, and its impressions with the true click probabilities. With\n" +
			"--against, the laws of another log are drawn as a second curve.",
		Example: "  whereto data map --recipe quickstart --out city.html\n" +
			"  whereto data map checkins.tsv.gz --format tsmc --out nyc.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := log.data(cmd, args)
			if err != nil {
				return err
			}
			ctx, say := cmd.Context(), sayTo(cmd)
			var reference *mobility.Laws
			if against != "" {
				other := pipeline.Default()
				other.Paths, other.Format = []string{against}, againstFormat
				if reference, err = lawsOf(ctx, other, say); err != nil {
					return err
				}
			}
			in, err := atlasOf(ctx, cfg, reference, say)
			if err != nil {
				return err
			}
			if err := file.Write(out, func(w io.Writer) error { return atlas.Write(w, in) }); err != nil {
				return err
			}
			say("wrote " + out)
			return nil
		},
	}
	log.bind(cmd)
	bindAgainst(cmd, &against, &againstFormat)
	cmd.Flags().StringVar(&out, "out", "", "page to write")
	mustMark(cmd, "out")
	return cmd
}

// atlasOf looks at a simulated city or at a log.
func atlasOf(ctx context.Context, cfg pipeline.Config, reference *mobility.Laws, say pipeline.Progress) (atlas.Input, error) {
	if len(cfg.Paths) == 0 {
		say(fmt.Sprintf("simulating a city of %d people", cfg.City.Users))
		return cityAtlas(ctx, cfg.City, reference)
	}
	log, err := pipeline.Read(ctx, cfg, nil, say)
	if err != nil {
		return atlas.Input{}, err
	}
	say("drawing " + log.Name)
	in, err := logAtlas(ctx, cfg, log)
	in.Reference = reference
	return in, err
}

// cityAtlas looks at a simulated city; reference may be nil.
func cityAtlas(ctx context.Context, cfg city.Config, reference *mobility.Laws) (atlas.Input, error) {
	c, err := city.New(cfg)
	if err != nil {
		return atlas.Input{}, err
	}
	return atlas.OfCity(ctx, cityName(cfg), c, cityFacts(cfg), reference)
}

// cityFacts are the settings of a city worth a line on its page.
func cityFacts(c city.Config) []atlas.Fact {
	return []atlas.Fact{
		{Name: "seed", Value: fmt.Sprint(c.Seed)}, {Name: "people", Value: fmt.Sprint(c.Users)},
		{Name: "places", Value: fmt.Sprint(c.POIs)}, {Name: "days", Value: fmt.Sprintf("%d from %s", c.Days, c.Start)},
		{Name: "time zone", Value: c.Zone}, {Name: "impressions a person", Value: fmt.Sprint(c.Impressions)},
	}
}

// mapPlaces is the most places of a log that are handed to the page, and the most
// addresses that neighbourhoods are found from.
const mapPlaces = 20_000

// logAtlas looks at the people and places of a log in memory, and at what a data
// folder holds beside the log.
func logAtlas(ctx context.Context, cfg pipeline.Config, log *pipeline.Log) (atlas.Input, error) {
	g := atlas.NewGather(log.Name)
	byUser, places := map[string][]poi.Action{}, map[string]poi.Place{}
	for _, a := range log.Actions {
		byUser[a.User] = append(byUser[a.User], a)
		if _, known := places[a.POI]; !known {
			places[a.POI] = poi.Place{ID: a.POI, Name: a.Name, Category: a.Category, Lat: a.Lat, Lng: a.Lng}
		}
	}
	for _, user := range slices.Sorted(maps.Keys(byUser)) {
		if err := ctx.Err(); err != nil {
			return atlas.Input{}, fmt.Errorf("stopped before user %s: %w", user, err)
		}
		if err := g.Person(log.Profiles[user], nil, byUser[user]); err != nil {
			return atlas.Input{}, err
		}
	}
	opt := source.Options{Format: source.Actions, MaxBadRows: cfg.MaxBadRows}
	if files := beside(cfg.Paths, pipeline.ImpressionsFile); len(files) > 0 {
		_, err := source.ReadImpressions(ctx, files, opt, func(im *poi.Impression) error { g.Impression(im); return nil })
		if err != nil {
			return atlas.Input{}, err
		}
	}
	in, err := g.Input()
	if err != nil {
		return atlas.Input{}, err
	}
	all := slices.SortedFunc(maps.Values(places), func(a, b poi.Place) int { return strings.Compare(a.ID, b.ID) })
	if files := beside(cfg.Paths, pipeline.DetailsFile); len(files) > 0 {
		if all, err = catalogAtlas(ctx, files, opt, g, &in); err != nil {
			return atlas.Input{}, err
		}
	}
	in.Places = atlas.Sample(all, mapPlaces)
	return in, nil
}

// catalogAtlas reads a catalog: its places, and for the page neighbourhoods from
// addresses and cards of popular places.
func catalogAtlas(ctx context.Context, files []string, opt source.Options, g *atlas.Gather, in *atlas.Input) ([]poi.Place, error) {
	cards := map[string]atlas.Card{}
	popular := g.Popular(atlas.MaxCards)
	for _, id := range popular {
		cards[id] = atlas.Card{}
	}
	var places []poi.Place
	var addresses []atlas.Address
	_, err := source.ReadPlaces(ctx, files, opt, func(e *source.Entry) error {
		places = append(places, e.Place)
		if e.Address != "" && len(addresses) < mapPlaces {
			addresses = append(addresses, atlas.Address{Text: e.Address, Lat: e.Lat, Lng: e.Lng})
		}
		if _, wanted := cards[e.ID]; wanted {
			cards[e.ID] = atlas.Card{Place: e.Place, Details: e.Details, Stays: g.Stays(e.ID)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var found []atlas.Card
	for _, id := range popular {
		if c := cards[id]; c.Place.ID != "" {
			found = append(found, c)
		}
	}
	in.Cards, in.Quarters = atlas.Telling(found), atlas.Quarters(addresses)
	return places, nil
}

// beside returns the files of a name in the folders among paths.
func beside(paths []string, name string) []string {
	var out []string
	for _, p := range paths {
		file := filepath.Join(p, name)
		if _, err := os.Stat(file); err == nil {
			out = append(out, file)
		}
	}
	return out
}
