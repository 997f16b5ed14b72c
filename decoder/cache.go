package decoder

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// StepInputs of Step. All fields but Bias are required.
type StepInputs struct {
	X         *Node // [B, S, D] float, embeddings of the new tokens
	Positions *Node // [B, S] int32
	// Cache has one KV a layer, [B, KVH, P, hd] or, shared by all rows, [1, KVH, P, hd].
	Cache []KV
	// Mask [B, S, P+S] bool (query, key): keys are the P cached tokens, then the S
	// new ones. It hides the unused tail of the bucket P, and says which new tokens
	// see each other: lower triangle for a continuation, diagonal for the
	// candidates of a beam, which must not.
	Mask *Node
	Bias *Node // [B, H, S, P+S] or [B, 1, S, P+S] float, added to the scaled scores; nil means none
}

// Step runs S new tokens against a cache and returns their final-normed hidden
// states [B, S, D] and their own KV, [B, KVH, S, hd] a layer. The cache itself
// is not changed: whoever keeps it writes the new entries after its valid ones
// and lengthens the mask, so a beam may try many continuations of one cache.
func Step(s *model.Scope, c Config, in StepInputs) (*Node, []KV) {
	b, n := batchAndLength(c, in.X, in.Positions)
	if len(in.Cache) != c.Layers {
		panic(fmt.Errorf("decoder: cache of %d layers for a decoder of %d", len(in.Cache), c.Layers))
	}
	in.Cache[0].K.AssertRank(4)
	size := in.Cache[0].K.Shape().Dimensions[2]
	in.Mask.AssertDims(b, n, size+n)
	past := make([]KV, c.Layers)
	for i, kv := range in.Cache {
		past[i] = KV{K: c.shared(kv.K, b, size), V: c.shared(kv.V, b, size)}
	}
	return newPass(s, c, in.X, in.Positions, in.Mask, in.Bias).run(in.X, past)
}

// shared checks a cache entry and repeats a shared one for b rows.
func (c Config) shared(x *Node, b, size int) *Node {
	x.AssertDims(-1, c.kvHeads(), size, c.headDim())
	if rows := x.Shape().Dimensions[0]; rows == 1 && b > 1 {
		return BroadcastToDims(x, b, c.kvHeads(), size, c.headDim())
	}
	x.AssertDims(b, c.kvHeads(), size, c.headDim())
	return x
}

// Append returns the cache with the entries of next after it, [B, KVH, P+S, hd],
// for further steps within the same graph. A cache shared by all rows is
// repeated to the rows of next. Across graphs, the caller copies the entries
// into its bucket instead.
func Append(cache, next []KV) []KV {
	join := func(a, b *Node) *Node {
		if rows := b.Shape().Dimensions[0]; a.Shape().Dimensions[0] == 1 && rows > 1 {
			dims := a.Shape().Dimensions
			a = BroadcastToDims(a, rows, dims[1], dims[2], dims[3])
		}
		return Concatenate([]*Node{a, b}, 2)
	}
	out := make([]KV, len(cache))
	for i := range cache {
		out[i] = KV{K: join(cache[i].K, next[i].K), V: join(cache[i].V, next[i].V)}
	}
	return out
}
