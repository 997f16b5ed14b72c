package recommend_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
)

var (
	ctx = context.Background()

	_ poi.Scorer = (*recommend.Predictor)(nil)
)

func TestFlatScoresSumToOne(t *testing.T) {
	for name, change := range map[string]func(*recipe.Recipe, *poi.Dataset){
		"copy and evidence": nil,
		"copy":              func(r *recipe.Recipe, _ *poi.Dataset) { r.Model.Evidence = false },
		"no copy":           func(r *recipe.Recipe, _ *poi.Dataset) { r.Model.CopyHead, r.Model.Evidence = false, false },
		"no proposals":      func(r *recipe.Recipe, _ *poi.Dataset) { r.Evidence.Next, r.Evidence.Near = 0, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			g := build(t, false, change)
			for i, s := range g.scores(t, g.p, g.queries()...) {
				if x := sum(s); math.Abs(x-1) > 1e-5 {
					t.Errorf("query %d: probabilities sum to %v", i, x)
				}
				for p, x := range s {
					if !(x >= 0 && x <= 1) {
						t.Errorf("query %d: place %d has probability %v", i, p, x)
					}
				}
			}
		})
	}
}

// lossOf is the training loss of one place as the answer of a query, by the
// graph that training runs: teacher forcing, no beam, no cache.
func lossOf(t *testing.T, g *rig) func(q poi.Query, p int32) float64 {
	t.Helper()
	exec, err := model.NewExec(g.backend, g.store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		loss, _ := g.a.Model.Loss(s, in, nil)
		return []*graph.Node{loss}
	})
	if err != nil {
		t.Fatal(err)
	}
	exec.SetMaxCache(-1)
	builder := evidence.NewBuilder(g.a.Stats, g.a.Recipe.Evidence)
	return func(q poi.Query, p int32) float64 {
		set := new(evidence.Set)
		builder.Compute(&q, set)
		seq := append(append([]poi.Visit(nil), q.History...), poi.Visit{POI: p, TimeMS: q.TimeMS, OffsetMin: q.OffsetMin,
			HasUser: q.HasPos, UserLat: float32(q.Lat), UserLng: float32(q.Lng)})
		n := g.a.Recipe.Batch.Window
		row := batch.Row{User: q.User, Sequence: seq, From: max(0, len(seq)-n), Requests: []int{len(seq) - 1}}
		b := g.a.Encoder.Encode([]batch.Row{row}, batch.Shape{B: 1, N: n, M: 1, C: g.a.Recipe.Evidence.Max()},
			func(*batch.Row, int) float64 { return 1 }, func(*batch.Row, int) *evidence.Set { return set })
		args := make([]any, len(b.Arrays))
		for i, a := range b.Arrays {
			if a.I != nil {
				args[i] = tensors.FromFlatDataAndDimensions(a.I, a.Dims...)
			} else {
				args[i] = tensors.FromFlatDataAndDimensions(a.F, a.Dims...)
			}
		}
		out, err := exec.Call(args...)
		if err != nil {
			t.Fatal(err)
		}
		return float64(tensors.MustCopyFlatData[float32](out[0])[0])
	}
}

// TestScoresAreWhatTrainingOptimises: with a beam that covers every pair, the
// probability of each place is exp(-loss) of that place as the target. For a
// hierarchical network this holds the two cached steps against a whole pass.
func TestScoresAreWhatTrainingOptimises(t *testing.T) {
	for name, change := range map[string]func(*recipe.Recipe, *poi.Dataset){
		"default": nil,
		"requests seen, action tokens": func(r *recipe.Recipe, _ *poi.Dataset) {
			r.Model.HideRequests, r.Model.ActionToken = false, true
		},
		"one trajectory, no bias, own output vectors": func(r *recipe.Recipe, _ *poi.Dataset) {
			r.Model.WholeHistory, r.Model.SpacetimeBias, r.Model.TiedEmbeddings = false, false, false
		},
		"location of the user, no profile": func(r *recipe.Recipe, _ *poi.Dataset) {
			r.Batch.Location, r.Batch.Profile = batch.LocationUser, 0
		},
	} {
		t.Run(name, func(t *testing.T) { modes(t, change, holdAgainstLoss) })
	}
}

