package ranker

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/training"
)

// town is the toy data set with requests: options differ in number, some people
// have no position, and the probability of a click is a planted rule of place,
// time, person, distance and display.
func town(seed uint64, users, places, perUser int) (*poi.Dataset, *poi.Feed) {
	d := testkit.Toy(seed, users, places)
	rng := rand.New(rand.NewPCG(seed, 77))
	first, last := d.Users[0].Visits[0].TimeMS, d.Users[0].Visits[0].TimeMS
	for _, u := range d.Users {
		first, last = min(first, u.Visits[0].TimeMS), max(last, u.Visits[len(u.Visits)-1].TimeMS)
	}
	feed := &poi.Feed{Fingerprint: "feed-" + d.Fingerprint}
	for u := range d.Users {
		times := make([]int64, perUser)
		for i := range times {
			times[i] = first + rng.Int64N(last-first)
		}
		slices.Sort(times)
		for _, t := range times {
			feed.Requests = append(feed.Requests, request(d, rng, int32(u), t, float64(t-first)/float64(last-first)))
		}
	}
	for i := range feed.Requests {
		r := &feed.Requests[i]
		r.ID = fmt.Sprintf("r%05d", i)
		feed.ByTag[r.Tag] = append(feed.ByTag[r.Tag], int32(i))
	}
	return d, feed
}

func request(d *poi.Dataset, rng *rand.Rand, user int32, timeMS int64, when float64) poi.Request {
	r := poi.Request{User: user, TimeMS: timeMS, OffsetMin: -300, HasUser: rng.IntN(4) > 0}
	switch {
	case when > .9:
		r.Tag = poi.Test
	case when > .75:
		r.Tag = poi.Validation
	}
	for int(r.Pos) < len(d.Users[user].Visits) && d.Users[user].Visits[r.Pos].TimeMS < timeMS {
		r.Pos++
	}
	if r.HasUser {
		r.UserLat, r.UserLng = float32(40.7+.1*(2*rng.Float64()-1)), float32(-74+.13*(2*rng.Float64()-1))
	}
	for j, p := range rng.Perm(len(d.Places))[:5+rng.IntN(4)] {
		o := poi.Option{POI: int32(p)}
		o.Relevance = float32(relevance(d, &r, o.POI))
		o.Click = o.Relevance / float32(math.Sqrt(float64(1+j)))
		o.Clicked = rng.Float64() < float64(o.Click)
		r.Options = append(r.Options, o)
	}
	return r
}

// relevance is the planted rule: near, of a category that fits the hour and the
// person's gender, and good by itself.
func relevance(d *poi.Dataset, r *poi.Request, place int32) float64 {
	lat, lng, known := whereabouts(d, d.QueryAt(r))
	x := -.5
	if known {
		p := d.Places[place]
		x -= .25 * math.Hypot((p.Lat-lat)*111, (p.Lng-lng)*84)
	}
	if (int(place)%5)*5 <= hourOf(r.TimeMS, r.OffsetMin) {
		x++
	}
	if (int(place)/5+int(r.User))%2 == 0 {
		x += 1.5
	}
	x += 1.5 * math.Sin(float64(place)*12.9898)
	return 1 / (1 + math.Exp(-x))
}

// tiny is a network small enough for finite differences, with all parts.
func tiny() Config {
	return Config{Dim: 3, UserTable: 6, PlaceTable: 9, GeoTable: 8, CrossTable: 16, BlockKM: 5, History: 4, AttentionHidden: 5,
		Hidden: []int{6, 4}, Attention: true, Interactions: true, Position: PositionKnown, Prior: 1, WarmUp: .1, Batch: 4}
}

func mustNew(t testing.TB, d *poi.Dataset, feed *poi.Feed, extra *Extra, c Config) *Fit {
	t.Helper()
	fit, err := New(d, feed, extra, c, 5)
	if err != nil {
		t.Fatal(err)
	}
	return fit
}

// withExtra adds a score and vectors with products.
func withExtra(t testing.TB, d *poi.Dataset, feed *poi.Feed) *Extra {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 9))
	e, err := NewExtra(feed)
	if err != nil {
		t.Fatal(err)
	}
	vectors := func(n int) [][]float32 {
		out := make([][]float32, n)
		for i := range out {
			out[i] = []float32{rng.Float32() - .5, rng.Float32() - .5}
		}
		return out
	}
	scores := make([][]float64, len(feed.Requests))
	for i, r := range feed.Requests {
		for range r.Options {
			scores[i] = append(scores[i], rng.NormFloat64())
		}
	}
	if err := e.AddScores("logit", scores); err != nil {
		t.Fatal(err)
	}
	if err := e.AddVectors("vectors", vectors(len(feed.Requests)), vectors(len(d.Places)), true); err != nil {
		t.Fatal(err)
	}
	return e
}

// first is the first batch of an epoch.
func first(t testing.TB, fit *Fit) training.Batch {
	t.Helper()
	b, err := fit.Batches().Batch(context.Background(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tensorsOf(arrays []training.Array) []any {
	var out []any
	for _, a := range arrays {
		switch data := a.Data.(type) {
		case []int32:
			out = append(out, tensors.FromFlatDataAndDimensions(slices.Clone(data), a.Dims...))
		case []float32:
			out = append(out, tensors.FromFlatDataAndDimensions(slices.Clone(data), a.Dims...))
		}
	}
	return out
}

// eachBackend runs a test on every backend of this machine.
func eachBackend(t *testing.T, f func(t *testing.T, be compute.Backend)) {
	for name, be := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) { f(t, be) })
	}
}

// drawn fills the store with weights far from the initial ones, so that every part
// matters, and returns them.
func drawn(t testing.TB, be compute.Backend, fit *Fit, store *model.Store) map[string][]float64 {
	t.Helper()
	rank(t, fit, be, store, &fit.Feed.Requests[0]) // makes the variables
	var vars []*model.Variable
	for v := range store.IterVariables() {
		if training.IsModelPath(v.Path()) && v.DType() == dtypes.Float32 {
			vars = append(vars, v)
		}
	}
	slices.SortFunc(vars, func(a, b *model.Variable) int { return slices.Compare([]byte(a.Path()), []byte(b.Path())) })
	rng, out := rand.New(rand.NewPCG(8, 8)), map[string][]float64{}
	for _, v := range vars {
		dims := v.Shape().Dimensions
		std := .5
		if len(dims) == 2 && dims[0] < fit.model.Rows {
			std = 1 / math.Sqrt(float64(dims[0]))
		}
		flat := make([]float32, v.Shape().Size())
		wide := make([]float64, len(flat))
		for i := range flat {
			flat[i] = float32(rng.NormFloat64() * std)
			wide[i] = float64(flat[i])
		}
		v.MustSetValue(tensors.FromFlatDataAndDimensions(flat, dims...))
		out[v.Path()[len("/ranker/"):]] = wide
	}
	return out
}

// rank ranks requests with the weights in store.
func rank(t testing.TB, fit *Fit, be compute.Backend, store *model.Store, requests ...*poi.Request) [][]float64 {
	t.Helper()
	n, err := fit.Ranker("base", be, store)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	return ranked(t, n, requests...)
}

func ranked(t testing.TB, r poi.Ranker, requests ...*poi.Request) [][]float64 {
	t.Helper()
	dst := make([][]float64, len(requests))
	for i, r := range requests {
		dst[i] = make([]float64, len(r.Options))
	}
	if err := r.Rank(context.Background(), requests, dst); err != nil {
		t.Fatal(err)
	}
	return dst
}
