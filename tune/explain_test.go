package tune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/media"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// seeing is a rank stage with media, its weights, its encoder and its details.
func seeing(t *testing.T, w *world, backend compute.Backend, sets ...string) (*Assembly, *model.Store, media.Encoder, []poi.Details) {
	t.Helper()
	a := w.stage(t, backend, "rank", append(slices.Clone(withMedia), sets...)...)
	enc, err := media.New(a.Recipe.Media, nil)
	must(t, err)
	details, err := pipeline.LoadDetails(t.Context(), a.Recipe.Data, a.Dataset)
	must(t, err)
	return a, w.weights(t), enc, details
}

// logits are raw scores of the stage.
func (a *Assembly) logits(t testing.TB, backend compute.Backend, store *model.Store, q *poi.Request) []float64 {
	t.Helper()
	s, err := a.scorer("logits", backend, store)
	must(t, err)
	return rank(t, s, q)[0]
}

// The delta of an action is the difference to the score under a log that never had
// it, encoded from the start.
func TestActionDeltasAreThoseOfAnotherLog(t *testing.T) {
	w := getWorld(t)
	eachBackend(t, func(t *testing.T, backend compute.Backend) {
		a, store := w.stage(t, backend, "rank"), w.weights(t)
		var q *poi.Request
		for i := range a.Feed.Requests {
			if r := &a.Feed.Requests[i]; r.Pos >= 4 && int(r.Pos) <= a.Recipe.Batch.Window {
				q = r
				break
			}
		}
		e, err := a.Explainer(backend, store, nil, nil)
		must(t, err)
		place := q.Options[1].POI
		why, err := e.Explain(t.Context(), q, place)
		must(t, err)
		if want := a.logits(t, backend, store, q)[1]; math.Abs(why.Score-want) > near || why.Parts != nil || len(why.Actions) != int(q.Pos) {
			t.Fatalf("score %v, the ranker's logit is %v; %d parts and %d actions of %d", why.Score, want, len(why.Parts), len(why.Actions), q.Pos)
		}
		seen := map[int]bool{}
		for i, c := range why.Actions[:4] {
			if i > 0 && math.Abs(c.Delta) > math.Abs(why.Actions[i-1].Delta) {
				t.Errorf("causes %d and %d are not by size", i-1, i)
			}
			seen[c.At] = true
			d := *a.Dataset
			d.Users = slices.Clone(d.Users)
			d.Targets = [3][]poi.Target{slices.DeleteFunc(slices.Clone(d.Targets[poi.Train]), func(x poi.Target) bool { return x.User == q.User })}
			visits := d.Users[q.User].Visits
			d.Users[q.User].Visits = slices.Concat(visits[:c.At], visits[c.At+1:])
			if p := d.Places[visits[c.At].POI]; c.Kind != CauseAction || c.Label != p.Name {
				t.Errorf("cause %+v at an action on %s", c, p.Name)
			}
			own, err := fit.New(a.Recipe, &d, a.Index, nil)
			must(t, err)
			other := &Assembly{Assembly: own, Stage: &spacetime.Stage{Model: own.Model, Tune: a.Recipe.Tune}}
			r := *q
			r.Pos--
			if got := why.Score - other.logits(t, backend, store, &r)[1]; math.Abs(got-c.Delta) > near {
				t.Errorf("action %d: delta %v, without it in the log the score falls by %v", c.At, c.Delta, got)
			}
		}
		if len(seen) != 4 || math.Abs(why.Actions[0].Delta) < 10*near {
			t.Errorf("actions %v, want each once and one that tells", why.Actions[:4])
		}
	})
}

// The delta of a part is the difference to the score with a place that never had it,
// seen as the encoder gives it or as all places are seen (TestInstead of package media).
func TestPartDeltasAreThoseOfAnotherPlace(t *testing.T) {
	t.Run("as encoded", func(t *testing.T) { partDeltas(t, "media.relative=false", "media.standardize=false") })
	t.Run("relative, standardized", func(t *testing.T) { partDeltas(t) })
}