func holdAgainstLoss(t *testing.T, g *rig) {
	loss := lossOf(t, g)
	queries := g.queries()
	for i, s := range g.scores(t, g.p, queries...) {
		want := make([]float64, len(s))
		for p := range want {
			want[p] = math.Exp(-loss(queries[i], int32(p)))
		}
		if p := differ(s, want, 2e-4); p >= 0 {
			t.Errorf("query %d: place %d has probability %v, by the loss %v", i, p, s[p], want[p])
		}
	}
}

// TestNarrowBeam: what a narrower beam keeps has the same generated probability;
// what it drops has only what was copied.
func TestNarrowBeam(t *testing.T) {
	g := build(t, true, func(r *recipe.Recipe, _ *poi.Dataset) { r.Model.CopyHead, r.Model.Evidence = false, false })
	if n := len(g.a.Index.Blocks()); n < 4 {
		t.Fatalf("the toy has only %d blocks", n)
	}
	narrow := g.with(t, func(c *recommend.Config) { c.Beam = beam.Width{Blocks: 2, Inners: 3} })
	wide, got := g.scores(t, g.p, g.queries()...), g.scores(t, narrow, g.queries()...)
	for i := range got {
		kept, blocks := 0, map[int32]bool{}
		for p, x := range got[i] {
			if x == 0 {
				continue
			}
			block, _ := g.a.Index.Token(int32(p))
			kept, blocks[block] = kept+1, true
			if math.Abs(x-wide[i][p]) > 1e-5*x {
				t.Errorf("query %d: place %d has %v in a narrow beam, %v in a wide one", i, p, x, wide[i][p])
			}
		}
		if kept == 0 || kept > 6 || len(blocks) > 2 {
			t.Errorf("query %d: %d places of %d blocks from a beam of 2 x 3", i, kept, len(blocks))
		}
		if x := sum(wide[i]); !(x > sum(got[i]) && x <= 1+1e-5) {
			t.Errorf("query %d: a wide beam has probability %v, a narrow one %v", i, x, sum(got[i]))
		}
	}
}

// TestBatchCompositionDoesNotMatter: alone in a padded batch, in a full one, in
// another order, in a batch of another size.
func TestBatchCompositionDoesNotMatter(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		queries := g.queries() // 6 in batches of 4: one full, one half padding
		want := g.scores(t, g.p, queries...)
		reversed := make([]poi.Query, len(queries))
		for i := range queries {
			reversed[len(queries)-1-i] = queries[i]
		}
		back := g.scores(t, g.p, reversed...)
		six := g.scores(t, g.with(t, func(c *recommend.Config) { c.Batch = 6 }), queries...)
		for i, q := range queries {
			alone := g.scores(t, g.p, q)[0]
			for name, got := range map[string][]float64{"alone": alone, "in reverse": back[len(queries)-1-i], "six together": six[i]} {
				if p := differ(got, want[i], 1e-5); p >= 0 {
					t.Errorf("query %d %s: place %d has %v, before %v", i, name, p, got[p], want[i][p])
				}
			}
		}
	})
}

func TestRecommendAgreesWithScores(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		for i, q := range g.queries() {
			scores := g.scores(t, g.p, q)[0]
			got, err := g.p.Recommend(ctx, q, recommend.MaxK)
			if err != nil {
				t.Fatal(err)
			}
			seen, total := map[int32]bool{}, 0.0
			for k, r := range got {
				place := g.a.Dataset.Places[r.POI]
				if seen[r.POI] || r.ID != place.ID || r.Name != place.Name || r.Category != place.Category || r.Lat != place.Lat || r.Lng != place.Lng {
					t.Fatalf("query %d: answer %d is %+v", i, k, r)
				}
				seen[r.POI], total = true, total+r.Prob
				if math.Abs(r.Prob-scores[r.POI]) > 1e-5*math.Max(1e-3, r.Prob) {
					t.Errorf("query %d: place %d is recommended with %v and scored %v", i, r.POI, r.Prob, scores[r.POI])
				}
				if k > 0 && (got[k-1].Prob < r.Prob || got[k-1].Prob == r.Prob && got[k-1].POI > r.POI) {
					t.Errorf("query %d: answers %d and %d are out of order", i, k-1, k)
				}
				checkDistance(t, g, &q, &r)
			}
			if math.Abs(total-sum(scores)) > 1e-5 {
				t.Errorf("query %d: answers have probability %v of %v", i, total, sum(scores))
			}
			few, err := g.p.Recommend(ctx, q, 3)
			if err != nil || len(few) != 3 || few[0] != got[0] || few[1] != got[1] || few[2] != got[2] {
				t.Errorf("query %d: the best three are %+v, of all %+v (%v)", i, few, got[:3], err)
			}
		}
	})
}

