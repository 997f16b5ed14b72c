package spacetime

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/geo"
)

// variant is one setting of the network.
type variant struct {
	name    string
	c       Config
	hier    bool
	profile int
	located bool
}

// whole has every addition on.
func whole(hier bool) variant {
	d := decoder.Config{Layers: 2, Dim: 12, Heads: 2, KVHeads: 1, HeadDim: 6, FFN: 8, RopeTheta: 100, NormEps: 1e-5}
	c := Config{Decoder: d, Gate: "input", Time: true, Geo: true, Category: true, ActionToken: hier, CopyHead: true, Evidence: true, Pointer: true, SpacetimeBias: true,
		HideRequests: true, TiedEmbeddings: true, UserEmbedding: true, WholeHistory: true, HeadHidden: 5, HeadOut: 3, GenerateWeight: 0.1}
	v := variant{name: "flat", c: c, hier: hier, located: true, profile: 2}
	if hier {
		v.name = "hier"
	}
	return v
}

// printed has none of our additions.
func printed(hier bool) variant {
	v := whole(hier)
	v.name += "/as printed"
	c := &v.c
	c.CopyHead, c.Evidence, c.SpacetimeBias, c.HideRequests, c.TiedEmbeddings, c.UserEmbedding = false, false, false, false, false, false
	c.GenerateWeight = 0
	return v
}

// variants are the whole network, the paper's, and each addition taken out.
func variants() []variant {
	var out []variant
	for _, hier := range []bool{false, true} {
		changed := func(name string, change func(v *variant)) {
			v := whole(hier)
			v.name += "/" + name
			change(&v)
			out = append(out, v)
		}
		out = append(out, whole(hier), printed(hier))
		changed("no tied embeddings", func(v *variant) { v.c.TiedEmbeddings = false })
		changed("one trajectory", func(v *variant) { v.c.WholeHistory = false })
		changed("requests seen", func(v *variant) { v.c.HideRequests = false })
		changed("bare", func(v *variant) { v.located, v.profile, v.c.ActionToken, v.c.Gate = false, 0, false, "scalar" })
		changed("no time, no geography", func(v *variant) { v.c.Time, v.c.Geo, v.c.SpacetimeBias = false, false, false })
		changed("bare names", func(v *variant) {
			v.c.Time, v.c.Geo, v.c.Category, v.c.UserEmbedding, v.c.Pointer = false, false, false, false, false
		})
		changed("distance", func(v *variant) { v.c.Distance = true })
		changed("no bias", func(v *variant) { v.c.SpacetimeBias = false })
		if hier {
			continue // the rest does not depend on the index
		}
		changed("no copy head", func(v *variant) { v.c.CopyHead, v.c.Evidence = false, false })
		changed("no evidence", func(v *variant) { v.c.Evidence = false })
		changed("no user, action token", func(v *variant) { v.c.UserEmbedding, v.c.ActionToken = false, true })
		changed("copying by evidence alone", func(v *variant) { v.c.Pointer, v.c.StateDropout = false, 1 })
		changed("no extra weight", func(v *variant) { v.c.GenerateWeight = 0 })
	}
	return out
}

const (
	tinyPlaces, tinyBlocks, tinyInners = 9, 3, 4
	tinyGrid, tinyCategories           = 4, 6
	tinyProfiles, tinyUsers, tinyTypes = 4, 3, 2
)

// tables draws places: 9 of them in 3 blocks, categories one to three levels deep.
func (v variant) tables(rng *rand.Rand) *Tables {
	t := &Tables{Hier: v.hier, Place: make([]int32, tinyPlaces+1), Tokens: tinyPlaces + 1, Blocks: 1,
		Cats: make([]int32, (tinyPlaces+1)*batch.CategoryLevels), Cells: make([]int32, (tinyPlaces+1)*geo.GridLevels),
		Categories: tinyCategories, Profiles: tinyProfiles, Users: tinyUsers, Types: tinyTypes, GeoTable: tinyGrid,
		Profile: v.profile, Located: v.located}
	order := rng.Perm(tinyPlaces)
	if v.hier {
		t.Block, t.Tokens, t.Blocks = make([]int32, tinyPlaces+1), tinyInners+1, tinyBlocks+1
	}
	for p := 1; p <= tinyPlaces; p++ {
		t.Place[p] = int32(order[p-1]) + 1
		if v.hier {
			t.Block[p], t.Place[p] = int32(order[p-1]%tinyBlocks)+1, int32(order[p-1]/tinyBlocks)+1
		}
		for l := range p % (batch.CategoryLevels + 1) {
			t.Cats[p*batch.CategoryLevels+l] = 1 + rng.Int32N(tinyCategories-1)
		}
		for l := range geo.GridLevels {
			t.Cells[p*geo.GridLevels+l] = 1 + rng.Int32N(tinyGrid-1)
		}
	}
	for range evidence.NumFeatures {
		t.Mean, t.Scale = append(t.Mean, rng.Float32()), append(t.Scale, 0.5+rng.Float32())
	}
	return t
}

