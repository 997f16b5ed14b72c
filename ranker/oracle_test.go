package ranker

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/training"
)

// oracle computes the network option by option in float64, from the formulas.
type oracle struct {
	m *Model
	w map[string][]float64
	b training.Batch
}

func (o *oracle) row(table string, at int32, width int) []float64 {
	return o.w[table][int(at)*width : (int(at)+1)*width]
}

// times is x*W for W [len(x), out].
func (o *oracle) times(name string, x []float64, out int) []float64 {
	w, y := o.w[name], make([]float64, out)
	if len(w) != len(x)*out {
		panic(fmt.Sprintf("%s has %d weights for %d inputs and %d outputs", name, len(w), len(x), out))
	}
	for i, v := range x {
		for j := range y {
			y[j] += v * w[i*out+j]
		}
	}
	return y
}

func plus(xs ...[]float64) []float64 {
	out := slices.Clone(xs[0])
	for _, x := range xs[1:] {
		for i, v := range x {
			out[i] += v
		}
	}
	return out
}

func siluOf(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / (1 + math.Exp(-v))
	}
	return out
}

func product(x, y []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] * y[i]
	}
	return out
}

func (o *oracle) ints(input int) []int32     { return o.b.Inputs[input].Data.([]int32) }
func (o *oracle) floats(input int) []float32 { return o.b.Inputs[input].Data.([]float32) }

// logit of option j of request i.
func (o *oracle) logit(i, j int) float64 {
	c, d := o.m.Config, o.m.Config.Dim
	options := o.b.Inputs[inOption].Dims[1]
	request := o.ints(inRequest)[i*requestFields : (i+1)*requestFields]
	at := i*options + j
	option := o.ints(inOption)[at*optionFields : (at+1)*optionFields]
	all := slices.Concat(request, option)
	logit := float64(o.m.Prior)
	for a, x := range all {
		logit += o.w["first"][x]
		for _, y := range all[:a] { // every pair once
			if c.Interactions {
				for k, v := range o.row("embedding", x, d) {
					logit += v * o.row("embedding", y, d)[k]
				}
			}
		}
	}
	var x, own []float64
	for _, f := range option {
		x = append(x, o.row("embedding", f, d)...)
	}
	width := len(o.m.Mean)
	for k, v := range o.floats(inDense)[at*width : (at+1)*width] {
		x = append(x, max(-6, min(6, (float64(v)-float64(o.m.Mean[k]))*float64(o.m.Scale[k]))))
	}
	if c.Attention {
		sum, as := o.attention(i, j, request, option)
		x = append(append(x, sum...), product(sum, as)...)
	}
	for _, f := range request {
		own = append(own, o.row("embedding", f, d)...)
	}
	h := plus(o.times("layer0", x, c.Hidden[0]), o.times("layer0_request", own, c.Hidden[0]))
	for l, width := range c.Hidden {
		if l > 0 {
			h = o.times(fmt.Sprintf("layer%d", l), h, width)
		}
		h = siluOf(plus(h, o.w[fmt.Sprintf("layer%d_bias", l)]))
	}
	return logit + o.times("out", h, 1)[0] + o.w["out_bias"][0]
}

// attention returns the weighted sum of the recent visits and the option's vector.
func (o *oracle) attention(i, j int, request, option []int32) (sum, as []float64) {
	c, d, h := o.m.Config, o.m.Config.Dim, o.m.Config.History
	options := o.b.Inputs[inOption].Dims[1]
	e := func(rows ...int32) []float64 {
		out := make([]float64, d)
		for _, r := range rows {
			out = plus(out, o.row("embedding", r, d))
		}
		return out
	}
	as = slices.Concat(e(option[fieldPlace]), e(option[fieldCategory:fieldBlock]...), e(request[fieldHour]))
	sum = make([]float64, 3*d)
	here := o.floats(inAt)[2*(i*options+j):]
	for k := range h {
		past := o.ints(inPast)[(i*h+k)*pastRows : (i*h+k+1)*pastRows]
		at := o.floats(inPastAt)[(i*h+k)*pastNumbers:]
		if past[pastPlace] == 0 {
			continue
		}
		visit := slices.Concat(e(past[pastPlace]), e(past[pastCategory:pastHour]...), e(past[pastHour], past[pastType]))
		km := math.Hypot(float64(at[pastX])-float64(here[0]), float64(at[pastY])-float64(here[1]))
		gap := []float64{math.Log1p(km) / 4, float64(at[pastAge]) / 4, float64(at[pastClock])}
		z := plus(o.times("attention_product", product(visit, as), c.AttentionHidden), o.times("attention_visit", visit, c.AttentionHidden),
			o.times("attention_option", as, c.AttentionHidden), o.times("attention_gap", gap, c.AttentionHidden), o.w["attention_bias"])
		weight := o.times("attention_out", siluOf(z), 1)[0] + o.w["attention_out_bias"][0]
		for n, v := range visit {
			sum[n] += weight * v / math.Sqrt(float64(h))
		}
	}
	return sum, as
}

// loss is the mean binary cross entropy over real options.
func (o *oracle) loss() float64 {
	dims, n, sum := o.b.Inputs[inLabel].Dims, 0.0, 0.0
	for i := range dims[0] {
		for j := range dims[1] {
			at := i*dims[1] + j
			if o.floats(inWeight)[at] == 0 {
				continue
			}
			p := 1 / (1 + math.Exp(-o.logit(i, j)))
			if o.floats(inLabel)[at] == 0 {
				p = 1 - p
			}
			sum, n = sum-math.Log(p), n+1
		}
	}
	return sum / n
}