func checkDistance(t *testing.T, g *rig, q *poi.Query, r *poi.Ranked) {
	t.Helper()
	want := -1.0
	if q.HasPos {
		want = geo.Metres(q.Lat, q.Lng, r.Lat, r.Lng)
	} else if n := len(q.History); n > 0 {
		last := g.a.Dataset.Places[q.History[n-1].POI]
		want = geo.Metres(last.Lat, last.Lng, r.Lat, r.Lng)
	}
	if math.Abs(r.Metres-want) > 1e-6 {
		t.Errorf("place %d is %v m away, want %v", r.POI, r.Metres, want)
	}
}

// TestSource turns the gate fully to one head and then to the other.
func TestSource(t *testing.T) {
	g := build(t, false, nil)
	q := g.query(0)
	set := new(evidence.Set)
	evidence.NewBuilder(g.a.Stats, g.a.Recipe.Evidence).Compute(&q, set)
	for want, bias := range map[string]float32{"copy": 60, "generate": -60} {
		g.store.GetVariable("/spacetime/copy/gate_bias").MustSetValue(tensors.FromFlatDataAndDimensions([]float32{bias}, 1))
		got, err := g.p.Recommend(ctx, q, 1)
		if err != nil || got[0].Source != want {
			t.Errorf("with a gate of %v the best answer comes from %+v (%v)", bias, got, err)
		}
		if want == "copy" && set.Index(got[0].POI) < 0 {
			t.Errorf("place %d is copied but no candidate", got[0].POI)
		}
	}
}

