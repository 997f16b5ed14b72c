package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/tune"
	"github.com/whereto/whereto/vector"
)

var _ = register(newVectorsCmd)

// Names of the sets that vectors export writes, without their endings.
const (
	placeVectors = "places"
	userVectors  = "users"
)

// newVectorsCmd returns `whereto vectors`: what the embed stage is for.
func newVectorsCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "vectors", Short: "Export and search the vectors of a run of the embed stage"}
	cmd.AddCommand(newVectorsExportCmd(), newVectorsSearchCmd())
	return cmd
}

func newVectorsExportCmd() *cobra.Command {
	var from runFlags
	var out string
	cmd := &cobra.Command{
		Use:   "export RUN --out DIR",
		Short: "Write the vectors of all places and users as Parquet and safetensors",
		Long: "Write the vectors of all places, and of every user at the moment of his last\n" +
			"impression, or after his last action if he has none, as Parquet and safetensors\n" +
			"(docs/format/vectors.md). All have length one: the inner product is the cosine.",
		Example: "  whereto vectors export runs/city-embed-s1 --out vectors",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			t, err := openTowers(cmd, backend, args[0], from.options(cmd, backend))
			if err != nil {
				return err
			}
			err = exportVectors(cmd, backend, t, out)
			return errors.Join(err, t.Close())
		},
	}
	from.bind(cmd)
	cmd.Flags().StringVar(&out, "out", "", "folder to write to; it must not exist")
	mustMark(cmd, "out")
	return cmd
}

// openTowers opens a run of the embed stage.
func openTowers(cmd *cobra.Command, backend compute.Backend, dir string, o fit.OpenOptions) (*tune.Trained, error) {
	t, err := tune.Open(cmd.Context(), dir, o, tuneOptions(cmd, backend))
	if err != nil {
		return nil, err
	}
	if s := t.Stage.Tune.Stage; s != spacetime.StageEmbed {
		return nil, errors.Join(fmt.Errorf("%s is of stage %q: %w; train one with `whereto finetune embed`", dir, s, run.ErrMismatch), t.Close())
	}
	return t, nil
}

