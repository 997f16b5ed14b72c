package tune

import (
	"context"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/training"
)

// near is how much rounding may move a score.
const near = 1e-5

// A score depends on its request alone: not on the requests beside it, on their
// order, nor on how many share a window.
func TestScoresDoNotDependOnBundling(t *testing.T) {
	w := getWorld(t)
	eachBackend(t, func(t *testing.T, backend compute.Backend) {
		for _, stage := range stages {
			a, store := w.stage(t, backend, stage), w.weights(t)
			r := a.ranker(t, backend, store)
			requests := a.some(len(a.Feed.Requests))[:24] // neighbours, which share windows
			if n := len(a.bundles(requests)); n >= len(requests) {
				t.Fatalf("%s: %d requests in %d windows: nothing is shared", stage, len(requests), n)
			}
			together := rank(t, r, requests...)
			var alone [][]float64
			for _, q := range requests[:10] {
				alone = append(alone, rank(t, r, q)...)
			}
			if d := apart(t, together[:10], alone); d > near {
				t.Errorf("%s: scores of requests alone differ by %g", stage, d)
			}
			back := slices.Clone(requests)
			slices.Reverse(back)
			reversed := rank(t, r, back...)
			slices.Reverse(reversed)
			if d := apart(t, together, reversed); d > near || spread(together) < 100*near {
				t.Errorf("%s: scores in reverse order differ by %g, they spread over %g", stage, d, spread(together))
			}
			single := w.stage(t, backend, stage, "feed.requests=1", "feed.options=20")
			if d := apart(t, together, rank(t, single.ranker(t, backend, store), requests...)); d > near {
				t.Errorf("%s: scores in windows of their own differ by %g", stage, d)
			}
		}
	})
}

// A request may have more candidates than a training batch has room for, and one
// candidate's score does not depend on the others.
func TestManyCandidates(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range stages {
		a := w.stage(t, backend, stage)
		r := a.ranker(t, backend, w.weights(t))
		q := *a.some(5)[2]
		few := rank(t, r, &q)[0]
		long := q
		long.Options = nil
		for p := range 40 {
			long.Options = append(long.Options, poi.Option{POI: int32(p)})
		}
		long.Options = append(long.Options, q.Options...)
		if d := apart(t, [][]float64{few}, [][]float64{rank(t, r, &long)[0][40:]}); d > near {
			t.Errorf("%s: scores among %d candidates differ by %g", stage, len(long.Options), d)
		}
	}
}

// The towers' ranking is the cosine of vectors of length one.
func TestTowersAreDotProducts(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	a, store := w.stage(t, backend, "embed"), w.weights(t)
	towers, err := a.Towers("towers", backend, store)
	must(t, err)
	requests := a.some(9)
	scores := rank(t, towers, requests...)
	places, err := towers.Places(t.Context())
	must(t, err)
	users, err := towers.Users(t.Context(), requests)
	must(t, err)
	dim := towers.Dim()
	if dim != 6 || len(places) != dim*len(a.Dataset.Places) || len(users) != dim*len(requests) || towers.Name() != "towers" {
		t.Fatalf("%d numbers of places, %d of users, width %d", len(places), len(users), dim)
	}
	for _, v := range slices.Concat(rows(places, dim), rows(users, dim)) {
		norm := 0.0
		for _, x := range v {
			norm += float64(x) * float64(x)
		}
		if math.Abs(norm-1) > near {
			t.Fatalf("a vector has length %v", math.Sqrt(norm))
		}
	}
	for i, q := range requests {
		for c, o := range q.Options {
			want := 0.0
			for k := range dim {
				want += float64(users[i*dim+k]) * float64(places[int(o.POI)*dim+k])
			}
			if math.Abs(scores[i][c]-want) > 1e-12 {
				t.Errorf("request %d, option %d: %v, the product is %v", i, c, scores[i][c], want)
			}
		}
	}
	again, err := towers.Places(t.Context())
	must(t, err)
	if &again[0] != &places[0] {
		t.Error("the places were embedded twice")
	}
	towers.Forget()
	if again, err = towers.Places(t.Context()); err != nil || &again[0] == &places[0] {
		t.Errorf("the places were not embedded again: %v", err)
	}
}

func TestRankStopsWithItsContext(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, stage := range stages {
		a := w.stage(t, backend, stage)
		requests := a.some(3)
		if err := a.ranker(t, backend, w.weights(t)).Rank(ctx, requests, room(requests)); err == nil {
			t.Errorf("%s went on without a context", stage)
		}
	}
}

// From scratch is not from the base, and is the same every time.
func TestScratch(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range []string{"embed", "rank"} {
		warm, cold := w.stage(t, backend, stage), w.stage(t, backend, stage, "tune.scratch=true")
		base := w.weights(t)
		if warm.Start(base) != base || cold.Start(base) == base {
			t.Fatalf("%s: scratch starts from the base, or the base does not", stage)
		}
		requests := warm.some(8)
		a := rank(t, warm.ranker(t, backend, warm.Start(base)), requests...)
		b := rank(t, cold.ranker(t, backend, cold.Start(base)), requests...)
		c := rank(t, cold.ranker(t, backend, cold.Start(nil)), requests...)
		if apart(t, a, b) < 10*near || apart(t, b, c) != 0 {
			t.Errorf("%s: scratch and base differ by %g, scratch and scratch by %g", stage, apart(t, a, b), apart(t, b, c))
		}
	}
}