func TestRecommendRefuses(t *testing.T) {
	g := build(t, false, nil)
	good := g.query(0)
	if len(good.History) < 3 {
		t.Fatal("the first query has no history")
	}
	history := func(change func(h []poi.Visit)) poi.Query {
		q := good
		q.History = append([]poi.Visit(nil), q.History...)
		change(q.History)
		return q
	}
	n := len(good.History)
	for _, c := range []struct {
		name string
		q    poi.Query
		k    int
		err  error
		want string
	}{
		{"k of zero", good, 0, poi.ErrBadInput, "k is 0"},
		{"k below zero", good, -3, poi.ErrBadInput, "k is -3"},
		{"k over the limit", good, recommend.MaxK + 1, poi.ErrBadInput, "k is 1001"},
		{"unknown place", history(func(h []poi.Visit) { h[1].POI = int32(len(g.a.Dataset.Places)) }), 1, poi.ErrUnknownPOI, "history item 1 has POI 24 of 24"},
		{"negative place", history(func(h []poi.Visit) { h[2].POI = -1 }), 1, poi.ErrUnknownPOI, "history item 2"},
		{"history out of order", history(func(h []poi.Visit) { h[0].TimeMS = h[1].TimeMS + 1 }), 1, poi.ErrBadInput, "history item 1 is earlier"},
		{"history after the request", history(func(h []poi.Visit) { h[n-1].TimeMS = good.TimeMS + 1 }), 1, poi.ErrBadInput, "after the request's time"},
		{"latitude", poi.Query{User: 0, TimeMS: good.TimeMS, HasPos: true, Lat: 91}, 1, poi.ErrBadInput, "latitude 91"},
		{"not a number", poi.Query{User: 0, TimeMS: good.TimeMS, HasPos: true, Lng: math.NaN()}, 1, poi.ErrBadInput, "longitude NaN"},
		{"user out of range", poi.Query{User: 5, TimeMS: good.TimeMS}, 1, poi.ErrUnknownUser, "user 5 of 5"},
		{"user below -1", poi.Query{User: -2, TimeMS: good.TimeMS}, 1, poi.ErrUnknownUser, "user -2"},
	} {
		got, err := g.p.Recommend(ctx, c.q, c.k)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: %v with error %v, want %v with %q", c.name, got, err, c.err, c.want)
		}
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := g.p.Recommend(stopped, good, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped request: %v", err)
	}
	if err := g.p.Scores(stopped, []poi.Query{good}, make([][]float64, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped scores: %v", err)
	}
	if all, err := g.p.Recommend(ctx, good, recommend.MaxK); err != nil || len(all) != len(g.a.Dataset.Places) {
		t.Errorf("k over the number of places gives %d answers of %d (%v)", len(all), len(g.a.Dataset.Places), err)
	}
}

// TestClosedPlacesAreNeverReturned closes places that people visit.
func TestClosedPlacesAreNeverReturned(t *testing.T) {
	shut := func(_ *recipe.Recipe, d *poi.Dataset) {
		for p := range d.Places {
			d.Places[p].Closed = p%3 == 0
		}
	}
	modes(t, shut, func(t *testing.T, g *rig) {
		visited := false
		for i, q := range g.queries() {
			for _, v := range q.History {
				visited = visited || g.a.Dataset.Places[v.POI].Closed
			}
			for p, x := range g.scores(t, g.p, q)[0] {
				if g.a.Dataset.Places[p].Closed != (x == 0) {
					t.Errorf("query %d: place %d, closed %v, has probability %v", i, p, g.a.Dataset.Places[p].Closed, x)
				}
			}
			got, err := g.p.Recommend(ctx, q, recommend.MaxK)
			if err != nil || len(got) != 16 {
				t.Errorf("query %d: %d answers of 16 open places (%v)", i, len(got), err)
			}
			for _, r := range got {
				if g.a.Dataset.Places[r.POI].Closed {
					t.Errorf("query %d: closed place %d is recommended", i, r.POI)
				}
			}
		}
		if !visited {
			t.Error("no history holds a closed place")
		}
	})
}

// TestOnlyTheWindowAndTheEvidenceMatter: what is older than both changes nothing.
func TestOnlyTheWindowAndTheEvidenceMatter(t *testing.T) {
	g := build(t, false, func(r *recipe.Recipe, _ *poi.Dataset) { r.Evidence.History = 6 })
	q := g.query(0)
	if len(q.History) < 20 {
		t.Fatalf("a history of only %d visits", len(q.History))
	}
	long, short := g.scores(t, g.p, q)[0], q
	short.History = q.History[len(q.History)-g.a.Recipe.Batch.Window:]
	if p := differ(long, g.scores(t, g.p, short)[0], 1e-6); p >= 0 {
		t.Errorf("place %d depends on visits before the window", p)
	}
	short.History = q.History[len(q.History)-2:]
	if differ(long, g.scores(t, g.p, short)[0], 1e-3) < 0 {
		t.Error("the window does not matter at all")
	}
}

func TestNamesAndUsers(t *testing.T) {
	g := build(t, false, nil)
	if g.p.Name() != "rig" {
		t.Errorf("name %q", g.p.Name())
	}
	for want, u := range g.a.Dataset.Users {
		if got, err := g.p.User(u.ID); err != nil || got != int32(want) {
			t.Errorf("user %q is %d, want %d (%v)", u.ID, got, want, err)
		}
	}
	if got, err := g.p.User("nobody"); !errors.Is(err, poi.ErrUnknownUser) || got != -1 || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("an unknown user is %d, %v", got, err)
	}
}

func TestConcurrentRequests(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		queries := g.queries()
		want := g.scores(t, g.p, queries...)
		var wg sync.WaitGroup
		for i, q := range queries {
			wg.Go(func() {
				got, err := g.p.Recommend(ctx, q, recommend.MaxK)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range got {
					if math.Abs(r.Prob-want[i][r.POI]) > 1e-5 {
						t.Errorf("query %d: place %d has %v beside other requests, %v alone", i, r.POI, r.Prob, want[i][r.POI])
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestConfigValidate(t *testing.T) {
	if err := recommend.Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for want, c := range map[string]recommend.Config{
		"recommend.batch is 0":    {Beam: beam.Width{Blocks: 1, Inners: 1}},
		"recommend.batch is 4097": {Beam: beam.Width{Blocks: 1, Inners: 1}, Batch: 4097},
		"beam of 0 blocks":        {Beam: beam.Width{Inners: 1}, Batch: 1},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
}
