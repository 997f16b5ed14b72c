package spacetime

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/objective"
)

// stageCase is one stage with a network to learn it on.
type stageCase struct {
	name   string
	v      variant
	media  int
	tune   TuneConfig
	onONNX bool // gradients too; all are compared on "go"
}

func stageCases() []stageCase {
	tune := func(stage string, change func(c *TuneConfig)) TuneConfig {
		c := TuneConfig{Stage: stage, Dim: 5, Tau: 0.4, InBatch: true, Loss: "dpo", Beta: 0.7, Reduction: objective.Mean}
		change(&c)
		return c
	}
	same := func(*TuneConfig) {}
	ours := func(c *TuneConfig) { c.Interest, c.Likelihood = 4, true }
	bare := whole(true)
	bare.located, bare.profile, bare.c.ActionToken, bare.c.Gate, bare.c.TiedEmbeddings, bare.c.SpacetimeBias = false, 0, false, "scalar", false, false
	alone := whole(false)
	alone.c.WholeHistory, alone.c.HideRequests, alone.c.TiedEmbeddings = false, false, false
	far := whole(true)
	far.c.Distance = true
	return []stageCase{
		{"rank, media, distance", far, tinyMedia, tune(StageRank, same), false},
		{"embed, media", whole(true), tinyMedia, tune(StageEmbed, same), true},
		{"embed, own options", bare, 0, tune(StageEmbed, func(c *TuneConfig) { c.InBatch = false }), false},
		{"embed, flat", whole(false), tinyMedia, tune(StageEmbed, same), false},
		{"rank, media", whole(true), tinyMedia, tune(StageRank, same), true},
		{"rank, bare", bare, 0, tune(StageRank, same), false},
		{"rank, flat", whole(false), tinyMedia, tune(StageRank, same), false},
		{"rank, flat, one trajectory", alone, 0, tune(StageRank, same), false},
		{"rank, interest, likelihood", far, tinyMedia, tune(StageRank, ours), true},
		{"rank, flat, interest, likelihood", whole(false), 0, tune(StageRank, ours), false},
		{"embed, interest", whole(true), tinyMedia, tune(StageEmbed, ours), true},
		{"dpo", whole(true), 0, tune(StageAlign, same), true},
		{"dpo, anchor", whole(true), 0, tune(StageAlign, func(c *TuneConfig) { c.Anchor = 0.6 }), false},
		{"dpo, sum, bare", bare, 0, tune(StageAlign, func(c *TuneConfig) { c.Reduction = objective.Sum }), false},
		{"sdpo, media", whole(true), tinyMedia, tune(StageAlign, func(c *TuneConfig) { c.Loss = "sdpo" }), false},
		{"sdpo, sum, flat", whole(false), 0, tune(StageAlign, func(c *TuneConfig) { c.Loss, c.Reduction = "sdpo", objective.Sum }), true},
		{"dpo, flat, one trajectory", alone, tinyMedia, tune(StageAlign, same), false},
	}
}

// stageLoss is the graph of the stage's loss and its diagnostics.
func stageLoss(tr *feedTrial) graph {
	return func(s *model.Scope, in []*Node) []*Node {
		loss, aux := tr.stage.Loss(s, in, ScalarZero(in[0].Graph(), zeros(in[0].Graph(), 1).DType()))
		return append([]*Node{loss}, aux...)
	}
}

// stageGradients is that graph and the loss's gradient by every variable.
func stageGradients(tr *feedTrial) graph {
	return func(s *model.Scope, in []*Node) []*Node {
		g := in[0].Graph()
		tr.store.SetTraining(g, true)
		out := stageLoss(tr)(s, in)
		var wrt []*Node
		for _, name := range slices.Sorted(maps.Keys(tr.w)) {
			wrt = append(wrt, tr.store.GetVariable("/spacetime/"+name).NodeValue(g))
		}
		return append(out, Gradient(out[0], wrt...)...)
	}
}

