package spacetime

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/internal/testkit"
)

// gradients returns the graph's gradient of the loss by every variable.
func (tr *trial) gradients(names []string) map[string][]float64 {
	out := map[string][]float64{}
	for i, x := range tr.call("gradients", func(s *model.Scope, in []*Node) []*Node {
		g := in[0].Graph()
		tr.store.SetTraining(g, true)
		loss, _ := tr.m.Loss(s, in, ScalarZero(g, zeros(g, 1).DType()))
		var wrt []*Node
		for _, name := range names {
			wrt = append(wrt, tr.store.GetVariable("/spacetime/"+name).NodeValue(g))
		}
		return Gradient(loss, wrt...)
	}, tr.b) {
		out[names[i]] = wide(x)
	}
	return out
}

// slope is the central difference of the oracle's loss along a direction of one
// variable.
func (tr *trial) slope(name string, direction []float64) float64 {
	const step = 1e-5
	n, w := tr.network(tr.b), tr.w[name]
	old := slices.Clone(w)
	move := func(by float64) float64 {
		for i := range w {
			w[i] = old[i] + by*direction[i]
		}
		return n.loss()
	}
	up, down := move(step), move(-step)
	copy(w, old)
	return (up - down) / (2 * step)
}

// probe is one direction in which a variable is moved, and the slope there.
type probe struct {
	name      string
	direction []float64
	want      float64
}

// probes are, for each variable, one random direction, which every element has a
// part in, and its elements one by one: all of a small one, some of a large one.
func (tr *trial) probes(rng *rand.Rand) []probe {
	var out []probe
	for _, name := range slices.Sorted(maps.Keys(tr.w)) {
		n := len(tr.w[name])
		all := make([]float64, n)
		for i := range all {
			all[i] = rng.NormFloat64() / math.Sqrt(float64(n))
		}
		out = append(out, probe{name, all, tr.slope(name, all)})
		for _, i := range rng.Perm(n)[:min(n, 4)] {
			one := make([]float64, n)
			one[i] = 1
			out = append(out, probe{name, one, tr.slope(name, one)})
		}
	}
	return out
}

// The gradient by every variable equals finite differences of the float64 oracle.
// Both are compared on the scale of the variable's whole gradient.
func TestGradientsEqualFiniteDifferences(t *testing.T) {
	scalar := whole(false)
	scalar.name, scalar.c.Gate, scalar.c.TiedEmbeddings, scalar.c.ActionToken = "flat/scalar gate, untied, action token", "scalar", false, true
	untied := whole(true)
	untied.name, untied.c.TiedEmbeddings, untied.c.WholeHistory = "hier/untied, one trajectory", false, false
	checked := map[string]bool{}
	for k, v := range []variant{whole(false), whole(true), scalar, untied} {
		backends := testkit.Backends(t)
		tr := newTrial(t, backends["go"], v, 1000+uint64(k))
		probes := tr.probes(rand.New(rand.NewPCG(uint64(k), 17)))
		for name, be := range backends {
			t.Run(name+"/"+v.name, func(t *testing.T) { checkGradients(t, be, v, 1000+uint64(k), probes) })
		}
		for name := range tr.w {
			checked[group(name)] = true
		}
	}
	want := []string{"action", "bias", "block", "blocks", "category", "copy", "decoder", "flat", "gate", "geo", "inners", "kind",
		"place", "profile", "time", "user"}
	if got := slices.Sorted(maps.Keys(checked)); !slices.Equal(got, want) {
		t.Errorf("groups of variables %v, want %v", got, want)
	}
}

func checkGradients(t *testing.T, be compute.Backend, v variant, seed uint64, probes []probe) {
	t.Helper()
	tr := newTrial(t, be, v, seed)
	got := tr.gradients(slices.Sorted(maps.Keys(tr.w)))
	for _, p := range probes {
		along, length := 0.0, 0.0
		for i, g := range got[p.name] {
			along += g * p.direction[i]
			length += g * g
		}
		if e := math.Abs(along - p.want); !(e <= 1e-4*math.Sqrt(length)+1e-6) {
			t.Errorf("%s: slope %.7g by the graph, %.7g by differences; the gradient's length is %.3g", p.name, along, p.want, math.Sqrt(length))
		}
	}
	for name, g := range got {
		if !slices.ContainsFunc(g, func(x float64) bool { return x != 0 }) {
			t.Errorf("%s: the gradient is zero everywhere", name)
		}
	}
}

// group is the first part of a variable's path.
func group(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}
