// Package beam searches the likeliest two-token answers of a generative index,
// block then inner (paper section 5.1.1: ten blocks, then ten inners in each),
// restricted to pairs that exist. It knows tokens and log-probabilities, not
// places or networks; answers come best first, ties by smaller tokens, so that
// equal inputs give equal answers.
package beam

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
)

// Trie says which token pairs exist.
type Trie interface {
	Blocks() []int32            // blocks with at least one inner
	Inners(block int32) []int32 // inners of a block
}

// Hypothesis is one answer.
type Hypothesis struct {
	Block, Inner int32
	LogProb      float64 // log P(block) + log P(inner | block)
}

// Width is the size of a beam.
type Width struct {
	Blocks int `yaml:"blocks"`
	Inners int `yaml:"inners"` // kept in each block
}

// Validate reports the first value out of range.
func (w Width) Validate() error {
	if w.Blocks < 1 || w.Inners < 1 || w.Blocks > 1<<20 || w.Inners > 1<<20/w.Blocks {
		return fmt.Errorf("beam of %d blocks with %d inners, want at least 1 each and at most %d in all", w.Blocks, w.Inners, 1<<20)
	}
	return nil
}

// Blocks returns the likeliest existing blocks; logProbs is indexed by block.
func Blocks(logProbs []float32, t Trie, n int) []int32 { return top(logProbs, t.Blocks(), n) }

// Join combines chosen blocks with the inner log-probabilities after each
// (inners[i] is indexed by inner token) into answers, best first; NaN counts as
// impossible.
func Join(blockLogProbs []float32, blocks []int32, inners [][]float32, t Trie, perBlock int) []Hypothesis {
	var out []Hypothesis
	for i, b := range blocks {
		for _, in := range top(inners[i], t.Inners(b), perBlock) {
			out = append(out, Hypothesis{b, in, orImpossible(float64(blockLogProbs[b]) + float64(inners[i][in]))})
		}
	}
	sort.Slice(out, func(i, j int) bool { return better(out[i], out[j]) })
	return out
}

func better(a, b Hypothesis) bool {
	switch {
	case a.LogProb != b.LogProb:
		return a.LogProb > b.LogProb
	case a.Block != b.Block:
		return a.Block < b.Block
	default:
		return a.Inner < b.Inner
	}
}

// orImpossible makes an order of numbers total: nothing compares with NaN.
func orImpossible(logProb float64) float64 {
	if math.IsNaN(logProb) {
		return math.Inf(-1)
	}
	return logProb
}

// top returns the n allowed tokens with the highest log-probability, NaN last. A list
// of few out of many is the common case, so no more than it is ever in order.
func top(logProbs []float32, allowed []int32, n int) []int32 {
	n = min(n, len(allowed))
	kept := make([]int32, 0, n)
	before := func(a, b int32) int {
		if x, y := orImpossible(float64(logProbs[a])), orImpossible(float64(logProbs[b])); x != y {
			return cmp.Compare(y, x)
		}
		return cmp.Compare(a, b)
	}
	if n > few {
		for _, a := range allowed {
			if int(a) < len(logProbs) {
				kept = append(kept, a)
			}
		}
		slices.SortFunc(kept, before)
		return kept[:min(n, len(kept))]
	}
	for _, a := range allowed {
		if int(a) >= len(logProbs) || len(kept) == n && (n == 0 || before(a, kept[n-1]) > 0) {
			continue
		}
		if len(kept) == n {
			kept = kept[:n-1]
		}
		at, _ := slices.BinarySearchFunc(kept, a, before)
		kept = slices.Insert(kept, at, a)
	}
	return kept
}

// few is up to how many tokens are found by inserting each where it belongs.
const few = 16
