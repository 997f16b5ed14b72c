package beam

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
)

var _ Trie = (*index.Trie)(nil)

// toy builds a hierarchical index over places scattered in and around a town.
func toy(seed uint64, places int, km float64) (*index.Index, error) {
	rng := rand.New(rand.NewPCG(seed, 4))
	list, visits := make([]poi.Place, places), make([]int64, places)
	for i := range list {
		list[i] = poi.Place{ID: fmt.Sprint("p", i), Lat: 45 + 0.1*rng.Float64(), Lng: 5 + 0.1*rng.Float64(), Closed: rng.IntN(8) == 0}
		visits[i] = rng.Int64N(20)
	}
	return index.Build(list, visits, index.Options{Mode: index.Hier, SizeKM: km})
}

// logProbs draws the answers of a network: blocks, then inners after each block.
// A coarse grid of values makes ties common.
type logProbs struct {
	blocks []float32
	inners map[int32][]float32
}

func draw(t *rapid.T, ix *index.Index) logProbs {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "weights"), 5))
	steps := rapid.SampledFrom([]int{2, 5, 1 << 20}).Draw(t, "steps")
	list := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = -8 * float32(rng.IntN(steps)) / float32(steps)
		}
		return out
	}
	p := logProbs{blocks: list(ix.NumBlocks()), inners: map[int32][]float32{}}
	for b := range int32(ix.NumBlocks()) {
		p.inners[b] = list(ix.MaxInner())
	}
	return p
}

func (p logProbs) search(t Trie, w Width) []Hypothesis {
	blocks := Blocks(p.blocks, t, w.Blocks)
	inners := make([][]float32, len(blocks))
	for i, b := range blocks {
		inners[i] = p.inners[b]
	}
	return Join(p.blocks, blocks, inners, t, w.Inners)
}

// exhaustive enumerates every pair of the trie.
func (p logProbs) exhaustive(t *index.Trie) (out []Hypothesis) {
	for b := range int32(len(p.blocks)) {
		for in := range int32(len(p.inners[b])) {
			if t.Has(b, in) {
				out = append(out, Hypothesis{b, in, float64(p.blocks[b]) + float64(p.inners[b][in])})
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].LogProb > out[j].LogProb })
	return out
}

func drawIndex(t *rapid.T) *index.Index {
	ix, err := toy(rapid.Uint64().Draw(t, "places seed"), rapid.IntRange(1, 60).Draw(t, "places"), rapid.SampledFrom([]float64{1, 3, 30}).Draw(t, "km"))
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// drawTrie draws the whole index or a part of it.
func drawTrie(t *rapid.T, ix *index.Index) *index.Trie {
	if n := rapid.IntRange(1, 4).Draw(t, "keep one of"); n > 1 {
		return ix.Restrict(func(p int32) bool { return int(p)%n == 0 })
	}
	return ix.Trie()
}

func TestWideBeamEqualsEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := drawIndex(t)
		p, trie := draw(t, ix), drawTrie(t, ix)
		got := p.search(trie, Width{Blocks: ix.NumBlocks() + 3, Inners: ix.MaxInner() + 3})
		want := p.exhaustive(trie)
		if len(got) != trie.Len() || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("beam %v\nenumeration %v", got, want)
		}
		for _, h := range got {
			if _, ok := ix.POI(h.Block, h.Inner); !ok {
				t.Fatalf("answer %v is no open place", h)
			}
		}
	})
}

// TestNarrowBeam: a narrow beam gives some of the answers of the full one, in the
// same order and with the same numbers; those of its best block are the best
// there; a narrower width gives a subset.
func TestNarrowBeam(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ix := drawIndex(t)
		p, trie := draw(t, ix), drawTrie(t, ix)
		w := Width{Blocks: rapid.IntRange(1, 8).Draw(t, "blocks"), Inners: rapid.IntRange(1, 8).Draw(t, "inners")}
		full, got := p.exhaustive(trie), p.search(trie, w)
		if len(got) > w.Blocks*w.Inners || len(got) == 0 && trie.Len() > 0 {
			t.Fatalf("%d answers of a beam of %+v over %d pairs", len(got), w, trie.Len())
		}
		if !subsequence(got, full) {
			t.Fatalf("the beam's answers %v are not in the order of all, %v", got, full)
		}
		kept := map[int32]int{}
		for _, h := range got {
			kept[h.Block]++
		}
		blocks := Blocks(p.blocks, trie, w.Blocks)
		if len(blocks) != min(w.Blocks, len(trie.Blocks())) || len(kept) != len(blocks) {
			t.Fatalf("%d blocks chosen, answers from %d, width %d, trie %d", len(blocks), len(kept), w.Blocks, len(trie.Blocks()))
		}
		for _, b := range blocks {
			if want := min(w.Inners, len(trie.Inners(b))); kept[b] != want {
				t.Fatalf("block %d gave %d answers, want %d", b, kept[b], want)
			}
			i := 0
			for _, h := range full { // the best of each block, in order
				if h.Block == b && i < kept[b] && !slices.Contains(got, h) {
					t.Fatalf("%v is among the best %d of its block, but not in %v", h, kept[b], got)
				} else if h.Block == b {
					i++
				}
			}
		}
		wider := p.search(trie, Width{Blocks: w.Blocks + 1, Inners: w.Inners + 1})
		if !subsequence(got, wider) || !slices.Equal(blocks, Blocks(p.blocks, trie, w.Blocks+1)[:len(blocks)]) {
			t.Fatalf("a wider beam lost answers: %v, then %v", got, wider)
		}
	})
}

