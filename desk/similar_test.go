package desk_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/vector"
	"github.com/whereto/whereto/vector/pgvector"
)

// keepIn makes the versions that are loaded from now on keep their vectors in a database.
func (g *rig) keepIn(t *testing.T, dsn string) {
	t.Helper()
	d, err := pgvector.Open(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	g.keep = func(ctx context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
		return d.Index(ctx, s, opt)
	}
}

// TestVectorsElsewhere: places are alike, and vectors the same, wherever they are kept:
// also where the catalog has moved and closed places since.
func TestVectorsElsewhere(t *testing.T) {
	dsn := testkit.Pgvector(t)
	g := newRig(t, true, nil)
	g.keepIn(t, dsn)
	if _, err := g.LoadModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	moved, closed := g.d.Places[5], g.d.Places[6].ID
	if _, err := g.PutPOIs(ctx, []api.POI{{ID: moved.ID, Lat: g.d.Places[20].Lat, Lng: g.d.Places[20].Lng}}); err != nil {
		t.Fatal(err)
	}
	if err := g.ClosePOI(ctx, closed); err != nil {
		t.Fatal(err)
	}
	now := slices.Clone(g.d.Places) // as the catalog has them
	now[5].Lat, now[5].Lng = now[20].Lat, now[20].Lng
	lists := 0
	for _, p := range now {
		for _, area := range []*api.Area{nil, {RadiusM: 3000}, {RadiusM: 12000}} {
			r := api.SimilarRequest{POI: p.ID, K: 7, Area: area, Model: "1"}
			want, err := g.Similar(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			r.Model = "2"
			got, err := g.Similar(ctx, r)
			if err != nil || len(got.Places) != len(want.Places) {
				t.Fatalf("%+v: %+v (%v), want %+v", r, got, err, want)
			}
			for i := range got.Places {
				if math.Abs(got.Places[i].Score-want.Places[i].Score) > 1e-5 {
					t.Errorf("%+v: %+v, want %+v", r, got.Places[i], want.Places[i])
				}
				got.Places[i].Score = want.Places[i].Score
			}
			within := map[string]bool{}
			for _, other := range now {
				if other.ID != p.ID && other.ID != closed && (area == nil || geo.Metres(p.Lat, p.Lng, other.Lat, other.Lng) <= area.RadiusM) {
					within[other.ID] = true
				}
			}
			if len(got.Places) != min(7, len(within)) || slices.ContainsFunc(got.Places, func(x api.SimilarPlace) bool { return !within[x.POI] }) {
				t.Errorf("%+v: %+v, want 7 or all of %v", r, got.Places, within)
			}
			if lists++; !reflect.DeepEqual(got.Places, want.Places) {
				t.Errorf("%+v: %+v, want %+v", r, got.Places, want.Places)
			}
		}
	}
	if lists != 72 {
		t.Errorf("%d lists", lists)
	}
	e := api.EmbedRequest{POIs: []string{g.d.Places[3].ID, g.d.Places[9].ID}, Who: api.Who{Model: "1"}}
	want, err := g.Embed(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	e.Who.Model = "2"
	if got, err := g.Embed(ctx, e); err != nil || !reflect.DeepEqual(got.POIs, want.POIs) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

// TestVectorsGoWithTheirVersion: its table goes when a version does, and a version that
// does not load leaves none.
func TestVectorsGoWithTheirVersion(t *testing.T) {
	dsn := testkit.Pgvector(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	tables := func() (n int) {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Run("desk", func(t *testing.T) {
		g := newRig(t, false, nil)
		g.keepIn(t, dsn)
		if _, err := g.LoadModel(ctx, "2"); err != nil {
			t.Fatal(err)
		}
		if n := tables(); n != 1 {
			t.Errorf("%d tables, want 1", n)
		}
		keep := g.keep
		g.embed = fakeStages{24}
		broken := errors.New("broken")
		g.keep = func(ctx context.Context, s *vector.Set, opt vector.IndexOptions) (vector.Searcher, error) {
			x, err := keep(ctx, s, opt)
			if err != nil {
				return nil, err
			}
			return x, errors.Join(broken, x.Close())
		}
		if _, err := g.LoadModel(ctx, "3"); !errors.Is(err, broken) {
			t.Errorf("a version whose vectors cannot be kept: %v", err)
		}
	})
	if n := tables(); n != 0 {
		t.Errorf("%d tables after the desk has closed, want none", n)
	}
}

// TestVectorsDown: without their server places alike are unavailable, and nothing else.
func TestVectorsDown(t *testing.T) {
	server := testkit.OwnServer(t, "pgvector")
	g := newRig(t, false, nil)
	g.keepIn(t, server.PostgresSchema())
	if _, err := g.ActivateModel(ctx, "2"); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	if got, err := g.Similar(ctx, api.SimilarRequest{POI: g.d.Places[1].ID}); desk.KindOf(err) != desk.Unavailable || desk.Wait(err) == 0 {
		t.Errorf("%+v (%v), want an error of kind Unavailable", got, err)
	}
	if _, err := g.Embed(ctx, api.EmbedRequest{POIs: []string{g.d.Places[1].ID}}); desk.KindOf(err) != desk.Unavailable {
		t.Errorf("%v, want an error of kind Unavailable", err)
	}
	_, r := g.target(1)
	if got, err := g.Recommend(ctx, r); err != nil || got.Source.Kind != "model" {
		t.Errorf("recommend: %+v (%v)", got, err)
	}
	server.Restart(t)
	if got, err := g.Similar(ctx, api.SimilarRequest{POI: g.d.Places[1].ID}); err != nil || len(got.Places) != 10 {
		t.Errorf("%+v (%v), want ten places", got, err)
	}
}
