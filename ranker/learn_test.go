package ranker

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/training"
)

// A score depends on its own option alone: not on the order of the options, nor
// on which others there are, nor on which requests are ranked with it.
func TestScoresDoNotDependOnNeighbours(t *testing.T) {
	d, feed := town(5, 6, 12, 10)
	c := tiny()
	c.Position = PositionTrain // order of display must not matter then
	fit := mustNew(t, d, feed, withExtra(t, d, feed), c)
	eachBackend(t, func(t *testing.T, be compute.Backend) {
		store := fit.NewStore()
		drawn(t, be, fit, store)
		n, err := fit.Ranker("base", be, store)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		rng := rand.New(rand.NewPCG(1, 2))
		var requests []*poi.Request
		for i := range feed.Requests[:11] {
			requests = append(requests, &feed.Requests[i])
		}
		together := ranked(t, n, requests...)
		for i, r := range requests {
			alone := ranked(t, n, r)[0]
			moved := *r
			order := rng.Perm(len(r.Options))
			moved.Options = nil
			for _, j := range order {
				moved.Options = append(moved.Options, r.Options[j])
			}
			permuted := ranked(t, n, &moved)[0]
			for k, j := range order {
				if math.Abs(permuted[k]-together[i][j]) > 1e-5 || math.Abs(alone[j]-together[i][j]) > 1e-5 {
					t.Errorf("request %d, option %d: %v in order, %v alone, %v permuted", i, j, together[i][j], alone[j], permuted[k])
				}
			}
		}
		bare := mustNew(t, d, feed, nil, c)
		store = bare.NewStore()
		drawn(t, be, bare, store)
		r := feed.Requests[3]
		want := rank(t, bare, be, store, &r)[0]
		r.Options = append(slices.Clone(r.Options[:2]), poi.Option{POI: 0}, poi.Option{POI: 11})
		if got := rank(t, bare, be, store, &r)[0]; math.Abs(got[0]-want[0]) > 1e-5 || math.Abs(got[1]-want[1]) > 1e-5 {
			t.Errorf("scores %v become %v among other options", want[:2], got[:2])
		}
	})
}

func TestPositionSettings(t *testing.T) {
	d, feed := town(5, 6, 12, 10)
	for position, want := range map[string]bool{PositionKnown: true, PositionTrain: false, PositionOff: false} {
		c := tiny()
		c.Position = position
		fit := mustNew(t, d, feed, nil, c)
		be := testkit.Backends(t)["go"]
		store := fit.NewStore()
		drawn(t, be, fit, store)
		r := feed.Requests[0]
		before := rank(t, fit, be, store, &r)[0]
		r.Options = append(slices.Clone(r.Options[1:]), r.Options[0])
		after := rank(t, fit, be, store, &r)[0]
		if got := math.Abs(after[len(after)-1]-before[0]) > 1e-6; got != want {
			t.Errorf("position %q: a score moves with its position: %v", position, got)
		}
	}
	// In training the position is there unless it is off.
	for position, want := range map[string]bool{PositionKnown: true, PositionTrain: true, PositionOff: false} {
		c := tiny()
		c.Position = position
		a := featuresOf(t, mustNew(t, d, feed, nil, c), &feed.Requests[0])
		if got := a.option[optionFields+fieldPosition] != a.option[fieldPosition]; got != want {
			t.Errorf("position %q in training: %v", position, got)
		}
	}
}

// A ranker may not read labels: it gives the same scores without them.
func TestScoresDoNotReadLabels(t *testing.T) {
	d, feed := town(5, 6, 12, 10)
	fit := mustNew(t, d, feed, nil, tiny())
	be := testkit.Backends(t)["go"]
	store := fit.NewStore()
	drawn(t, be, fit, store)
	n, err := fit.Ranker("base", be, store)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for _, r := range []poi.Ranker{n, Random(3), Displayed(), Popularity(d), Nearest(d), fit.ClickRate()} {
		whole := feed.Requests[7]
		blank := whole
		blank.Options = nil
		for _, o := range whole.Options {
			blank.Options = append(blank.Options, poi.Option{POI: o.POI, Click: -1, Relevance: -1})
		}
		if a, b := ranked(t, r, &whole), ranked(t, r, &blank); !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %v with labels, %v without", r.Name(), a, b)
		}
	}
}

// settings of the short trainings below.
func settings(epochs int) training.Config {
	c := training.Defaults()
	c.Epochs, c.LR, c.MinLR, c.Warmup, c.Decay, c.Prefetch = epochs, .01, .001, 5, 0, 0
	c.KeepBest, c.CheckpointMinutes = "auc", 0
	return c
}

