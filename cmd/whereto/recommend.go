package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
)

var _ = register(newRecommendCmd)

// request is what the flags of `whereto recommend` ask.
type request struct {
	user, history string
	skipUnknown   bool
	time          string
	lat, lng      float64
	k             int
}

// newRecommendCmd returns `whereto recommend`: where a person goes next.
func newRecommendCmd() *cobra.Command {
	var from runFlags
	var ask request
	output := &enum{"table", []string{"table", "json", "geojson"}}
	cmd := &cobra.Command{
		Use:   "recommend RUN (--user U | --history FILE)",
		Short: "Say where a person wants to go next",
		Long: "Say where a person wants to go next: a user of the run's data, with all he did\n" +
			"before --time, or somebody new, with a history file in the native action schema\n" +
			"(CSV, JSONL or Parquet). The offset in --time gives the local time; without --time\n" +
			"it is one hour after the last visit. Distances are from --lat and --lng, or from\n" +
			"the last visit.",
		Example: "  whereto recommend runs/nyc-s1 --user 395 --time 2013-02-01T12:30:00-05:00\n" +
			"  whereto recommend runs/nyc-s1 --history me.csv --lat 40.73 --lng -73.99 -k 5 -o geojson",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd); err != nil {
				return err
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			t, err := fit.Open(cmd.Context(), args[0], from.options(cmd, backend))
			if err != nil {
				return err
			}
			return errors.Join(answer(cmd, t, ask, output.value), t.Close())
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&ask.user, "user", "", "user id of the run's data")
	f.StringVar(&ask.history, "history", "", "file with the actions of one person who need not be in the data")
	f.BoolVar(&ask.skipUnknown, "skip-unknown", false, "leave out actions of --history on places the run does not know, and say how many")
	f.StringVar(&ask.time, "time", "", "when, RFC 3339 with the local offset, such as 2013-02-01T12:30:00-05:00")
	f.Float64Var(&ask.lat, "lat", 0, "where the person is, degrees; with --lng")
	f.Float64Var(&ask.lng, "lng", 0, "where the person is, degrees; with --lat")
	f.IntVarP(&ask.k, "count", "k", 10, fmt.Sprintf("number of places, 1 to %d", recommend.MaxK))
	f.VarP(output, "output", "o", "table, json or geojson")
	cmd.MarkFlagsOneRequired("user", "history")
	cmd.MarkFlagsMutuallyExclusive("user", "history")
	cmd.MarkFlagsRequiredTogether("lat", "lng")
	return cmd
}

// check finds the mistakes that need no run folder.
func (a *request) check(cmd *cobra.Command) error {
	if a.k < 1 || a.k > recommend.MaxK {
		return usageError(cmd, "-k is %d, want 1 to %d", a.k, recommend.MaxK)
	}
	if a.time != "" {
		if _, err := time.Parse(time.RFC3339, a.time); err != nil {
			return usageError(cmd, "--time %q: want RFC 3339 with the local offset, such as 2013-02-01T12:30:00-05:00", a.time)
		}
	}
	if cmd.Flags().Changed("lat") {
		if err := geo.Valid(a.lat, a.lng); err != nil {
			return usageError(cmd, "--lat %v --lng %v: %w", a.lat, a.lng, err)
		}
	}
	if a.skipUnknown && a.history == "" {
		return usageError(cmd, "--skip-unknown goes with --history")
	}
	return nil
}

// answers is what `recommend -o json` prints.
type answers struct {
	Run     string    `json:"run"`
	User    string    `json:"user,omitempty"`
	Time    time.Time `json:"time"` // with the local offset
	History int       `json:"history"`
	Skipped int       `json:"skipped"`
	Lat     *float64  `json:"lat,omitempty"`
	Lng     *float64  `json:"lng,omitempty"`
	Places  []place   `json:"recommendations"`
}

// place is one answer with its rank, from 1.
type place struct {
	Rank int `json:"rank"`
	poi.Ranked
}

