package recommend_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recipe"
	"github.com/whereto/whereto/recommend"
)

// live is the serving side of a rig, closed at the end of the test.
func (g *rig) live(t testing.TB, p *recommend.Predictor, change func(*recommend.LiveConfig)) *recommend.Live {
	t.Helper()
	c := recommend.DefaultLive()
	c.Batch = 4
	if change != nil {
		change(&c)
	}
	l, err := p.Live(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// sameAnswers compares two lists within rounding; places whose probabilities are as
// good as equal may stand in either order.
func sameAnswers(t *testing.T, what string, got, want []poi.Ranked) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d answers, want %d", what, len(got), len(want))
	}
	prob := map[int32]float64{}
	for _, w := range want {
		prob[w.POI] = w.Prob
	}
	for i := range got {
		x, ok := prob[got[i].POI]
		if !ok || math.Abs(x-got[i].Prob) > 1e-5 || math.Abs(got[i].Prob-want[i].Prob) > 1e-5 {
			t.Errorf("%s: answer %d is %s with %v, want %s with %v", what, i, got[i].ID, got[i].Prob, want[i].ID, want[i].Prob)
		}
	}
}

// TestLiveAnswersAsThePredictorDoes asks everybody twice, then after one and after five
// actions more, which pasts are lengthened by and made anew for.
func TestLiveAnswersAsThePredictorDoes(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		l := g.live(t, g.p, nil)
		for i, whole := range g.queries() {
			for _, cut := range []int{6, 5, 0, 0} {
				q := whole
				q.History = q.History[:max(0, len(q.History)-cut)]
				want, err := g.p.Recommend(ctx, q, 24)
				if err != nil {
					t.Fatal(err)
				}
				got, err := l.Recommend(ctx, q, recommend.Want{K: 24})
				if err != nil {
					t.Fatal(err)
				}
				sameAnswers(t, fmt.Sprintf("query %d without its last %d actions", i, cut), got.Places, want)
			}
		}
		s := l.Stats()
		if s.Hits == 0 || s.Misses == 0 || s.Requests != 24 {
			t.Errorf("kept pasts were not used or never made: %+v", s)
		}
	})
}

// TestPastsGrow: while the window has room, an action more costs its own tokens only.
func TestPastsGrow(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		l := g.live(t, g.p, nil)
		q := g.query(0)
		whole := q.History
		for n := range 7 { // the window holds 8 with the request
			q.History = whole[:n]
			want, err := g.p.Recommend(ctx, q, 24)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Recommend(ctx, q, recommend.Want{K: 24})
			if err != nil {
				t.Fatal(err)
			}
			sameAnswers(t, fmt.Sprintf("%d actions", n), got.Places, want)
		}
		if s := l.Stats(); s.Misses != 1 || s.Grown != 6 {
			t.Errorf("seven pasts of 0 to 6 actions: %+v", s)
		}
	})
}

// TestAlignedWindows: a window that begins at a multiple of four actions is what the
// predictor sees of a history cut there (of a network that does not look at where the
// user stood, which the cut takes away), and its past grows where one that slides would
// be made anew.
func TestAlignedWindows(t *testing.T) {
	g := build(t, true, func(r *recipe.Recipe, _ *poi.Dataset) {
		r.Model.CopyHead, r.Model.Evidence, r.Model.SpacetimeBias = false, false, false
		r.Batch.Location = batch.LocationNone
	})
	l := g.live(t, g.p, func(c *recommend.LiveConfig) { c.Align = 4 })
	q := g.query(0)
	whole, made := q.History, 0
	for n := 7; n < 19; n++ {
		from := (n + 1 - 8 + 3) / 4 * 4 // at most 8 slots, the request's among them
		if n == 7 || from > (n-8+3)/4*4 {
			made++
		}
		q.History = whole[from:n]
		want, err := g.p.Recommend(ctx, q, 24)
		if err != nil {
			t.Fatal(err)
		}
		q.History = whole[:n]
		got, err := l.Recommend(ctx, q, recommend.Want{K: 24})
		if err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, fmt.Sprintf("%d actions", n), got.Places, want)
	}
	if s := l.Stats(); s.Misses != int64(made) || s.Grown != int64(12-made) {
		t.Errorf("12 pasts in %d windows: %+v", made, s)
	}
}

