package recommend_test

import (
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
)

// rig is a tiny network with random weights over the toy.
type rig struct {
	a       *fit.Assembly
	backend compute.Backend
	store   *model.Store
	p       *recommend.Predictor
}

// build assembles a rig; change may alter the recipe and the data first.
func build(t testing.TB, hier bool, change func(*recipe.Recipe, *poi.Dataset)) *rig {
	t.Helper()
	d := testkit.Toy(11, 5, 24)
	r := recipe.Default()
	r.Data.Index = index.Options{Mode: index.Flat}
	if hier {
		r.Data.Index = index.Options{Mode: index.Hier, SizeKM: 8}
	}
	r.Evidence = evidence.Config{MaxPast: 8, Next: 3, Near: 3, History: 40, WholeHistory: true}
	r.Batch.Window, r.Batch.Chunk, r.Batch.GeoTable, r.Batch.Profile = 8, 4, 16, 2
	c := &r.Model
	c.Decoder.Layers, c.Decoder.Dim, c.Decoder.Heads, c.Decoder.KVHeads, c.Decoder.FFN = 1, 12, 2, 1, 16
	c.HeadHidden, c.HeadOut, c.GenerateWeight = 8, 4, 0
	r.Recommend = recommend.Config{Beam: beam.Width{Blocks: 40, Inners: 40}, Batch: 4}
	if change != nil {
		change(&r, d)
	}
	ix, err := index.Build(d.Places, nil, r.Data.Index)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{}
	if g.a, err = fit.New(&r, d, ix, nil); err != nil {
		t.Fatal(err)
	}
	if g.backend, err = gobackend.New("ops_sequential"); err != nil {
		t.Fatal(err)
	}
	g.store = g.a.NewStore()
	if g.p, err = g.a.Predictor("rig", g.backend, g.store); err != nil {
		t.Fatal(err)
	}
	g.scores(t, g.p, g.query(0)) // makes the variables
	for v := range g.store.IterVariables() {
		shake(t, v)
	}
	return g
}

// shake adds noise to a variable, so that no head starts at zero.
func shake(t testing.TB, v *model.Variable) {
	t.Helper()
	value, err := v.Value()
	if err != nil {
		t.Fatal(err)
	}
	if value.DType().String() != "Float32" {
		return
	}
	h := fnv.New64a()
	h.Write([]byte(v.Path()))
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	flat := tensors.MustCopyFlatData[float32](value)
	for i := range flat {
		flat[i] += float32(0.3 * rng.NormFloat64())
	}
	v.MustSetValue(tensors.FromFlatDataAndDimensions(flat, value.Shape().Dimensions...))
}

// with returns another predictor of the same weights.
func (g *rig) with(t testing.TB, change func(*recommend.Config)) *recommend.Predictor {
	t.Helper()
	c := g.a.Recipe.Recommend
	change(&c)
	p, err := recommend.New(recommend.Parts{Name: "other", Backend: g.backend, Store: g.store, Model: g.a.Model, Dataset: g.a.Dataset, Index: g.a.Index,
		Stats: g.a.Stats, Evidence: g.a.Recipe.Evidence, Encoder: g.a.Encoder, Batch: g.a.Recipe.Batch, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// query is the i-th test target.
func (g *rig) query(i int) poi.Query {
	targets := g.a.Dataset.Targets[poi.Test]
	return g.a.Dataset.QueryOf(targets[i%len(targets)])
}

// queries are requests of every kind.
func (g *rig) queries() []poi.Query {
	known, stranger, fresh, nobody, short, placed := g.query(0), g.query(1), g.query(2), g.query(3), g.query(4), g.query(5)
	stranger.User = -1
	fresh.History = nil
	nobody.User, nobody.History = -1, nil
	short.History = short.History[:1]
	placed.HasPos, placed.Lat, placed.Lng = true, 40.72, -73.98
	return []poi.Query{known, stranger, fresh, nobody, short, placed}
}

func (g *rig) scores(t testing.TB, p *recommend.Predictor, queries ...poi.Query) [][]float64 {
	t.Helper()
	dst := make([][]float64, len(queries))
	for i := range dst {
		dst[i] = make([]float64, len(g.a.Dataset.Places))
		for k := range dst[i] {
			dst[i][k] = math.NaN() // whatever was there is overwritten
		}
	}
	if err := p.Scores(context.Background(), queries, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// differ returns the first place whose probabilities differ by more than tol of
// the larger, -1 if none.
func differ(a, b []float64, tol float64) int {
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tol*math.Max(1e-3, math.Max(math.Abs(a[i]), math.Abs(b[i])))) {
			return i
		}
	}
	return -1
}

// modes runs a test for both kinds of index.
func modes(t *testing.T, change func(*recipe.Recipe, *poi.Dataset), test func(t *testing.T, g *rig)) {
	for name, hier := range map[string]bool{"flat": false, "hier": true} {
		t.Run(name, func(t *testing.T) { test(t, build(t, hier, change)) })
	}
}

// contains reports whether an error's text has a part.
func contains(err error, part string) bool { return err != nil && strings.Contains(err.Error(), part) }