// answer builds the query, asks the network and prints.
func answer(cmd *cobra.Command, t *fit.Trained, ask request, output string) error {
	out := answers{Run: t.Run.Dir(), User: ask.user}
	var q poi.Query
	var err error
	if ask.history != "" {
		q, out.Skipped, err = historyQuery(cmd.Context(), t, ask)
	} else {
		q, err = userQuery(t, ask)
	}
	if err != nil {
		return err
	}
	if out.Skipped > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: left out %d actions of %s on places that the run does not know\n", out.Skipped, ask.history)
	}
	if cmd.Flags().Changed("lat") {
		q.Lat, q.Lng, q.HasPos = ask.lat, ask.lng, true
		out.Lat, out.Lng = &ask.lat, &ask.lng
	}
	ranked, err := t.Predictor.Recommend(cmd.Context(), q, ask.k)
	if err != nil {
		return err
	}
	out.Time, out.History, out.Places = zoned(q.TimeMS, q.OffsetMin), len(q.History), []place{}
	for i, r := range ranked {
		out.Places = append(out.Places, place{Rank: i + 1, Ranked: r})
	}
	switch output {
	case "json":
		return printJSON(cmd.OutOrStdout(), out)
	case "geojson":
		return printJSON(cmd.OutOrStdout(), out.geoJSON())
	}
	return out.write(cmd.OutOrStdout())
}

// zoned is an instant with its offset, as RFC 3339 shows it.
func zoned(ms int64, offsetMin int16) time.Time {
	return time.UnixMilli(ms).In(time.FixedZone("", int(offsetMin)*60))
}

// at sets the time of a query: the flag, or an hour after the last visit.
func (a *request) at(q *poi.Query, last *poi.Visit) error {
	if a.time == "" {
		if last == nil {
			return fmt.Errorf("there is no visit to take the time from; give --time: %w", poi.ErrBadInput)
		}
		q.TimeMS, q.OffsetMin = last.TimeMS+time.Hour.Milliseconds(), last.OffsetMin
		return nil
	}
	when, err := time.Parse(time.RFC3339, a.time)
	if err != nil {
		return fmt.Errorf("--time %q: %w", a.time, err)
	}
	_, offset := when.Zone()
	q.TimeMS, q.OffsetMin = when.UnixMilli(), int16(offset/60)
	return nil
}

// userQuery is a query of a user of the data, with all he did before the time.
func userQuery(t *fit.Trained, ask request) (poi.Query, error) {
	u, err := t.Predictor.User(ask.user)
	if err != nil {
		return poi.Query{}, err
	}
	q := poi.Query{User: u}
	visits := t.Dataset.Users[u].Visits
	if err := ask.at(&q, &visits[len(visits)-1]); err != nil {
		return q, err
	}
	n := len(visits)
	for n > 0 && visits[n-1].TimeMS >= q.TimeMS {
		n--
	}
	if n == 0 {
		return q, fmt.Errorf("user %s has no visit before %s, the first of his %d is at %s: %w; give a later --time", ask.user,
			zoned(q.TimeMS, q.OffsetMin).Format(time.RFC3339), len(visits), zoned(visits[0].TimeMS, visits[0].OffsetMin).Format(time.RFC3339), poi.ErrBadInput)
	}
	q.History = visits[:n:n]
	return q, nil
}

func (a *answers) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rank\tprobability\tmetres\tcategory\tplace\tsource")
	for _, p := range a.Places {
		metres, name := "-", p.ID
		if p.Metres >= 0 {
			metres = fmt.Sprintf("%.0f", p.Metres)
		}
		if p.Name != "" {
			name = fmt.Sprintf("%s (%s)", p.Name, p.ID)
		}
		fmt.Fprintf(w, "%d\t%.4f\t%s\t%s\t%s\t%s\n", p.Rank, p.Prob, metres, p.Category, name, p.Source)
	}
	return w.Flush()
}

// geoJSON gives the places as points, best first.
func (a *answers) geoJSON() *geojson.FeatureCollection {
	fc := geojson.NewFeatureCollection()
	for _, p := range a.Places {
		f := geojson.NewFeature(orb.Point{p.Lng, p.Lat})
		f.ID = p.ID
		f.Properties = geojson.Properties{"rank": p.Rank, "poi": p.ID, "name": p.Name, "category": p.Category,
			"probability": p.Prob, "distance_m": p.Metres, "source": p.Source}
		fc.Append(f)
	}
	return fc
}