// subsequence reports whether all of part occurs in whole, in this order.
func subsequence(part, whole []Hypothesis) bool {
	for _, h := range whole {
		if len(part) > 0 && part[0] == h {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// fixed is a trie by hand.
type fixed map[int32][]int32

func (f fixed) Inners(b int32) []int32 { return f[b] }
func (f fixed) Blocks() []int32 {
	out := make([]int32, 0, len(f))
	for b := range f {
		out = append(out, b)
	}
	slices.Sort(out)
	return out
}

func TestByHand(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	trie := fixed{0: {0, 1}, 1: {0, 2}, 3: {1}}
	even := [][]float32{{-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}}
	for _, c := range []struct {
		name    string
		blocks  []float32
		inners  [][]float32
		w       Width
		chosen  []int32
		answers []Hypothesis
	}{
		{"ties go to smaller tokens", []float32{-1, -1, 0, -1}, even, Width{2, 1}, []int32{0, 1}, []Hypothesis{{0, 0, -2}, {1, 0, -2}}},
		{"a block without places is skipped", []float32{-5, -4, 0, -3}, even, Width{1, 9}, []int32{3}, []Hypothesis{{3, 1, -4}}},
		{"fewer blocks than the width", []float32{-1, -2, 0, -3}, even, Width{9, 9}, []int32{0, 1, 3},
			[]Hypothesis{{0, 0, -2}, {0, 1, -2}, {1, 0, -3}, {1, 2, -3}, {3, 1, -4}}},
		{"an inner that does not exist is never an answer", []float32{-9, 0, 0, -9}, [][]float32{{-3, 0, -4}}, Width{1, 2}, []int32{1},
			[]Hypothesis{{1, 0, -3}, {1, 2, -4}}},
		{"NaN blocks come last", []float32{nan, -1, 0, nan}, [][]float32{{-1, -1, -2}, {-1, -1, -1}}, Width{2, 9}, []int32{1, 0},
			[]Hypothesis{{1, 0, -2}, {1, 2, -3}, {0, 0, math.Inf(-1)}, {0, 1, math.Inf(-1)}}},
		{"NaN inners come last", []float32{-9, -1, 0, -2}, [][]float32{{nan, 0, -7}, {nan, -1, nan}}, Width{2, 9}, []int32{1, 3},
			[]Hypothesis{{3, 1, -3}, {1, 2, -8}, {1, 0, math.Inf(-1)}}},
		{"minus infinity is a value", []float32{inf, inf, 0, inf}, even, Width{2, 1}, []int32{0, 1},
			[]Hypothesis{{0, 0, math.Inf(-1)}, {1, 0, math.Inf(-1)}}},
		{"tokens beyond the network's vocabulary do not exist", []float32{-1, -2}, [][]float32{{-1}, {-1}}, Width{9, 9}, []int32{0, 1},
			[]Hypothesis{{0, 0, -2}, {1, 0, -3}}},
	} {
		chosen := Blocks(c.blocks, trie, c.w.Blocks)
		if !slices.Equal(chosen, c.chosen) {
			t.Errorf("%s: blocks %v, want %v", c.name, chosen, c.chosen)
			continue
		}
		if got := Join(c.blocks, chosen, c.inners, trie, c.w.Inners); !reflect.DeepEqual(got, c.answers) {
			t.Errorf("%s: answers %v, want %v", c.name, got, c.answers)
		}
	}
	if got := Join(nil, Blocks(nil, fixed{}, 3), nil, fixed{}, 3); len(got) != 0 {
		t.Errorf("an empty trie gives %v", got)
	}
}

func TestWidthValidate(t *testing.T) {
	for _, c := range []struct {
		w  Width
		ok bool
	}{
		{Width{10, 10}, true}, {Width{1, 1}, true}, {Width{1 << 10, 1 << 10}, true}, {Width{1, 1 << 20}, true},
		{Width{0, 10}, false}, {Width{10, 0}, false}, {Width{-1, -1}, false}, {Width{1 << 10, 1<<10 + 1}, false},
		{Width{1 << 32, 1 << 32}, false}, {Width{math.MaxInt, 2}, false}, {Width{1 << 21, 1}, false},
	} {
		err := c.w.Validate()
		if (err == nil) != c.ok {
			t.Errorf("%+v: error %v, want ok %v", c.w, err, c.ok)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(c.w.Blocks)) {
			t.Errorf("%+v: the error does not quote the value: %v", c.w, err)
		}
	}
}