func partDeltas(t *testing.T, sets ...string) {
	w, backend := getWorld(t), pureGo(t)
	a, store, enc, details := seeing(t, w, backend, sets...)
	e, err := a.Explainer(backend, store, enc, details)
	must(t, err)
	q := a.some(3)[1]
	place := q.Options[0].POI
	why, err := e.Explain(t.Context(), q, place)
	must(t, err)
	p, d := a.Dataset.Places[place], details[place]
	seen := *a.Media
	seen.Data = slices.Clone(seen.Data)
	encoded := func(p poi.Place, d poi.Details) []float32 {
		v, err := enc.Encode(t.Context(), []media.Item{{Text: media.Text(p, d), Image: d.Image}})
		must(t, err)
		return v[0]
	}
	own := encoded(p, d)
	show := func(v []float32) float64 {
		if sets == nil {
			v = seen.Instead(int(place), own, v)
		}
		copy(a.Media.Row(int(place)), v)
		return a.logits(t, backend, store, q)[0]
	}
	if again := show(own); math.Abs(again-why.Score) > near {
		t.Errorf("shown as it is the place scores %v, was %v", again, why.Score)
	}
	with := func(p poi.Place, d poi.Details) float64 { return show(encoded(p, d)) }
	want := map[string]float64{}
	for i := range d.Reviews {
		less := d
		less.Reviews = slices.Delete(slices.Clone(d.Reviews), i, i+1)
		want[fmt.Sprint(CauseReview, i)] = why.Score - with(p, less)
	}
	for i := range d.Tags {
		less := d
		less.Tags = slices.Delete(slices.Clone(d.Tags), i, i+1)
		want[fmt.Sprint(CauseTag, i)] = why.Score - with(p, less)
	}
	want[CauseName+"-1"] = why.Score - with(poi.Place{}, d)
	want[CauseAddress+"-1"] = why.Score - with(p, poi.Details{Tags: d.Tags, Reviews: d.Reviews, Image: d.Image})
	want[CauseImage+"-1"] = why.Score - with(p, poi.Details{Address: d.Address, Tags: d.Tags, Reviews: d.Reviews})
	want[CauseAll+"-1"] = why.Score - show(make([]float32, a.Media.Dim))
	if len(why.Parts) != len(want) || len(d.Reviews) == 0 || len(d.Tags) == 0 {
		t.Fatalf("%d parts, want %d: %+v", len(why.Parts), len(want), why.Parts)
	}
	for _, c := range why.Parts {
		if x, ok := want[fmt.Sprint(c.Kind, c.At)]; !ok || math.Abs(x-c.Delta) > near {
			t.Errorf("%s %d: delta %v, want %v", c.Kind, c.At, c.Delta, x)
		}
	}
}

// liar is an encoder that breaks its promise.
type liar struct {
	media.Encoder
	vectors [][]float32
}

func (l liar) Encode(context.Context, []media.Item) ([][]float32, error) { return l.vectors, nil }

func TestExplainerRefuses(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	_, err := w.stage(t, backend, "embed").Explainer(backend, w.weights(t), nil, nil)
	wantError(t, err, poi.ErrBadInput, "stage embed")
	a, store, enc, details := seeing(t, w, backend)
	_, err = a.Explainer(backend, store, nil, details)
	wantError(t, err, poi.ErrBadInput, "encoder")
	_, err = a.Explainer(backend, store, enc, details[1:])
	wantError(t, err, poi.ErrBadInput, "details")
	q := a.some(2)[0]
	e, err := a.Explainer(backend, store, enc, details)
	must(t, err)
	for _, place := range []int32{-1, int32(len(a.Dataset.Places))} {
		_, err = e.Explain(t.Context(), q, place)
		wantError(t, err, poi.ErrUnknownPOI)
	}
	for _, vectors := range [][][]float32{{{1}}, make([][]float32, len(details[0].Tags)+len(details[0].Reviews)+3)} {
		e, err := a.Explainer(backend, store, liar{enc, vectors}, details)
		must(t, err)
		_, err = e.Explain(t.Context(), q, 0)
		wantError(t, err, media.ErrEncoder, a.Dataset.Places[0].ID)
	}
}

// Somebody who has done nothing and a place that says nothing have nothing to show.
func TestExplainNothing(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	a, store, enc, _ := seeing(t, w, backend)
	a.Dataset = &poi.Dataset{Places: slices.Clone(a.Dataset.Places), Users: a.Dataset.Users}
	place := a.Feed.Requests[0].Options[0].POI
	a.Dataset.Places[place].Name = ""
	e, err := a.Explainer(backend, store, enc, make([]poi.Details, len(a.Dataset.Places)))
	must(t, err)
	q := a.Feed.Requests[0]
	q.Pos = 0
	why, err := e.Explain(t.Context(), &q, place)
	must(t, err)
	if len(why.Actions) != 0 || len(why.Parts) != 0 || math.IsNaN(why.Score) {
		t.Errorf("%+v", why)
	}
}

const (
	springs    = "We soaked in the hot spring behind the house."
	plainRooms = "We sat in the front room beside the door."
)

var filler = []string{"The coffee was strong.", "Four stars from me.", "A short menu, well cooked.", "We came twice this month.",
	"The portions are fair.", "Our table was ready.", "The staff were kind.", "Same as ever.", "Easy to find.", "A little loud at noon."}

