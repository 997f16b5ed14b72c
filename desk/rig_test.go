package desk_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/store"
	"github.com/whereto/whereto/store/sqlite"
	"github.com/whereto/whereto/vector"
)

var ctx = context.Background()

// rig is a desk in front of a toy city with a tiny network of random weights, whose
// store holds what the toy people did.
type rig struct {
	*desk.Desk
	a     *fit.Assembly
	p     *recommend.Predictor
	store store.Store
	d     *poi.Dataset
	rank  desk.Ranker
	embed desk.Embedder
	keep  func(context.Context, *vector.Set, vector.IndexOptions) (vector.Searcher, error)
	now   time.Time
}

// newRig assembles a rig; change may alter the options first.
func newRig(t testing.TB, hier bool, change func(*desk.Options)) *rig {
	t.Helper()
	g := &rig{d: testkit.Toy(11, 5, 24)}
	g.assemble(t, hier)
	last := int64(0)
	for _, u := range g.d.Users {
		last = max(last, u.Visits[len(u.Visits)-1].TimeMS)
	}
	g.now = time.UnixMilli(last).Add(90 * time.Minute)
	s, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	g.store = s
	if err := desk.Import(ctx, s, g.d, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	o := desk.Options{Store: s, Follow: time.Hour, Now: func() time.Time { return g.now }, Load: g.load}
	if change != nil {
		change(&o)
	}
	if g.Desk, err = desk.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := g.ActivateModel(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) assemble(t testing.TB, hier bool) {
	r := recipe.Default()
	r.Data.Index = index.Options{Mode: index.Flat}
	if hier {
		r.Data.Index = index.Options{Mode: index.Hier, SizeKM: 8}
	}
	r.Evidence = evidence.Config{MaxPast: 8, Next: 3, Near: 3, History: 40, WholeHistory: true}
	r.Batch.Window, r.Batch.Chunk, r.Batch.GeoTable = 8, 4, 16
	c := &r.Model
	c.Decoder.Layers, c.Decoder.Dim, c.Decoder.Heads, c.Decoder.KVHeads, c.Decoder.FFN = 1, 12, 2, 1, 16
	c.HeadHidden, c.HeadOut, c.GenerateWeight = 8, 4, 0
	r.Recommend = recommend.Config{Beam: beam.Width{Blocks: 40, Inners: 40}, Batch: 4}
	ix, err := index.Build(g.d.Places, nil, r.Data.Index)
	if err != nil {
		t.Fatal(err)
	}
	if g.a, err = fit.New(&r, g.d, ix, nil); err != nil {
		t.Fatal(err)
	}
	backend, err := gobackend.New("ops_sequential")
	if err != nil {
		t.Fatal(err)
	}
	weights := g.a.NewStore()
	if g.p, err = g.a.Predictor("rig", backend, weights); err != nil {
		t.Fatal(err)
	}
	if _, err := g.p.Recommend(ctx, poi.Query{User: -1}, 1); err != nil { // makes the variables
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for v := range weights.IterVariables() {
		if value := v.MustValue(); value.DType().String() == "Float32" {
			flat := tensors.MustCopyFlatData[float32](value)
			for i := range flat {
				flat[i] += float32(0.2 * rng.NormFloat64())
			}
			v.MustSetValue(tensors.FromFlatDataAndDimensions(flat, value.Shape().Dimensions...))
		}
	}
}

// load is desk.Options.Load: every version is the same network.
func (g *rig) load(ctx context.Context, version string) (*desk.Model, error) {
	c := recommend.DefaultLive()
	c.Batch = 2
	return desk.NewModel(ctx, desk.Parts{Version: version, Name: "toy", Index: g.a.Index.Fingerprint(), Dataset: g.d,
		Lookup: g.a.Index.Lookup, Predictor: g.p, Live: c, Rank: g.rank, Embed: g.embed, Vectors: g.keep})
}

// at is a moment with the toy city's offset.
func at(ms int64, offsetMin int16) time.Time {
	return time.UnixMilli(ms).In(time.FixedZone("", 60*int(offsetMin)))
}

// target is a test question of the data and its request by a stored user.
func (g *rig) target(i int) (poi.Query, api.RecommendRequest) {
	targets := g.d.Targets[poi.Test]
	tg := targets[i%len(targets)]
	q := g.d.QueryOf(tg)
	r := api.RecommendRequest{Who: api.Who{User: g.d.Users[tg.User].ID, Time: at(q.TimeMS, q.OffsetMin)}, K: 10}
	if q.HasPos {
		r.Lat, r.Lng = &q.Lat, &q.Lng
	}
	return q, r
}

func ptr(x float64) *float64 { return &x }