// TestNAnswersWhenNExist draws limits: answers are distinct, allowed, ordered, as many
// as asked for or as there are, and have the probabilities of the predictor.
func TestNAnswersWhenNExist(t *testing.T) {
	modes(t, func(r *recipe.Recipe, d *poi.Dataset) {
		r.Recommend.Beam = beam.Width{Blocks: 2, Inners: 2}
		for p := range d.Places {
			d.Places[p].Closed = p%11 == 0
		}
	}, func(t *testing.T, g *rig) {
		l := g.live(t, g.p, nil)
		wide := g.with(t, func(c *recommend.Config) { c.Beam = beam.Width{Blocks: 40, Inners: 40} })
		queries, hier := g.queries(), g.a.Recipe.Hier()
		scores := g.scores(t, wide, queries...)
		rapid.Check(t, func(t *rapid.T) {
			i := rapid.IntRange(0, len(queries)-1).Draw(t, "query")
			w := recommend.Want{K: rapid.IntRange(1, 30).Draw(t, "k")}
			among := rapid.SliceOfDistinct(rapid.Int32Range(0, 23), rapid.ID[int32]).Draw(t, "among")
			if slices.Sort(among); rapid.Bool().Draw(t, "limited") {
				w.Among = append([]int32{}, among...)
			}
			not := rapid.SliceOfDistinct(rapid.Int32Range(0, 23), rapid.ID[int32]).Draw(t, "not")
			if rapid.Bool().Draw(t, "excluding") {
				w.Not = func(p int32) bool { return slices.Contains(not, p) }
			}
			there := 0
			allowed := func(p int32) bool {
				return p%11 != 0 && (w.Among == nil || slices.Contains(among, p)) && (w.Not == nil || !slices.Contains(not, p))
			}
			for p := range int32(24) {
				if allowed(p) {
					there++
				}
			}
			answer, err := l.Recommend(ctx, queries[i], w)
			if err != nil {
				t.Fatal(err)
			}
			got := answer.Places
			if len(got) != min(w.K, there) {
				t.Fatalf("%d answers of %d places for k=%d", len(got), there, w.K)
			}
			seen := map[int32]bool{}
			for n, x := range got {
				if seen[x.POI] || !allowed(x.POI) {
					t.Fatalf("answer %d is place %d again or not allowed", n, x.POI)
				}
				seen[x.POI] = true
				if n > 0 && got[n-1].Prob < x.Prob {
					t.Fatalf("answers %d and %d are out of order", n-1, n)
				}
				// A beam may miss what would be generated of a place that is copied.
				if most := scores[i][x.POI]; x.Prob > most+1e-5 || !hier && x.Prob < most-1e-5 {
					t.Fatalf("place %d has %v, the predictor says %v", x.POI, x.Prob, most)
				}
			}
		})
	})
}

// TestManyAtOnce: answers do not depend on who asks beside, nor on how little memory
// there is for pasts.
func TestManyAtOnce(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		queries := g.queries()
		want := make([][]poi.Ranked, len(queries))
		for i, q := range queries {
			var err error
			if want[i], err = g.p.Recommend(ctx, q, 24); err != nil {
				t.Fatal(err)
			}
		}
		l := g.live(t, g.p, func(c *recommend.LiveConfig) { c.PastBytes, c.Batch = 1, 2 })
		if err := l.Warm(ctx); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for n := range 60 {
			wg.Go(func() {
				i := rand.New(rand.NewPCG(uint64(n), 9)).IntN(len(queries))
				answer, err := l.Recommend(ctx, queries[i], recommend.Want{K: 24})
				if err != nil {
					t.Error(err)
					return
				}
				got := answer.Places
				if len(got) != len(want[i]) {
					t.Errorf("query %d: %d answers, want %d", i, len(got), len(want[i]))
					return
				}
				for k := range got {
					if math.Abs(got[k].Prob-want[i][k].Prob) > 1e-5 {
						t.Errorf("query %d, answer %d: %v beside others, %v alone", i, k, got[k].Prob, want[i][k].Prob)
					}
				}
			})
		}
		wg.Wait()
		if s := l.Stats(); s.Requests != 60 || s.Pasts > 4 || s.Evictions == 0 {
			t.Errorf("60 requests with room for a batch of pasts: %+v", s)
		}
	})
}

func TestLiveRefuses(t *testing.T) {
	g := build(t, false, nil)
	for want, change := range map[string]func(*recommend.LiveConfig){
		"batch is 0":       func(c *recommend.LiveConfig) { c.Batch = 0 },
		"queue is 0":       func(c *recommend.LiveConfig) { c.Queue = 0 },
		"past_bytes is -1": func(c *recommend.LiveConfig) { c.PastBytes = -1 },
		"align is 0":       func(c *recommend.LiveConfig) { c.Align = 0 },
		"align is 8":       func(c *recommend.LiveConfig) { c.Align = 8 },
	} {
		c := recommend.DefaultLive()
		change(&c)
		if _, err := g.p.Live(c); !errors.Is(err, poi.ErrBadInput) || !contains(err, want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	l := g.live(t, g.p, nil)
	q := g.query(0)
	if _, err := l.Recommend(ctx, q, recommend.Want{}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("k of zero: %v", err)
	}
	late := q
	late.TimeMS = q.History[0].TimeMS
	if _, err := l.Recommend(ctx, late, recommend.Want{K: 1}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a history after the request: %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := l.Recommend(stopped, q, recommend.Want{K: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a stopped request: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Recommend(ctx, q, recommend.Want{K: 1}); !errors.Is(err, recommend.ErrClosed) {
		t.Errorf("a closed model: %v", err)
	}
}