// planted is a town in which people who have been to the baths, place 0, click
// places whose review speaks of a hot spring, and nobody clicks anything else. The
// last two places are in nobody's training requests: one has the review.
func planted() (*poi.Dataset, []poi.Details, *poi.Feed) {
	const candidates, others, people = 240, 8, 60
	rng := rand.New(rand.NewPCG(1, 2))
	d := &poi.Dataset{Name: "planted", Types: []string{"arrive"}, Fingerprint: "planted"}
	details := make([]poi.Details, others+candidates+2)
	for p := range details {
		d.Places = append(d.Places, poi.Place{ID: fmt.Sprint("p", p), Name: fmt.Sprint("House ", p), Category: "Food",
			Lat: 45 + .001*rng.Float64(), Lng: 5 + .001*rng.Float64()})
		special := plainRooms
		if spring(p) {
			special = springs
		}
		reviews := []string{special, filler[rng.IntN(len(filler))], filler[rng.IntN(len(filler))]}
		rng.Shuffle(len(reviews), func(i, j int) { reviews[i], reviews[j] = reviews[j], reviews[i] })
		details[p] = poi.Details{Address: "Main Street", Tags: []string{"wifi", "corner"}, Reviews: reviews}
	}
	d.Places[0].Name = "The Baths"
	feed := &poi.Feed{Fingerprint: "planted"}
	for u := range people {
		user := poi.User{ID: fmt.Sprint("u", u)}
		baths := -1
		if u%2 == 0 {
			baths = rng.IntN(6)
		}
		for i := range 6 {
			place := int32(1 + rng.IntN(others-1))
			if i == baths {
				place = 0
			}
			user.Visits = append(user.Visits, poi.Visit{POI: place, TimeMS: int64(i)*7*3_600_000 + 1, Intent: true})
		}
		d.Targets[poi.Train] = append(d.Targets[poi.Train], poi.Target{User: int32(u), Pos: 5})
		d.Users = append(d.Users, user)
		for k := range 3 {
			q := poi.Request{ID: fmt.Sprint("r", u, "-", k), User: int32(u), Pos: 6, TimeMS: int64(50+k) * 3_600_000}
			for range 4 {
				p := others + rng.IntN(candidates)
				q.Options = append(q.Options, poi.Option{POI: int32(p), Clicked: baths >= 0 && spring(p)})
			}
			feed.ByTag[poi.Train] = append(feed.ByTag[poi.Train], int32(len(feed.Requests)))
			feed.Requests = append(feed.Requests, q)
		}
	}
	return d, details, feed
}

// spring says which places have the review: every other one.
func spring(p int) bool { return p%2 == 0 }

// The explainer finds what was planted: the visit to the baths and the review that
// speaks of a hot spring, at a place that training never showed.
func TestExplainerFindsThePlantedCause(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	d, details, feed := planted()
	rec := w.recipe(t, "rank", "data.index={mode: flat}", "batch={window: 8, chunk: 8, size: 8, location: none, geo_table: 16, profile: 0}", "model.decoder={layers: 1, dim: 24, heads: 2, kv_heads: 2, ffn: 32}",
		"media={kind: builtin, dim: 256, image: none}", "feed={requests: 3, options: 4, size: 10}", "recommend.batch=8",
		"training={epochs: 25, max_steps: 150, lr: 0.004, min_lr: 0.0004, warmup_steps: 5, weight_decay: 0.1, log_every: 1, prefetch: 0, checkpoint_minutes: 0}")
	ix, err := index.Build(d.Places, pipeline.Popularity(d), rec.Data.Index)
	must(t, err)
	own, err := fit.New(rec, d, ix, nil)
	must(t, err)
	enc, err := media.New(rec.Media, nil)
	must(t, err)
	a := &Assembly{Assembly: own, Feed: feed, Stage: &spacetime.Stage{Model: own.Model, Tune: rec.Tune}}
	a.Media, err = media.Vectors(t.Context(), enc, d.Places, details, "", nil)
	must(t, err)
	own.Model.Tables.Media = a.Media.Dim
	store := a.NewStore()
	_, steps := a.learn(t, backend, store, rec.Training, nil)
	if last := steps[len(steps)-1]; !(last["loss"] < .05) || !(last["pair_accuracy"] > .99) {
		t.Fatalf("after %d steps %v: the rule was not learnt", len(steps), last)
	}
	e, err := a.Explainer(backend, store, enc, details)
	must(t, err)
	held := int32(len(d.Places) - 2)
	for _, user := range []int{0, 10, 24} {
		q := feed.Requests[3*user]
		why, err := e.Explain(t.Context(), &q, held)
		must(t, err)
		if why.Score < 1 {
			t.Errorf("user %d: score %v of a place with a spring", user, why.Score)
		}
		if top, next := why.Actions[0], why.Actions[1]; top.Label != "The Baths" || !(top.Delta > 2*math.Abs(next.Delta)) {
			t.Errorf("user %d: top actions %+v and %+v", user, top, next)
		}
		parts := slices.DeleteFunc(slices.Clone(why.Parts), func(c Cause) bool { return c.Kind == CauseAll })
		if top, next := parts[0], parts[1]; top.Label != springs || top.Kind != CauseReview || !(top.Delta > 2*math.Abs(next.Delta)) {
			t.Errorf("user %d: top parts %+v and %+v", user, top, next)
		}
	}
	stranger := feed.Requests[3*1]
	why, err := e.Explain(t.Context(), &stranger, held)
	must(t, err)
	if why.Score > -1 {
		t.Errorf("score %v for somebody who was never at the baths", why.Score)
	}
	friend := feed.Requests[0]
	if why, err = e.Explain(t.Context(), &friend, held+1); err != nil || why.Score > -1 || strings.Contains(fmt.Sprint(why.Parts), "hot spring") {
		t.Errorf("%+v, %v for a place without a spring", why, err)
	}
}