func exportVectors(cmd *cobra.Command, backend compute.Backend, t *tune.Trained, out string) error {
	towers, err := t.Towers(t.Recipe.Name, backend, t.Store)
	if err != nil {
		return err
	}
	places, err := placeSet(cmd.Context(), t, towers)
	if err != nil {
		return err
	}
	users, err := userSet(cmd.Context(), t, towers)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return fmt.Errorf("folder for vectors: %w", err)
	}
	w := cmd.OutOrStdout()
	for name, set := range map[string]*vector.Set{placeVectors: places, userVectors: users} {
		for _, ext := range []string{vector.ExtParquet, vector.ExtSafetensors} {
			if err := set.Save(filepath.Join(out, name+ext)); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(w, "wrote the vectors of %d places and %d users, %d numbers each, to %s\nnext: whereto vectors search %s --user ID\n",
		len(places.IDs), len(users.IDs), towers.Dim(), out, out)
	return err
}

func placeSet(ctx context.Context, t *tune.Trained, towers *tune.Towers) (*vector.Set, error) {
	data, err := towers.Places(ctx)
	if err != nil {
		return nil, err
	}
	set := &vector.Set{Dim: towers.Dim(), Data: data}
	for _, p := range t.Dataset.Places {
		set.IDs, set.Lat, set.Lng = append(set.IDs, p.ID), append(set.Lat, p.Lat), append(set.Lng, p.Lng)
	}
	return set, nil
}

// userSet places every user at his last impression, else a minute after his last
// action, where that was.
func userSet(ctx context.Context, t *tune.Trained, towers *tune.Towers) (*vector.Set, error) {
	last := make([]*poi.Request, len(t.Dataset.Users))
	for i := range t.Feed.Requests {
		q := &t.Feed.Requests[i]
		last[q.User] = q // requests are in order of time
	}
	set := &vector.Set{Dim: towers.Dim()}
	var moments []*poi.Request
	for u, q := range last {
		visits := t.Dataset.Users[u].Visits
		if q == nil && len(visits) == 0 {
			continue
		}
		if q == nil {
			v := visits[len(visits)-1]
			q = &poi.Request{User: int32(u), Pos: int32(len(visits)), TimeMS: v.TimeMS + 60_000, OffsetMin: v.OffsetMin,
				HasUser: v.HasUser, UserLat: v.UserLat, UserLng: v.UserLng}
		}
		set.IDs = append(set.IDs, t.Dataset.Users[u].ID)
		moments = append(moments, q)
	}
	var err error
	set.Data, err = towers.Users(ctx, moments)
	return set, err
}

func newVectorsSearchCmd() *cobra.Command {
	var user, place string
	var k int
	var at struct{ lat, lng, km float64 }
	output := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "search DIR",
		Short: "The places nearest to a user's vector or to another place's",
		Long: "Search the vectors of a folder that `vectors export` wrote, exactly: by the cosine\n" +
			"with a user's or a place's vector, within a circle if one is given.",
		Example: "  whereto vectors search vectors --user u00017 --lat 45.76 --lng 4.84 --km 3\n  whereto vectors search vectors --poi p00042",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (user == "") == (place == "") {
				return usageError(cmd, "give either --user or --poi")
			}
			near := cmd.Flags().Changed("lat")
			if near != cmd.Flags().Changed("lng") || near != cmd.Flags().Changed("km") {
				return usageError(cmd, "--lat, --lng and --km go together")
			}
			var area vector.Area
			if near {
				area.Circle = &vector.Circle{Lat: at.lat, Lng: at.lng, Metres: at.km * 1000}
			}
			hits, err := searchVectors(cmd.Context(), args[0], user, place, k, area)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(hits)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "\tPOI\tcosine\t")
			for i, h := range hits {
				fmt.Fprintf(w, "%d\t%s\t%.4f\t\n", i+1, h.ID, h.Score)
			}
			return w.Flush()
		},
	}
	f := cmd.Flags()
	f.StringVar(&user, "user", "", "user id")
	f.StringVar(&place, "poi", "", "POI id")
	f.IntVarP(&k, "k", "k", 10, "how many")
	f.Float64Var(&at.lat, "lat", 0, "centre of the circle, degrees")
	f.Float64Var(&at.lng, "lng", 0, "centre of the circle, degrees")
	f.Float64Var(&at.km, "km", 0, "radius of the circle, kilometres")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// searchVectors loads the sets that a search needs and asks.
func searchVectors(ctx context.Context, dir, user, place string, k int, area vector.Area) ([]vector.Hit, error) {
	places, err := vector.Load(filepath.Join(dir, placeVectors+vector.ExtParquet))
	if err != nil {
		return nil, err
	}
	from, id, unknown := places, place, poi.ErrUnknownPOI
	if user != "" {
		if from, err = vector.Load(filepath.Join(dir, userVectors+vector.ExtParquet)); err != nil {
			return nil, err
		}
		id, unknown = user, poi.ErrUnknownUser
	}
	row := -1
	for i, x := range from.IDs {
		if x == id {
			row = i
		}
	}
	if row < 0 {
		return nil, fmt.Errorf("%q is not among the %d of %s: %w", id, len(from.IDs), dir, unknown)
	}
	if from.Dim != places.Dim {
		return nil, fmt.Errorf("vectors of users have %d numbers, of places %d: %w; export both from one run", from.Dim, places.Dim, poi.ErrBadInput)
	}
	if place != "" {
		area.Keep = func(r int32) bool { return int(r) != row }
	}
	ix, err := vector.NewIndex(places, vector.IndexOptions{Measure: vector.Cosine})
	if err != nil {
		return nil, err
	}
	return ix.Search(ctx, from.Row(row), k, area)
}