// Media vectors change scores, those of the places they belong to, and a place
// without any scores as in a network without media.
func TestMediaChangesOnlyItsPlaces(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range []string{"embed", "rank"} {
		plain, seeing, store := w.stage(t, backend, stage), w.stage(t, backend, stage, withMedia...), w.weights(t)
		q := longest(seeing, 12)
		with := rank(t, seeing.ranker(t, backend, store), q)
		without := rank(t, plain.ranker(t, backend, store), q) // after: the weights are the same
		if apart(t, with, without) < 10*near {
			t.Errorf("%s: text and images change scores by %g only", stage, apart(t, with, without))
		}
		other := unused(t, seeing, q)
		fill(seeing, other, 3)
		if d := apart(t, with, rank(t, seeing.ranker(t, backend, store), q)); d != 0 {
			t.Errorf("%s: the vector of a place that is nowhere changed scores by %g", stage, d)
		}
		if stage == "rank" {
			option := q.Options[0].POI
			if !slices.ContainsFunc(seeing.Dataset.Users[q.User].Visits[:q.Pos], func(v poi.Visit) bool { return v.POI == option }) {
				fill(seeing, option, 3)
				got := rank(t, seeing.ranker(t, backend, store), q)
				if d := math.Abs(got[0][0] - with[0][0]); d < near {
					t.Errorf("the vector of a candidate changed its score by %g", d)
				}
				if d := apart(t, [][]float64{got[0][1:]}, [][]float64{with[0][1:]}); d > near {
					t.Errorf("the vector of a candidate changed others by %g", d)
				}
			}
		}
		for p := range seeing.Dataset.Places {
			fill(seeing, int32(p), 0)
		}
		if d := apart(t, without, rank(t, seeing.ranker(t, backend, store), q)); d > near {
			t.Errorf("%s: without a word and a picture scores differ by %g from a network that reads none", stage, d)
		}
	}
}

// longest is a request with a past of at least n actions and a candidate that is
// not among them.
func longest(a *Assembly, n int32) *poi.Request {
	for i := range a.Feed.Requests {
		q := &a.Feed.Requests[i]
		past := a.Dataset.Users[q.User].Visits[:q.Pos]
		if q.Pos >= n && !slices.ContainsFunc(past, func(v poi.Visit) bool { return v.POI == q.Options[0].POI }) {
			return q
		}
	}
	return &a.Feed.Requests[0]
}

// unused is a place that neither the past nor the candidates of q have.
func unused(t testing.TB, a *Assembly, q *poi.Request) int32 {
	t.Helper()
	for p := range a.Dataset.Places {
		id := int32(p)
		if !slices.ContainsFunc(a.Dataset.Users[q.User].Visits, func(v poi.Visit) bool { return v.POI == id }) &&
			!slices.ContainsFunc(q.Options, func(o poi.Option) bool { return o.POI == id }) {
			return id
		}
	}
	t.Fatal("every place is used")
	return 0
}

// fill sets the media vector of a place.
func fill(a *Assembly, place int32, x float32) {
	row := a.Media.Row(int(place))
	for i := range row {
		row[i] = x
	}
}

// opened trains a stage for a few steps into a run folder and opens it.
func opened(t *testing.T, w *world, backend compute.Backend, stage string, sets ...string) (*Trained, *Assembly, *model.Store) {
	t.Helper()
	a, store := w.stage(t, backend, stage, sets...), w.weights(t)
	cfg := a.Recipe.Training
	cfg.MaxSteps = 2
	r, _ := a.learn(t, backend, store, cfg, nil)
	got, err := Open(t.Context(), r.Dir(), fit.OpenOptions{Backend: backend, Checkpoint: run.Last}, Options{Backend: backend})
	must(t, err)
	t.Cleanup(func() { must(t, got.Close()) })
	return got, a, store
}

// A run opened again scores as it did when it was trained.
func TestOpenedRunScoresTheSame(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, stage := range stages {
		sets := withMedia
		if stage == "align" {
			sets = nil
		}
		got, a, store := opened(t, w, backend, stage, sets...)
		requests := a.some(8)
		want := rank(t, a.ranker(t, backend, store), requests...)
		if d := apart(t, want, rank(t, got.ranker(t, backend, got.Store), requests...)); d != 0 {
			t.Errorf("%s: scores of the opened run differ by %g", stage, d)
		}
	}
	// A run of pre-training gives log-probabilities of its generating heads.
	plain, err := Open(t.Context(), w.dir, fit.OpenOptions{Backend: backend, Checkpoint: run.Last}, Options{Backend: backend})
	must(t, err)
	defer plain.Close()
	a := w.stage(t, backend, "align", "feed={requests: 4, options: 16, size: 8}")
	requests := a.some(8)
	if d := apart(t, rank(t, a.ranker(t, backend, w.weights(t)), requests...), rank(t, plain.ranker(t, backend, plain.Store), requests...)); d > near {
		t.Errorf("log-probabilities of the pre-trained run differ by %g", d)
	}
}