// data draws a batch of three windows of 6, 4 and 2 actions in a bucket of 6, with
// three, three and one requests in a bucket of 3. Every cell is drawn, also those
// that padding should make harmless.
func (v variant) data(rng *rand.Rand, t *Tables) *batch.Batch {
	const b, n, m, c = 3, 6, 3, 4
	out := &batch.Batch{}
	ints := func(at int, most int32, dims ...int) []int32 {
		a := make([]int32, size(dims))
		for i := range a {
			a[i] = rng.Int32N(most + 1)
		}
		out.Arrays[at] = batch.Array{Dims: dims, I: a}
		return a
	}
	floats := func(at int, dims ...int) []float32 {
		a := make([]float32, size(dims))
		for i := range a {
			a[i] = float32(rng.NormFloat64() * 3)
		}
		out.Arrays[at] = batch.Array{Dims: dims, F: a}
		return a
	}
	ints(batch.InPlace, 0, b, n)
	ints(batch.InTimes, 0, b, n, 4)
	floats(batch.InClock, b, n)
	ints(batch.InCells, tinyGrid-1, b, n, geo.GridLevels)
	floats(batch.InAt, b, n, 2)
	floats(batch.InFrom, b, n, 2)
	ints(batch.InType, tinyTypes, b, n)
	floats(batch.InSegment, b, n)
	copy(ints(batch.InUser, 0, b), []int32{2, 0, 3})
	ints(batch.InProfile, tinyProfiles-1, b, max(1, v.profile))
	ints(batch.InRequest, 0, b, m)
	floats(batch.InWeight, b, m)
	ints(batch.InLabel, 0, b, m)
	ints(batch.InCandidate, 0, b, m, c)
	floats(batch.InFeature, b, m, c, evidence.NumFeatures)
	floats(batch.InContext, b, m, evidence.NumContext)
	ints(batch.InChosen, 0, b, m)
	for i := range b {
		actions(rng, out, i, n-2*i)
		requests(rng, out, i, n-2*i)
	}
	return out
}

// actions draws the first length actions of window i, in the order of time.
func actions(rng *rand.Rand, b *batch.Batch, i, length int) {
	n := b.Arrays[batch.InPlace].Dims[1]
	hours, run := float32(0), float32(0)
	for a := n - 1; a >= 0; a-- {
		if b.Arrays[batch.InClock].F[i*n+a] = hours; a < length {
			hours += 0.2 + 40*rng.Float32()*rng.Float32()
		}
	}
	for a := range n {
		at := i*n + a
		if a > 0 && rng.IntN(2) == 0 {
			run++
		}
		b.Arrays[batch.InSegment].F[at] = run
		for f, most := range []int32{12, 7, 31, 24} {
			b.Arrays[batch.InTimes].I[at*4+f] = rng.Int32N(most)
		}
		if a < length {
			b.Arrays[batch.InPlace].I[at] = 1 + rng.Int32N(tinyPlaces)
		}
	}
}

