package spacetime

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/geo"
)

// feedVariants are those of pre-training, and the whole network with distances.
func feedVariants() []variant {
	out := variants()
	for _, hier := range []bool{false, true} {
		v := whole(hier)
		v.name, v.c.Distance = v.name+"/distance", true
		out = append(out, v)
	}
	return out
}

// tinyMedia is the width of media vectors where a network has them.
const tinyMedia = 3

// asked is one request of the tiny feed. Place numbers are dense ids + 1; a click
// is a "1" at the option's position.
type asked struct {
	window, at int // actions before it
	options    []int32
	clicked    string
	weight     float32
}

// tinyFeed are two windows, of 4 and 3 actions in a bucket of 4, each with room for
// 3 requests of 3 options. One request has clicks only, one has no past, one weighs
// nothing; the last of the second window is padding. Place 1 is clicked in two
// requests and shown in both, place 4 clicked in one and shown in another.
func tinyFeed() []asked {
	return []asked{
		{0, 2, []int32{1, 2, 3}, "100", 1.5}, {0, 4, []int32{4, 1}, "11", 0.5}, {0, 3, []int32{9, 2}, "10", 0},
		{1, 0, []int32{5, 6, 4}, "010", 1}, {1, 3, []int32{7, 8}, "10", 2},
	}
}

// feedData draws the arrays of a feed batch. Every cell is drawn, also those that
// padding should make harmless; media is the width of the vectors, 0 for none.
func (v variant) feedData(rng *rand.Rand, t *Tables) *batch.FeedBatch {
	const b, n, m, c = 2, 4, 3, 3
	out, windows := &batch.FeedBatch{}, v.data(rng, t)
	for i := range batch.InRequest {
		out.Arrays[i] = cut(windows.Arrays[i], 0, b)
		if len(out.Arrays[i].Dims) > 1 && i != batch.InProfile {
			out.Arrays[i] = cut(out.Arrays[i], 1, n)
		}
	}
	out.Arrays[batch.InPlace].I[n+3] = 0
	ints := func(at int, most int32, dims ...int) {
		a := make([]int32, size(dims))
		for i := range a {
			a[i] = rng.Int32N(most + 1)
		}
		out.Arrays[at] = batch.Array{Dims: dims, I: a}
	}
	floats := func(at int, scale float64, dims ...int) {
		a := make([]float32, size(dims))
		for i := range a {
			a[i] = float32(rng.NormFloat64() * scale)
		}
		out.Arrays[at] = batch.Array{Dims: dims, F: a}
	}
	x := max(1, t.Media)
	ints(batch.FeedAt, 0, b, m)
	ints(batch.FeedTimes, 6, b, m, 4)
	floats(batch.FeedClock, 20, b, m)
	ints(batch.FeedCells, tinyGrid-1, b, m, geo.GridLevels)
	floats(batch.FeedFrom, 3, b, m, 2)
	floats(batch.FeedSegment, 0, b, m)
	floats(batch.FeedWeight, 0, b, m)
	ints(batch.FeedOption, 0, b, m, c)
	floats(batch.FeedClicked, 1, b, m, c)
	floats(batch.FeedExtra, 2, b, m, c)
	floats(batch.FeedMedia, 1, b, n, x)
	floats(batch.FeedShow, 1, b, m, c, x)
	floats(batch.FeedSpot, 3, b, m, c, 2)
	put(out)
	return out
}

// put writes the requests of the tiny feed. Every other one continues the
// trajectory of the action before it.
func put(b *batch.FeedBatch) {
	next := map[int]int{}
	for k, q := range tinyFeed() {
		n, c := b.Arrays[batch.InPlace].Dims[1], b.Arrays[batch.FeedOption].Dims[2]
		at := q.window*b.Arrays[batch.FeedAt].Dims[1] + next[q.window]
		next[q.window]++
		b.Arrays[batch.FeedAt].I[at], b.Arrays[batch.FeedWeight].F[at] = int32(q.at), q.weight
		if q.at > 0 {
			b.Arrays[batch.FeedSegment].F[at] = b.Arrays[batch.InSegment].F[q.window*n+q.at-1] + float32(k%2)
		}
		copy(b.Arrays[batch.FeedOption].I[at*c:], q.options)
		for j, x := range q.clicked {
			b.Arrays[batch.FeedClicked].F[at*c+j] = float32(x - '0')
		}
	}
}