// variants are the whole network and each part taken out.
func variants() map[string]Config {
	out := map[string]Config{}
	for name, change := range map[string]func(c *Config){
		"whole": func(*Config) {}, "no attention": func(c *Config) { c.Attention = false },
		"no interactions": func(c *Config) { c.Interactions = false }, "one layer": func(c *Config) { c.Hidden = []int{7} },
		"no position": func(c *Config) { c.Position = PositionOff },
	} {
		c := tiny()
		change(&c)
		out[name] = c
	}
	return out
}

func TestForwardEqualsOracle(t *testing.T) {
	d, feed := town(1, 6, 12, 12)
	eachBackend(t, func(t *testing.T, be compute.Backend) {
		for name, c := range variants() {
			fit := mustNew(t, d, feed, withExtra(t, d, feed), c)
			store := fit.NewStore()
			o := &oracle{m: fit.model, w: drawn(t, be, fit, store), b: first(t, fit)}
			exec := model.MustNewExec(be, store, func(s *model.Scope, in []*Node) []*Node {
				loss, aux := fit.model.Loss(s, in, ScalarZero(in[0].Graph(), dtypes.Float32))
				return []*Node{fit.model.Logits(s, in), loss, aux[0]}
			})
			out := exec.MustCall(tensorsOf(o.b.Inputs)...)
			logits, weight := tensors.MustCopyFlatData[float32](out[0]), o.floats(inWeight)
			dims := o.b.Inputs[inLabel].Dims
			largest, predicted, n := 0.0, 0.0, 0.0
			for at, got := range logits {
				if weight[at] == 0 {
					continue
				}
				want := o.logit(at/dims[1], at%dims[1])
				largest = max(largest, math.Abs(want))
				if math.Abs(float64(got)-want) > 1e-4*(1+math.Abs(want)) {
					t.Errorf("%s, option %d: logit %v, want %v", name, at, got, want)
				}
				predicted, n = predicted+1/(1+math.Exp(-want)), n+1
			}
			if largest < 1 || n == float64(len(logits)) {
				t.Errorf("%s: logits up to %v, %v options of %d: the case tests little", name, largest, n, len(logits))
			}
			loss, mean := tensors.MustCopyFlatData[float32](out[1])[0], tensors.MustCopyFlatData[float32](out[2])[0]
			if math.Abs(float64(loss)-o.loss()) > 1e-4 || math.Abs(float64(mean)-predicted/n) > 1e-5 {
				t.Errorf("%s: loss %v, want %v; predicted %v, want %v", name, loss, o.loss(), mean, predicted/n)
			}
			exec.Finalize()
		}
	})
}

// The gradient by every variable equals finite differences of the oracle, along
// one random direction and by single elements.
func TestGradientsEqualFiniteDifferences(t *testing.T) {
	d, feed := town(2, 5, 10, 8)
	fit := mustNew(t, d, feed, withExtra(t, d, feed), tiny())
	b := first(t, fit)
	for name, be := range testkit.Backends(t) {
		store := fit.NewStore()
		o := &oracle{m: fit.model, w: drawn(t, be, fit, store), b: b}
		names := slices.Sorted(maps.Keys(o.w))
		exec := model.MustNewExec(be, store, func(s *model.Scope, in []*Node) []*Node {
			g := in[0].Graph()
			store.SetTraining(g, true)
			loss, _ := fit.model.Loss(s, in, ScalarZero(g, dtypes.Float32))
			var by []*Node
			for _, n := range names {
				by = append(by, store.GetVariable("/ranker/"+n).NodeValue(g))
			}
			return Gradient(loss, by...)
		})
		rng := rand.New(rand.NewPCG(6, 6))
		for i, x := range exec.MustCall(tensorsOf(b.Inputs)...) {
			grad := tensors.MustCopyFlatData[float32](x)
			length := 0.0
			for _, v := range grad {
				length += float64(v) * float64(v)
			}
			if length = math.Sqrt(length); length == 0 {
				t.Errorf("%s, %s: the gradient is zero everywhere", name, names[i])
			}
			for probe := range 4 {
				direction := make([]float64, len(grad))
				direction[rng.IntN(len(grad))] = 1
				if probe == 0 {
					for k := range direction {
						direction[k] = rng.NormFloat64() / math.Sqrt(float64(len(grad)))
					}
				}
				want, got := o.slope(names[i], direction), 0.0
				for k, v := range grad {
					got += float64(v) * direction[k]
				}
				if math.Abs(got-want) > 1e-4*length+1e-6 {
					t.Errorf("%s, %s: slope %v, differences say %v; the gradient's length is %.3g", name, names[i], got, want, length)
				}
			}
		}
	}
}

// slope is the central difference of the loss along a direction of one variable.
func (o *oracle) slope(name string, direction []float64) float64 {
	const step = 1e-5
	w := o.w[name]
	old := slices.Clone(w)
	move := func(by float64) float64 {
		for i := range w {
			w[i] = old[i] + by*direction[i]
		}
		return o.loss()
	}
	up, down := move(step), move(-step)
	copy(w, old)
	return (up - down) / (2 * step)
}