// Loss, diagnostics and the gradient by every variable of a stage equal the float64
// oracle and its finite differences.
func TestStagesEqualOracle(t *testing.T) {
	backends, reached := testkit.Backends(t), map[string]bool{}
	for k, c := range stageCases() {
		tr := newFeedTrial(t, backends["go"], c.v, c.media, c.tune, uint64(3000+k), stageLoss)
		o := tr.oracle()
		want := append([]float64{o.loss()}, o.diagnostics()...)
		probes := tr.stageProbes(rand.New(rand.NewPCG(uint64(k), 19)), o)
		if n := len(tr.stage.AuxNames()); n != len(want)-1 {
			t.Errorf("%s: %d names of diagnostics, want %d", c.name, n, len(want)-1)
		}
		for _, name := range slices.Sorted(maps.Keys(backends)) {
			if name != "go" && !c.onONNX {
				continue
			}
			t.Run(name+"/"+c.name, func(t *testing.T) {
				tr.on(backends[name])
				got := tr.ask("gradients", stageGradients(tr), tr.feed)
				for i, x := range want {
					near(t, []string{"loss", "pair accuracy", "chosen", "rejected", "margin"}[i], got[i], []float64{x})
				}
				tr.checkSlopes(t, got[len(want):], probes)
			})
		}
		for name := range tr.w {
			reached[group(name)] = true
		}
	}
	want := []string{"action", "bias", "block", "blocks", "category", "decoder", "distance", "embed", "flat", "gate", "geo", "inners", "interest", "kind", "media",
		"place", "profile", "rank", "time", "user"}
	if got := slices.Sorted(maps.Keys(reached)); !slices.Equal(got, want) {
		t.Errorf("groups of variables %v, want %v", got, want)
	}
}

// stageProbes are, for each variable, one random direction, which every element has
// a part in, and two single elements, with the slope of the oracle's loss there.
func (tr *feedTrial) stageProbes(rng *rand.Rand, o *feedNetwork) []probe {
	var out []probe
	for _, name := range slices.Sorted(maps.Keys(tr.w)) {
		n := len(tr.w[name])
		directions := [][]float64{make([]float64, n)}
		for i := range n {
			directions[0][i] = rng.NormFloat64() / math.Sqrt(float64(n))
		}
		for _, i := range rng.Perm(n)[:min(n, 2)] {
			one := make([]float64, n)
			one[i] = 1
			directions = append(directions, one)
		}
		for _, d := range directions {
			out = append(out, probe{name, d, slopeAlong(o.loss, tr.w[name], d)})
		}
	}
	return out
}

// slopeAlong is the central difference of f as w moves along a direction.
func slopeAlong(f func() float64, w, direction []float64) float64 {
	const step = 1e-5
	old := slices.Clone(w)
	move := func(by float64) float64 {
		for i := range w {
			w[i] = old[i] + by*direction[i]
		}
		return f()
	}
	up, down := move(step), move(-step)
	copy(w, old)
	return (up - down) / (2 * step)
}

// checkSlopes compares gradients, in the order of names, with slopes of the oracle,
// on the scale of a variable's whole gradient. A gradient that is zero everywhere
// would mean that the stage does not reach the variable.
func (tr *feedTrial) checkSlopes(t *testing.T, gradients [][]float64, probes []probe) {
	t.Helper()
	by := map[string][]float64{}
	for i, name := range slices.Sorted(maps.Keys(tr.w)) {
		by[name] = gradients[i]
		if !slices.ContainsFunc(gradients[i], func(x float64) bool { return x != 0 }) {
			t.Errorf("%s: the gradient is zero everywhere", name)
		}
	}
	for _, p := range probes {
		along, length := 0.0, 0.0
		for i, g := range by[p.name] {
			along += g * p.direction[i]
			length += g * g
		}
		if e := math.Abs(along - p.want); !(e <= 1e-4*math.Sqrt(length)+1e-6) {
			t.Errorf("%s: slope %.7g by the graph, %.7g by differences; the gradient's length is %.3g", p.name, along, p.want, math.Sqrt(length))
		}
	}
}
