package decoder_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/whereto/whereto/decoder"
	"github.com/whereto/whereto/internal/testkit"
)

func TestValidate(t *testing.T) {
	if err := decoder.Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for _, tc := range []struct {
		name   string
		change func(*decoder.Config)
		words  []string // that the message must hold
	}{
		{"no layer", func(c *decoder.Config) { c.Layers = 0 }, []string{"layers", "0"}},
		{"no size", func(c *decoder.Config) { c.Dim = 0 }, []string{"dim", "0"}},
		{"more heads than values", func(c *decoder.Config) { c.Heads = 200 }, []string{"heads", "200", "128"}},
		{"unequal groups", func(c *decoder.Config) { c.KVHeads = 3 }, []string{"heads 4", "kv_heads 3"}},
		{"negative groups", func(c *decoder.Config) { c.KVHeads = -1 }, []string{"kv_heads -1"}},
		{"broken head", func(c *decoder.Config) { c.Dim = 130 }, []string{"dim 130", "heads 4", "head_dim"}},
		{"odd head", func(c *decoder.Config) { c.HeadDim = 7 }, []string{"7", "odd"}},
		{"negative head", func(c *decoder.Config) { c.HeadDim = -2 }, []string{"head_dim", "-2"}},
		{"no feed-forward", func(c *decoder.Config) { c.FFN = 0 }, []string{"ffn", "0"}},
		{"flat rotation", func(c *decoder.Config) { c.RopeTheta = 1 }, []string{"rope_theta", "1"}},
		{"no epsilon", func(c *decoder.Config) { c.NormEps = 0 }, []string{"norm_eps", "0"}},
		{"everything dropped", func(c *decoder.Config) { c.Dropout = 1 }, []string{"dropout", "1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := decoder.Default()
			tc.change(&c)
			err := c.Validate()
			if !errors.Is(err, decoder.ErrConfig) {
				t.Fatalf("error %v, want one that wraps ErrConfig", err)
			}
			for _, word := range tc.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("message %q lacks %q", err, word)
				}
			}
		})
	}
}

// Counts against published models, whose sums are known, less the embeddings
// and the output layer, which are not ours.
func TestParams(t *testing.T) {
	llama2 := decoder.Config{Layers: 32, Dim: 4096, Heads: 32, FFN: 11008}
	if got, want := llama2.Params(), 6_738_415_616-2*32000*4096; got != want {
		t.Errorf("Llama-2 7B: %d, want %d", got, want)
	}
	qwen3 := decoder.Config{Layers: 28, Dim: 1024, Heads: 16, KVHeads: 8, HeadDim: 128, FFN: 3072, QKNorm: true}
	if got, want := qwen3.Params(), 596_049_920-151936*1024; got != want {
		t.Errorf("Qwen3 0.6B: %d, want %d", got, want)
	}
	c := tiny()
	c.QKNorm = true
	if sum := initialized(t, c, 1).NumParameters(); sum != c.Params() {
		t.Errorf("the graph has %d parameters, Params says %d", sum, c.Params())
	}
}

// By hand: one layer, D=2, one head of 2, F=3: weights 4*4 + 3*6 = 34, two
// operations each; 5 keys: 2 products of 2*2*5.
func TestFLOPs(t *testing.T) {
	c := decoder.Config{Layers: 1, Dim: 2, Heads: 1, FFN: 3}
	if got := c.FLOPs(5); got != 2*34+40 {
		t.Errorf("%g operations, want 108", got)
	}
	if got := (decoder.Config{Dim: 8, Heads: 4, KVHeads: 2}).CacheShape(16); got != [3]int{2, 16, 2} {
		t.Errorf("cache of %v, want [2 16 2]", got)
	}
}

// initialized builds a decoder on the "go" backend and returns its fresh store.
func initialized(t *testing.T, c decoder.Config, seed int64) *model.Store {
	t.Helper()
	st := model.NewStore()
	st.SetParam(model.ParamInitialSeed, seed)
	call(testkit.Backends(t)["go"], st, func(s *model.Scope, in []*Node) []*Node {
		return []*Node{decoder.Forward(s.At("decoder"), c, decoder.Inputs{X: in[0], Positions: in[1]})}
	}, floats(dtypes.Float32, make([]float64, c.Dim), 1, 1, c.Dim), tensors.FromFlatDataAndDimensions([]int32{0}, 1, 1))
	return st
}

func TestFreshWeights(t *testing.T) {
	c := decoder.Default()
	c.QKNorm, c.HeadDim = true, c.Dim/c.Heads
	one, again, other := initialized(t, c, 1), initialized(t, c, 1), initialized(t, c, 2)
	dims := weightDims(c)
	if one.NumVariables() != len(dims) {
		t.Errorf("%d variables, want %d", one.NumVariables(), len(dims))
	}
	value := func(st *model.Store, name string) []float64 {
		v := st.GetVariable("/decoder/" + name)
		if v == nil {
			t.Fatalf("no variable %s", name)
		}
		return values(v.MustValue())
	}
	for name, d := range dims {
		got := value(one, name)
		if furthest(got, value(again, name)) != 0 {
			t.Errorf("%s: the same seed gives other values", name)
		}
		if len(d) == 1 {
			if furthest(got, value(other, name)) != 0 || got[0] != 1 {
				t.Errorf("%s: a norm starts at %g, want 1", name, got[0])
			}
			continue
		}
		if furthest(got, value(other, name)) == 0 {
			t.Errorf("%s: another seed gives the same values", name)
		}
		std := 0.02 // sqrt(2 * 2 layers) = 2
		if strings.HasSuffix(name, "o_proj") || strings.HasSuffix(name, "down_proj") {
			std = 0.01
		}
		n := float64(len(got))
		mean, square := 0.0, 0.0
		for _, v := range got {
			mean += v / n
			square += v * v / n
		}
		if square < 0.9*std*std || square > 1.1*std*std || mean > 0.05*std || mean < -0.05*std {
			t.Errorf("%s: mean %g, mean square %g, want 0 and %g", name, mean, square, std*std)
		}
	}
}