// requests asks for every other action of window i, from the last, each with one
// candidate less; the target is among those of the first and of the third.
func requests(rng *rand.Rand, b *batch.Batch, i, length int) {
	n, m, c := b.Arrays[batch.InPlace].Dims[1], b.Arrays[batch.InRequest].Dims[1], b.Arrays[batch.InCandidate].Dims[2]
	for r := range m {
		at, action := i*m+r, max(0, length-1-2*r)
		b.Arrays[batch.InWeight].F[at] = 0
		if r >= length-1 {
			continue
		}
		label := b.Arrays[batch.InPlace].I[i*n+action]
		b.Arrays[batch.InRequest].I[at], b.Arrays[batch.InLabel].I[at] = int32(action), label
		b.Arrays[batch.InWeight].F[at], b.Arrays[batch.InChosen].I[at] = 0.5+rng.Float32(), -1
		for k, p := range rng.Perm(tinyPlaces - 1)[:c-r] { // places but the target
			b.Arrays[batch.InCandidate].I[at*c+k] = (label+int32(p))%tinyPlaces + 1
		}
		if r%2 == 0 {
			b.Arrays[batch.InCandidate].I[at*c+1], b.Arrays[batch.InChosen].I[at] = label, 1
		}
	}
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// trial is a network with weights, on one batch.
type trial struct {
	v     variant
	be    compute.Backend
	execs map[string]*model.Exec // compiled graphs by name
	m     *Model
	b     *batch.Batch
	w     map[string][]float64
	dims  map[string][]int
	store *model.Store
}

// newTrial draws tables, data and weights far from the initial ones, so that every
// part matters. It asks the graph of the loss which variables there are.
func newTrial(t testing.TB, be compute.Backend, v variant, seed uint64) *trial {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	if err := v.c.Validate(); err != nil {
		t.Fatal(err)
	}
	tr := &trial{v: v, be: be, execs: map[string]*model.Exec{}, w: map[string][]float64{}, dims: map[string][]int{}, store: model.NewStore()}
	tr.m = &Model{Config: v.c, Tables: v.tables(rng)}
	tr.b = v.data(rng, tr.m.Tables)
	tr.say(tr.b)
	var paths []string
	for x := range tr.store.IterVariables() {
		if name, ok := strings.CutPrefix(x.Path(), "/spacetime/"); ok {
			paths = append(paths, name)
			tr.dims[name] = slices.Clone(x.Shape().Dimensions)
		}
	}
	slices.Sort(paths)
	for _, name := range paths {
		tr.w[name] = drawn(rng, name, tr.dims[name])
	}
	tr.fill()
	return tr
}

// drawn returns weights of order one after their product, rounded to float32.
func drawn(rng *rand.Rand, name string, dims []int) []float64 {
	std, mean := 0.5, 0.0
	switch {
	case strings.HasSuffix(name, "norm"):
		std, mean = 0.3, 1
	case strings.Contains(name, "proj"), strings.HasPrefix(name, "copy/"), strings.HasSuffix(name, "/map"), strings.HasSuffix(name, "/out"),
		strings.HasSuffix(name, "/weight"):
		std = 1 / math.Sqrt(float64(dims[0]))
	}
	out := make([]float64, size(dims))
	for i := range out {
		out[i] = float64(float32(mean + rng.NormFloat64()*std))
	}
	return out
}

// fill puts the weights into the store.
func (tr *trial) fill() {
	for name, w := range tr.w {
		flat := make([]float32, len(w))
		for i, x := range w {
			flat[i] = float32(x)
		}
		tr.store.GetVariable("/spacetime/" + name).MustSetValue(tensors.FromFlatDataAndDimensions(flat, tr.dims[name]...))
	}
}

// network is the oracle of the trial on a batch.
func (tr *trial) network(b *batch.Batch) *network {
	return &network{c: tr.v.c, t: tr.m.Tables, w: tr.w, b: b}
}

// call runs a graph, compiled once for each name and shape, over a batch.
func (tr *trial) call(name string, fn func(s *model.Scope, in []*Node) []*Node, b *batch.Batch, more ...any) []*tensors.Tensor {
	if tr.execs[name] == nil {
		tr.execs[name] = model.MustNewExec(tr.be, tr.store, fn)
	}
	return tr.execs[name].MustCall(append(tensorsOf(b), more...)...)
}

// say runs the graph of said.
func (tr *trial) say(b *batch.Batch) [][]float64 {
	var out [][]float64
	for _, x := range tr.call("said", tr.said, b) {
		out = append(out, wide(x))
	}
	return out
}

// wide copies a float32 tensor.
func wide(x *tensors.Tensor) []float64 {
	flat := tensors.MustCopyFlatData[float32](x)
	out := make([]float64, len(flat))
	for i, v := range flat {
		out[i] = float64(v)
	}
	return out
}

func tensorsOf(b *batch.Batch) []any {
	var out []any
	for _, a := range b.Arrays {
		if a.I != nil {
			out = append(out, tensors.FromFlatDataAndDimensions(slices.Clone(a.I), a.Dims...))
		} else {
			out = append(out, tensors.FromFlatDataAndDimensions(slices.Clone(a.F), a.Dims...))
		}
	}
	return out
}

// What said returns, in order. Without the head in question it is one zero.
const (
	saidLoss = iota
	saidNLL
	saidCopyShare
	saidFirst  // [R, V] or [R, Blocks]
	saidInner  // [R, Tokens], at the action's own block token
	saidCopied // [R, C]
	saidGate   // [R]
)

// said is the graph of everything that training looks at.
func (tr *trial) said(s *model.Scope, in []*Node) []*Node {
	noise := ScalarZero(in[0].Graph(), zeros(in[0].Graph(), 1).DType())
	loss, aux := tr.m.Loss(s, in, noise)
	n := newNet(s, tr.m.Config, tr.m.Tables, in, nil)
	hidden, _ := n.run()
	h := n.requests(hidden, 0)
	first, inner, copied, gate := zeros(n.g, 1), zeros(n.g, 1), zeros(n.g, 1), zeros(n.g, 1)
	if tr.m.Tables.Hier {
		first, inner = LogSoftmax(n.blockLogits(h), -1), LogSoftmax(n.innerLogits(n.requests(hidden, 1)), -1)
	} else {
		first = LogSoftmax(n.placeLogits(h), -1)
	}
	if tr.v.c.CopyHead {
		copied, gate = n.copyHead(h)
	}
	return []*Node{loss, aux[0], aux[1], first, inner, copied, gate}
}