// cut keeps the first n of an axis.
func cut(a batch.Array, axis, n int) batch.Array {
	inner, outer := size(a.Dims[axis:]), size(a.Dims[:axis])
	keep := inner / a.Dims[axis] * n
	out := batch.Array{Dims: slices.Clone(a.Dims)}
	out.Dims[axis] = n
	for i := range outer {
		if a.I != nil {
			out.I = append(out.I, a.I[i*inner:i*inner+keep]...)
		} else {
			out.F = append(out.F, a.F[i*inner:i*inner+keep]...)
		}
	}
	return out
}

// shown is one option of a request: window, request, option.
type shown struct{ i, m, c int }

// showns lists the options of a feed batch that are not padding.
func showns(b *batch.FeedBatch) (out []shown) {
	dims := b.Arrays[batch.FeedOption].Dims
	for k, p := range b.Arrays[batch.FeedOption].I {
		if p > 0 {
			out = append(out, shown{k / dims[2] / dims[1], k / dims[2] % dims[1], k % dims[2]})
		}
	}
	return out
}

// plain turns each of the options into a window of its own, as pre-training knows
// it, with one request: the actions before it, then the option as an action at the
// request's time and place, then the actions that followed. media are the vectors
// of its places, [rows, N+1, X].
func (tr *feedTrial) plain(b *batch.FeedBatch, of []shown) (out *batch.Batch, media batch.Array) {
	out = &batch.Batch{}
	for array, like := range tr.b.Arrays {
		dims := slices.Clone(like.Dims)
		if dims[0] = len(of); len(dims) > 1 && array != batch.InProfile {
			dims[1] = 1
			if array < batch.InRequest {
				dims[1] = b.Arrays[batch.InPlace].Dims[1] + 1
			}
		}
		out.Arrays[array] = empty(like, dims)
	}
	x := b.Arrays[batch.FeedMedia].Dims[2]
	media = empty(b.Arrays[batch.FeedMedia], []int{len(of), b.Arrays[batch.InPlace].Dims[1] + 1, x})
	for r, o := range of {
		unfold(b, out, media, r, o)
	}
	return out, media
}

// unfold fills row r of plain windows with option o.
func unfold(b *batch.FeedBatch, out *batch.Batch, media batch.Array, r int, o shown) {
	n, asks, shows := b.Arrays[batch.InPlace].Dims[1], b.Arrays[batch.FeedAt].Dims[1], b.Arrays[batch.FeedOption].Dims[2]
	request := o.i*asks + o.m
	at := int(b.Arrays[batch.FeedAt].I[request])
	place := b.Arrays[batch.FeedOption].I[request*shows+o.c]
	moments := map[int]int{batch.InTimes: batch.FeedTimes, batch.InClock: batch.FeedClock, batch.InCells: batch.FeedCells,
		batch.InFrom: batch.FeedFrom, batch.InSegment: batch.FeedSegment}
	for array := range batch.InRequest {
		if array == batch.InUser || array == batch.InProfile {
			width := size(b.Arrays[array].Dims[1:])
			copy(out.Arrays[array].I[r*width:(r+1)*width], b.Arrays[array].I[o.i*width:])
			continue
		}
		from, to := b.Arrays[array], out.Arrays[array]
		paste(to, r*(n+1), from, o.i*n, at)
		paste(to, r*(n+1)+at+1, from, o.i*n+at, n-at)
		if moment, ok := moments[array]; ok {
			paste(to, r*(n+1)+at, b.Arrays[moment], request, 1)
		}
	}
	out.Arrays[batch.InPlace].I[r*(n+1)+at] = place
	out.Arrays[batch.InRequest].I[r], out.Arrays[batch.InLabel].I[r], out.Arrays[batch.InChosen].I[r] = int32(at), place, -1
	out.Arrays[batch.InWeight].F[r] = 1
	paste(media, r*(n+1), b.Arrays[batch.FeedMedia], o.i*n, at)
	paste(media, r*(n+1)+at+1, b.Arrays[batch.FeedMedia], o.i*n+at, n-at)
	x, option := media.Dims[2], request*shows+o.c
	copy(media.F[(r*(n+1)+at)*x:][:x], b.Arrays[batch.FeedShow].F[option*x:])
	copy(out.Arrays[batch.InAt].F[(r*(n+1)+at)*2:][:2], b.Arrays[batch.FeedSpot].F[option*2:])
}

