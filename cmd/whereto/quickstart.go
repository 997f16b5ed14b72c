package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recipes"
	"github.com/whereto/whereto/report"
	"github.com/whereto/whereto/run"
)

var _ = register(newQuickstartCmd)

// Settings of the quickstart beside its recipe.
const (
	quickstartRecipe = "quickstart"
	// slowSteps keeps training on the pure-Go engine to a few minutes.
	slowSteps = "training.max_steps=100"
	cityDir   = "city" // in the run folder: the log, as an example of the schema
)

// newQuickstartCmd returns `whereto quickstart`: everything once, without data.
func newQuickstartCmd() *cobra.Command {
	var out string
	var sets []string
	seed := int64(1)
	cmd := &cobra.Command{
		Use:   "quickstart",
		Short: "From nothing to a trained network, a result table and a report page in minutes",
		Long: "Simulate a city, train on its people's logs, compare with the floors, recommend\n" +
			"places to one of them at five hours of a day, and write a report page. Everything\n" +
			"goes into one run folder; called again, it goes on where it was stopped.",
		Example: "  whereto quickstart\n  whereto quickstart --seed 7 --out runs/city7",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seed < 0 {
				return usageError(cmd, "--seed is %d, want 0 or more", seed)
			}
			if out == "" {
				out = filepath.Join("runs", fmt.Sprintf("%s-s%d", quickstartRecipe, seed))
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			all := []string{fmt.Sprintf("training.seed=%d", seed), fmt.Sprintf("data.city.seed=%d", seed)}
			if backend.Name() == gobackend.GetBackend().Name() {
				all = append(all, slowSteps)
				fmt.Fprintln(cmd.ErrOrStderr(), "the pure-Go engine is slow, so training is cut short ("+slowSteps+"); `whereto setup` fetches a faster engine")
			}
			text, err := recipes.Read(quickstartRecipe)
			if err != nil {
				return err
			}
			rec, err := recipe.Parse(text, append(all, sets...))
			if err != nil {
				return asUsage(cmd, err)
			}
			return quickstart(cmd, backend, rec, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "run folder (default runs/quickstart-sSEED)")
	f.Int64Var(&seed, "seed", seed, "seed of the city and of training")
	f.StringArrayVar(&sets, "set", nil, "change a setting of the quickstart recipe, section.key=value; repeat for more")
	return cmd
}

// quickstart runs the whole path and tells about it on standard output.
func quickstart(cmd *cobra.Command, backend compute.Backend, rec *recipe.Recipe, out string) (err error) {
	began, w := time.Now(), cmd.OutOrStdout()
	done, err := pretrain(cmd, backend, rec, out, true)
	if err != nil {
		return err
	}
	t, err := fit.Open(cmd.Context(), out, fit.OpenOptions{Backend: backend, Progress: sayTo(cmd)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	card := t.Report.Card
	fmt.Fprintf(w, "A simulated city: %d people, %d places, %d actions over %d days; %d blocks in the index.\n",
		card.Users, card.POIs, card.Checkins, rec.Data.City.Days, t.Index.NumBlocks())
	if done.Finished {
		fmt.Fprintf(w, "The network in %s was trained before.\n\n", out)
	} else {
		fmt.Fprintf(w, "Training took %s.\n\n", time.Duration(done.Seconds*float64(time.Second)).Round(time.Second))
	}
	sayTo(cmd)("comparing with the floors on the test split")
	if err := noteRead(t.Run, poi.Test.String()); err != nil {
		return err
	}
	res, err := evaluate(cmd.Context(), t, poi.Test.String())
	if err != nil {
		return err
	}
	if err := eval.WriteTable(w, []*eval.Result{res}); err != nil {
		return err
	}
	user, err := sampleDay(cmd.Context(), w, t)
	if err != nil {
		return err
	}
	if err := writeCity(cmd, t); err != nil {
		return err
	}
	page := report.DefaultPath([]string{out})
	if err := report.WriteFile(cmd.Context(), page, []string{out}, report.Options{}); err != nil {
		return err
	}
	return tellFiles(w, t, user, page, time.Since(began))
}

// writeCity keeps the log beside the run, once, to look at and to imitate.
func writeCity(cmd *cobra.Command, t *fit.Trained) error {
	dir := t.Run.Path(cityDir)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	_, err := pipeline.WriteCity(cmd.Context(), t.Recipe.Data.City, dir, pipeline.CityOptions{}, sayTo(cmd))
	return err
}

// tellFiles says where everything is and what to try next.
func tellFiles(w io.Writer, t *fit.Trained, user, page string, took time.Duration) error {
	dir := t.Run.Dir()
	fmt.Fprintf(w, "\nAll of this took %s. What is where:\n", took.Round(time.Second))
	files := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range [][2]string{
		{page, "the report: open it in a browser"},
		{t.Run.Path(run.RecipeFile), "every setting of this run"},
		{t.Run.Path(run.CheckpointsDir, run.Best), "the weights, chosen on validation"},
		{t.Run.Path(run.IndexFile), "places and their tokens (whereto index show)"},
		{t.Run.Path("eval-test.json"), "the table above; predictions-test.jsonl has each row"},
		{t.Run.Path(run.TensorBoardDir), "curves for TensorBoard; metrics.jsonl has the numbers"},
		{t.Run.Path(cityDir), "the simulated log and its places, an example for your own"},
	} {
		fmt.Fprintf(files, "  %s\t%s\n", f[0], f[1])
	}
	if err := files.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nWhat to try next:")
	next := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range [][2]string{
		{"recommend " + dir + " --user " + user + " -k 5", "ask for yourself; --time and --lat, --lng change the question"},
		{"audit " + dir, "is the run honest?"},
		{"recipes cat " + quickstartRecipe + " > mine.yaml", "a recipe of your own, for"},
		{"pretrain mine.yaml --data my-log.csv", "your data; columns: user,poi,name,category,lat,lng,time,offset_min,type"},
		{"pretrain nyc --data checkins.tsv.gz", "Foursquare check-ins of New York, TSMC2014 format"},
	} {
		fmt.Fprintf(next, "  whereto %s\t%s\n", c[0], c[1])
	}
	return next.Flush()
}

// sampleHours are the local hours of the sample day.
var sampleHours = []int{8, 12, 16, 19, 22}

// sampleDay prints the three likeliest places of one person at five hours of the
// day after his last visit, and returns his id.
func sampleDay(ctx context.Context, w io.Writer, t *fit.Trained) (string, error) {
	u := wanderer(t.Dataset)
	user := &t.Dataset.Users[u]
	last := user.Visits[len(user.Visits)-1]
	day := last.Local().Truncate(24*time.Hour).AddDate(0, 0, 1)
	fmt.Fprintf(w, "\nWhere %s (%s, %s) may want to go on %s:\n", user.ID, user.Profile.Occupation, user.Profile.AgeBand, day.Format("Monday 2 January 2006"))
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, hour := range sampleHours {
		local := day.Add(time.Duration(hour) * time.Hour)
		q := poi.Query{User: u, History: user.Visits, TimeMS: local.UnixMilli() - 60_000*int64(last.OffsetMin), OffsetMin: last.OffsetMin}
		q.Lat, q.Lng, q.HasPos = standsAt(user.Visits, hour)
		ranked, err := t.Predictor.Recommend(ctx, q, 3)
		if err != nil {
			return "", err
		}
		for i, r := range ranked {
			clock := ""
			if i == 0 {
				clock = local.Format("15:04")
			}
			fmt.Fprintf(out, "  %s\t%.2f\t%s\t%s\t%.1f km\t%s\n", clock, r.Prob, r.Name, r.Category, r.Metres/1000, r.Source)
		}
	}
	return user.ID, out.Flush()
}

// wanderer is the person who came back to the most places: an interesting one.
func wanderer(d *poi.Dataset) int32 {
	best, most := int32(0), -1
	for u := range d.Users {
		visits, places := map[int32]int{}, 0
		for _, v := range d.Users[u].Visits {
			visits[v.POI]++
			if visits[v.POI] == 2 {
				places++
			}
		}
		if places > most {
			best, most = int32(u), places
		}
	}
	return best
}

// standsAt is where the person last stood within two hours of an hour of day.
func standsAt(visits []poi.Visit, hour int) (lat, lng float64, ok bool) {
	for i := len(visits) - 1; i >= 0; i-- {
		v := &visits[i]
		if gap := (v.Local().Hour() - hour + 24) % 24; v.HasUser && min(gap, 24-gap) <= 2 {
			return float64(v.UserLat), float64(v.UserLng), true
		}
	}
	return 0, 0, false
}