// What the weights lack is told and never drawn at random.
func TestOpenWithoutItsHead(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	for _, c := range []struct {
		stage string
		sets  []string
		lacks string
	}{{"embed", nil, "embed/user"}, {"rank", nil, "rank/out"}, {"rank", withMedia, "media/map"},
		{"embed", []string{"tune.interest=4"}, "interest/again"}, {"rank", []string{"tune.interest=4"}, "interest/again"}, {"rank", []string{"tune.likelihood=true"}, "rank/likelihood"}} {
		a, store := w.stage(t, backend, c.stage, c.sets...), w.weights(t)
		if c.sets != nil { // the head is there, made by a stage that sees nothing
			blind := w.stage(t, backend, c.stage)
			rank(t, blind.ranker(t, backend, store), blind.some(1)...)
		}
		r := newRun(t, a.Assembly)
		must(t, r.SaveCheckpoint(run.Last, store, run.State{Step: 1}, training.IsModelPath))
		_, err := Open(t.Context(), r.Dir(), fit.OpenOptions{Backend: backend, Checkpoint: run.Last}, Options{Backend: backend})
		wantError(t, err, run.ErrMismatch, c.lacks, r.Dir())
	}
}

// A ranking logit is what the heads of the paper say and, apart from it, the liking.
func TestLikingIsThePartThatInterestAdds(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	full, blind, store := w.stage(t, backend, "rank", "tune.interest=4"), w.stage(t, backend, "rank"), w.weights(t)
	s, err := full.scorer("full", backend, store)
	must(t, err)
	requests := full.some(9)
	scores, liking := room(requests), room(requests)
	must(t, s.parts(t.Context(), requests, scores, liking))
	for i, q := range requests {
		for c, z := range blind.logits(t, backend, store, q) {
			if d := math.Abs(scores[i][c] - liking[i][c] - z); d > near {
				t.Errorf("request %d, option %d: %g of %g is liking, the rest is off by %g", i, c, liking[i][c], scores[i][c], d)
			}
		}
	}
	if d := spread(liking); d < 10*near {
		t.Errorf("likings spread over %g", d)
	}
}

// The click model takes what stages say as features, and only of its own feed.
func TestClickModelWithStages(t *testing.T) {
	w, backend := getWorld(t), pureGo(t)
	embed, _, _ := opened(t, w, backend, "embed")
	ranks, _, _ := opened(t, w, backend, "rank")
	rec := w.recipe(t, "base")
	b, err := AssembleBase(t.Context(), w.base, rec, []*Trained{embed, ranks}, backend, nil)
	must(t, err)
	alone, err := AssembleBase(t.Context(), w.base, rec, nil, backend, nil)
	must(t, err)
	var scores [][][]float64
	for _, m := range []*Base{b, alone} {
		o := m.Options(backend, m.NewStore())
		o.Run, o.Progress = newRun(t, w.base), training.Progress{Mode: "none"}
		cfg := rec.Training
		cfg.MaxSteps = 3
		_, err := training.Train(t.Context(), o, cfg)
		must(t, err)
		r, err := m.Ranker("clicks", backend, o.Store)
		must(t, err)
		scores = append(scores, rank(t, r, pick(b.Feed, 6)...))
	}
	if d := apart(t, scores[0], scores[1]); !(d > near) || math.IsNaN(spread(scores[0])) {
		t.Errorf("features of two stages change scores by %g", d)
	}
	testFeaturesAreKept(t, backend, ranks)
	ranks.Feed.Fingerprint = "of another log"
	_, err = AssembleBase(t.Context(), w.base, rec, []*Trained{ranks}, backend, nil)
	wantError(t, err, poi.ErrBadInput, "other impressions")
}

// What a stage said is read again for the same weights and the same feed only, and a
// broken file is computed again.
func testFeaturesAreKept(t *testing.T, backend compute.Backend, of *Trained) {
	t.Helper()
	var told []string
	ask := func(feed *poi.Feed) [][]float32 {
		t.Helper()
		told = nil
		lists, err := of.told(t.Context(), feed, backend, func(line string) { told = append(told, line) })
		must(t, err)
		return lists
	}
	first := ask(of.Feed)
	if len(told) != 1 || !strings.HasPrefix(told[0], "features from ") {
		t.Errorf("asked again, it says %q", told)
	}
	other := *of.Feed
	other.Fingerprint = "another"
	if ask(&other); len(told) != 1 || !strings.Contains(told[0], "requests") {
		t.Errorf("asked of another feed, it says %q", told)
	}
	must(t, os.WriteFile(of.Base.Run.Path(featuresFile), []byte("broken"), 0o600))
	if again := ask(of.Feed); len(told) != 2 || !strings.Contains(told[0], "cannot be read") || !reflect.DeepEqual(first, again) {
		t.Errorf("after a broken file it says %q", told)
	}
}