// paste copies cells, which are what one index of the first two axes has.
func paste(to batch.Array, at int, from batch.Array, source, cells int) {
	width := size(from.Dims[min(2, len(from.Dims)):])
	if from.I != nil {
		copy(to.I[at*width:], from.I[source*width:(source+cells)*width])
	} else {
		copy(to.F[at*width:], from.F[source*width:(source+cells)*width])
	}
}

// empty is an array of zeros of another's type.
func empty(like batch.Array, dims []int) batch.Array {
	if like.I != nil {
		return batch.Array{Dims: dims, I: make([]int32, size(dims))}
	}
	return batch.Array{Dims: dims, F: make([]float32, size(dims))}
}

// feedTrial is a network with weights, on one feed batch.
type feedTrial struct {
	trial
	stage *Stage
	feed  *batch.FeedBatch
}

// newFeedTrial draws tables, data and weights far from the initial ones. The graph of build,
// run once on "go", says which variables there are.
func newFeedTrial(t testing.TB, onGo compute.Backend, v variant, media int, tune TuneConfig, seed uint64, build func(tr *feedTrial) graph) *feedTrial {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 6))
	if err := v.c.Validate(); err != nil {
		t.Fatal(err)
	}
	tr := &feedTrial{trial: trial{v: v, be: onGo, execs: map[string]*model.Exec{}, w: map[string][]float64{}, dims: map[string][]int{}, store: model.NewStore()}}
	tr.m = &Model{Config: v.c, Tables: v.tables(rng)}
	tr.m.Tables.Media = media
	tr.b, tr.feed = v.data(rng, tr.m.Tables), v.feedData(rng, tr.m.Tables)
	tr.stage = &Stage{Model: tr.m, Tune: tune}
	tr.ask("discover", build(tr), tr.feed)
	for x := range tr.store.IterVariables() {
		if name, ok := strings.CutPrefix(x.Path(), "/spacetime/"); ok {
			tr.dims[name] = slices.Clone(x.Shape().Dimensions)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tr.dims)) {
		tr.w[name] = drawn(rng, name, tr.dims[name])
	}
	tr.on(onGo)
	return tr
}

// graph is what runs over the arrays of a feed batch and whatever else a test gives.
type graph = func(s *model.Scope, in []*Node) []*Node

// on moves the network to a backend.
func (tr *feedTrial) on(be compute.Backend) {
	tr.be, tr.execs = be, map[string]*model.Exec{}
	tr.fill()
}

// ask runs a graph, compiled once for each name and shape, over a feed batch.
func (tr *feedTrial) ask(name string, fn graph, b *batch.FeedBatch, more ...any) [][]float64 {
	if tr.execs[name] == nil {
		tr.execs[name] = model.MustNewExec(tr.be, tr.store, fn)
	}
	var in []any
	for _, a := range b.Arrays {
		in = append(in, tensorOf(a))
	}
	var out [][]float64
	for _, x := range tr.execs[name].MustCall(append(in, more...)...) {
		out = append(out, wide(x))
	}
	return out
}

func tensorOf(a batch.Array) *tensors.Tensor {
	if a.I != nil {
		return tensors.FromFlatDataAndDimensions(slices.Clone(a.I), a.Dims...)
	}
	return tensors.FromFlatDataAndDimensions(slices.Clone(a.F), a.Dims...)
}

// edited returns a copy of the trial's feed batch after f.
func (tr *feedTrial) edited(f func(b *batch.FeedBatch)) *batch.FeedBatch {
	out := *tr.feed
	for i, a := range tr.feed.Arrays {
		out.Arrays[i] = batch.Array{Dims: slices.Clone(a.Dims), I: slices.Clone(a.I), F: slices.Clone(a.F)}
	}
	f(&out)
	return &out
}
