// Package decoder is a pre-norm Llama-family decoder as a GoMLX graph: RMSNorm,
// rotary positions, grouped-query attention, SwiGLU, no biases. One Config
// covers Llama-2 and Qwen3 blocks, which differ by KVHeads, QKNorm, NormEps and
// RopeTheta only. It maps embeddings to hidden states and knows nothing of
// tokens, places or losses.
//
// Axes: B batch, T tokens of a sequence, S new tokens of a cached step, P cached
// tokens (a bucket), K keys seen by a query (T or P+S), D hidden size (Config.Dim),
// H query heads, KVH key/value heads, G = H/KVH, hd head size, F = Config.FFN.
// Shapes are static: one compiled graph for each distinct (B, T) or (B, S, P),
// so callers bucket their lengths.
//
// Variables live under the scope given by the caller and are named as Hugging
// Face Llama and Qwen3 checkpoints name them, with "layers.3" written "layers_3":
//
//	layers_N/input_layernorm                    [D]
//	layers_N/self_attn/{q,k,v}_proj             [D, H*hd], [D, KVH*hd] twice
//	layers_N/self_attn/{q,k}_norm               [hd], with QKNorm only
//	layers_N/self_attn/o_proj                   [H*hd, D]
//	layers_N/post_attention_layernorm           [D]
//	layers_N/mlp/{gate,up}_proj                 [D, F]
//	layers_N/mlp/down_proj                      [F, D]
//	norm                                        [D]
//
// Hugging Face stores a projection as [out, in]; here it is [in, out], so an
// export transposes every *_proj and replaces "layers_N/" by "model.layers.N."
// (the other slashes by dots, ".weight" at the end). The rotary convention is
// the same (halves of a head, not neighbours), so nothing else is permuted.
//
// Promises, all under test: equal to a float64 oracle to 1e-4; no output depends
// on a later token or on a masked one; rows of a batch do not see each other; a
// query that may see nothing gives finite values; cached decoding equals
// recomputation. Graph building panics on wrong shapes, as GoMLX does; every
// other failure is an error from Config.Validate.
package decoder

import (
	"errors"
	"fmt"
)

// ErrConfig is wrapped by every error of Config.Validate.
var ErrConfig = errors.New("bad decoder config")

// Config is the shape of a decoder. The yaml names are those of Hugging Face
// config.json files, shortened to the words used here.
type Config struct {
	Layers    int     `yaml:"layers"`     // num_hidden_layers
	Dim       int     `yaml:"dim"`        // hidden_size
	Heads     int     `yaml:"heads"`      // num_attention_heads
	KVHeads   int     `yaml:"kv_heads"`   // num_key_value_heads; 0 means Heads
	HeadDim   int     `yaml:"head_dim"`   // head_dim; 0 means Dim/Heads
	FFN       int     `yaml:"ffn"`        // intermediate_size
	RopeTheta float64 `yaml:"rope_theta"` // base of the rotary wavelengths; Llama-2 1e4, Qwen3 1e6
	NormEps   float64 `yaml:"norm_eps"`   // rms_norm_eps
	QKNorm    bool    `yaml:"qk_norm"`    // RMSNorm of each query and key head before the rotation (Qwen3)
	Dropout   float64 `yaml:"dropout"`    // of each sub-layer's output before it joins the residual, in training
}

// Default returns the small decoder of the public data sets (paper: 2 layers).
func Default() Config {
	return Config{Layers: 2, Dim: 128, Heads: 4, KVHeads: 4, FFN: 344, RopeTheta: 10_000, NormEps: 1e-6, Dropout: 0.1}
}

// headDim returns the size of one head.
func (c Config) headDim() int {
	if c.HeadDim > 0 {
		return c.HeadDim
	}
	return c.Dim / c.Heads
}

// kvHeads returns the number of key/value heads.
func (c Config) kvHeads() int {
	if c.KVHeads > 0 {
		return c.KVHeads
	}
	return c.Heads
}

// CacheShape returns the size of one layer's KV of one sequence of p tokens:
// [kvHeads, p, headDim].
func (c Config) CacheShape(p int) [3]int { return [3]int{c.kvHeads(), p, c.headDim()} }

// Validate returns an error that wraps ErrConfig, names the field and
// quotes both numbers of a conflict.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	switch {
	case c.Layers < 1 || c.Layers > 1000:
		return bad("layers is %d, want 1 to 1000", c.Layers)
	case c.Dim < 1 || c.Dim > 1<<16:
		return bad("dim is %d, want 1 to %d", c.Dim, 1<<16)
	case c.Heads < 1 || c.Heads > c.Dim:
		return bad("heads is %d, want 1 to dim, which is %d", c.Heads, c.Dim)
	case c.KVHeads < 0 || c.Heads%c.kvHeads() != 0:
		return bad("heads %d is not a multiple of kv_heads %d", c.Heads, c.KVHeads)
	case c.HeadDim < 0 || c.HeadDim > 1<<12:
		return bad("head_dim is %d, want 0 (dim/heads) to %d", c.HeadDim, 1<<12)
	case c.HeadDim == 0 && c.Dim%c.Heads != 0:
		return bad("dim %d is not a multiple of heads %d; set head_dim or change one", c.Dim, c.Heads)
	case c.headDim()%2 != 0:
		return bad("head size %d (dim %d, heads %d) is odd; the rotation needs pairs", c.headDim(), c.Dim, c.Heads)
	case c.FFN < 1 || c.FFN > 1<<20:
		return bad("ffn is %d, want 1 to %d", c.FFN, 1<<20)
	case !(c.RopeTheta > 1 && c.RopeTheta <= 1e12):
		return bad("rope_theta is %g, want more than 1 and at most 1e12", c.RopeTheta)
	case !(c.NormEps > 0 && c.NormEps <= 0.1):
		return bad("norm_eps is %g, want more than 0 and at most 0.1", c.NormEps)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return bad("dropout is %g, want at least 0 and less than 1", c.Dropout)
	}
	return nil
}

// projections returns the weights of one layer's matrix products.
func (c Config) projections() int {
	return 2*c.Dim*(c.Heads+c.kvHeads())*c.headDim() + 3*c.Dim*c.FFN
}

// Params returns the number of learned values.
func (c Config) Params() int {
	layer := c.projections() + 2*c.Dim
	if c.QKNorm {
		layer += 2 * c.headDim()
	}
	return c.Layers*layer + c.Dim
}

// FLOPs estimates the floating-point operations of the forward pass of one token
// that attends to keys tokens: two for each weight of a matrix product plus the
// two attention products. Training costs three times as much. A masked square of
// T tokens is computed whole, so keys is T there, not T/2.
func (c Config) FLOPs(keys int) float64 {
	return float64(c.Layers) * (2*float64(c.projections()) + 4*float64(keys)*float64(c.Heads*c.headDim()))
}