// single gives the first batch again and again.
type single struct {
	training.Batches
	steps int
}

func (s single) Steps(int) int { return s.steps }

func (s single) Batch(ctx context.Context, _, _ int) (training.Batch, error) {
	return s.Batches.Batch(ctx, 0, 0)
}

func TestOverfitsOneBatch(t *testing.T) {
	d, feed := town(6, 6, 30, 12)
	c := tiny()
	c.Dim, c.Hidden = 8, []int{32, 16}
	fit := mustNew(t, d, feed, nil, c)
	eachBackend(t, func(t *testing.T, be compute.Backend) {
		o := training.Options{Backend: be, Store: fit.NewStore(), Model: fit.Model(), Batches: single{fit.Batches(), 150}, Progress: training.Progress{Mode: "none"}}
		res, err := training.Train(context.Background(), o, settings(1))
		if err != nil {
			t.Fatal(err)
		}
		if !(res.LastLoss < .02) {
			t.Errorf("loss %v after %d steps on one batch", res.LastLoss, res.Steps)
		}
	})
}

// With little data the network must beat every floor on later requests and come
// close to the probabilities that the clicks were drawn from.
func TestLearnsThePlantedRule(t *testing.T) {
	d, feed := town(7, 24, 20, 50)
	c := Default()
	c.Dim, c.UserTable, c.PlaceTable, c.GeoTable, c.CrossTable, c.History, c.AttentionHidden = 6, 64, 256, 64, 256, 4, 8
	c.Hidden, c.Dropout, c.FieldDropout, c.Batch = []int{24}, .1, .2, 32
	fit := mustNew(t, d, feed, nil, c)
	be := testkit.Backends(t)["go"]
	o := fit.Options(be, fit.NewStore())
	o.Progress = training.Progress{Mode: "none"}
	cfg := settings(5)
	cfg.LR, cfg.Decay = .02, .05
	if _, err := training.Train(context.Background(), o, cfg); err != nil {
		t.Fatal(err)
	}
	values, err := o.Validate(context.Background(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	best := validationAUC(t, feed, func(o poi.Option) float64 { return float64(o.Click) })
	t.Logf("AUC %.4f, GAUC %.4f, log loss %.4f; the probabilities themselves %.4f", values["auc"], values["gauc"], values["log_loss"], best)
	for _, f := range []poi.Ranker{Random(1), Displayed(), Popularity(d), Nearest(d), fit.ClickRate()} {
		got, err := fit.measure(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		auc := got["auc"]
		t.Logf("%s %.4f", f.Name(), auc)
		if values["auc"] < auc+.02 {
			t.Errorf("AUC %.4f, floor %s has %.4f", values["auc"], f.Name(), auc)
		}
	}
	if values["auc"] < .5+.75*(best-.5) {
		t.Errorf("AUC %.4f, the probabilities themselves have %.4f", values["auc"], best)
	}
}

func validationAUC(t *testing.T, feed *poi.Feed, score func(o poi.Option) float64) float64 {
	t.Helper()
	var scores []float64
	var clicked []bool
	for _, i := range feed.ByTag[poi.Validation] {
		for _, o := range feed.Requests[i].Options {
			scores, clicked = append(scores, score(o)), append(clicked, o.Clicked)
		}
	}
	auc, _, err := metric.AUC(scores, clicked)
	if err != nil {
		t.Fatal(err)
	}
	return auc
}

func TestBatches(t *testing.T) {
	d, feed := town(8, 5, 12, 9)
	fit := mustNew(t, d, feed, nil, tiny())
	b := fit.Batches()
	ctx := context.Background()
	seen, rows := map[int32]int{}, 0.0
	for step := range b.Steps(0) {
		batch, err := b.Batch(ctx, 1, step)
		if err != nil {
			t.Fatal(err)
		}
		again, err := fit.Batches().Batch(ctx, 1, step) // in any order, from any copy
		if err != nil || !reflect.DeepEqual(batch, again) {
			t.Fatalf("batch %d differs when reached directly, %v", step, err)
		}
		sum := float32(0)
		for _, w := range batch.Inputs[inWeight].Data.([]float32) {
			sum += w
		}
		if float64(sum) != batch.Weight {
			t.Errorf("batch %d: weight %v for %v options", step, batch.Weight, sum)
		}
		rows += batch.Weight
		for i := range fit.Config.Batch {
			seen[batch.Inputs[inRequest].Data.([]int32)[i*requestFields]]++
		}
	}
	want := 0
	for _, i := range fit.train {
		want += len(feed.Requests[i].Options)
	}
	if int(rows) != want || len(fit.train) >= len(feed.ByTag[poi.Train]) {
		t.Errorf("an epoch has %v options, want %d; %d of %d requests after the warm-up", rows, want, len(fit.train), len(feed.ByTag[poi.Train]))
	}
	zero, one := first(t, fit), training.Batch{}
	one, err := b.Batch(ctx, 1, 0)
	if err != nil || reflect.DeepEqual(zero.Inputs[inLabel], one.Inputs[inLabel]) && reflect.DeepEqual(zero.Inputs[inOption], one.Inputs[inOption]) {
		t.Errorf("two epochs begin with the same batch, %v", err)
	}
	if _, err := b.Batch(ctx, 0, b.Steps(0)); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("beyond the epoch: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Batch(ended, 0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRankRejects(t *testing.T) {
	d, feed := town(8, 5, 12, 9)
	fit := mustNew(t, d, feed, nil, tiny())
	be := testkit.Backends(t)["go"]
	n, err := fit.Ranker("base", be, fit.NewStore())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx := context.Background()
	r := feed.Requests[0]
	room := func(n int) [][]float64 { return [][]float64{make([]float64, n)} }
	unknown := r
	unknown.Options = []poi.Option{{POI: 99}}
	for _, ranker := range []poi.Ranker{n, Displayed()} {
		if err := ranker.Rank(ctx, []*poi.Request{&r}, nil); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s, no room: %v", ranker.Name(), err)
		}
		if err := ranker.Rank(ctx, []*poi.Request{&r}, room(1)); !errors.Is(err, poi.ErrBadInput) {
			t.Errorf("%s, little room: %v", ranker.Name(), err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := ranker.Rank(ended, []*poi.Request{&r}, room(len(r.Options))); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", ranker.Name(), err)
		}
	}
	if err := n.Rank(ctx, []*poi.Request{&unknown}, room(1)); !errors.Is(err, poi.ErrUnknownPOI) {
		t.Errorf("unknown POI: %v", err)
	}
	wide := r
	wide.Options = make([]poi.Option, MaxOptions+1)
	if err := n.Rank(ctx, []*poi.Request{&wide}, room(MaxOptions+1)); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("too many options: %v", err)
	}
	empty := r
	empty.Options = nil
	if err := n.Rank(ctx, []*poi.Request{&empty}, room(0)); err != nil {
		t.Errorf("no options: %v", err)
	}
	if !n.Probabilities() || n.Name() != "base" {
		t.Error("a network's scores are probabilities, its name the one it was given")
	}
}

func TestFloorsByHand(t *testing.T) {
	d, feed := byHand()
	r := &feed.Requests[2]
	if got := ranked(t, Displayed(), r)[0]; !(got[0] > got[1] && got[1] > got[2]) {
		t.Errorf("as displayed %v", got)
	}
	if got := ranked(t, Popularity(d), r)[0]; !slices.Equal(got, []float64{2, 0, 1}) {
		t.Errorf("popularity %v", got)
	}
	got := ranked(t, Nearest(d), r)[0] // places at 0, .03 and .01 degrees, the person at .01
	if !(got[2] > got[0] && got[0] > got[1]) {
		t.Errorf("nearest %v", got)
	}
	r.HasUser = false // the last visit was to place 0
	if got = ranked(t, Nearest(d), r)[0]; got[0] != 0 || !(got[0] > got[2] && got[2] > got[1]) {
		t.Errorf("nearest to the last visit %v", got)
	}
	if got := ranked(t, Nearest(d), &feed.Requests[1])[0]; got[0] != 0 || got[1] != 0 {
		t.Errorf("nearest to nowhere %v", got)
	}
	a, b := ranked(t, Random(1), r)[0], ranked(t, Random(2), r)[0]
	if slices.Equal(a, b) || a[0] == a[1] || !slices.Equal(a, ranked(t, Random(1), r)[0]) {
		t.Errorf("random %v, %v", a, b)
	}
	c := tiny()
	c.WarmUp = 0
	if got := ranked(t, mustNew(t, d, feed, nil, c).ClickRate(), r)[0]; !(got[0] > got[2] && got[2] > got[1]) {
		t.Errorf("click rate %v", got) // 0 was clicked twice; 1 missed at position 2, 2 at position 1
	}
}
