package index

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTrieByHand(t *testing.T) {
	ix := mustBuild(t, Hier)
	if !slices.Equal(ix.Blocks(), []int32{0, 1}) || !slices.Equal(ix.Inners(0), []int32{0, 1}) || !slices.Equal(ix.Inners(1), []int32{0, 1, 2}) {
		t.Errorf("trie %v: %v, %v", ix.Blocks(), ix.Inners(0), ix.Inners(1))
	}
	food := ix.Restrict(func(p int32) bool { return ix.Places[p].Category == "food > bar" }) // a and c
	if !slices.Equal(food.Blocks(), []int32{1}) || food.Inners(0) != nil || !slices.Equal(food.Inners(1), []int32{0, 2}) {
		t.Errorf("bars: %v: %v, %v", food.Blocks(), food.Inners(0), food.Inners(1))
	}
	if ix.Restrict(nil) != ix.Trie() {
		t.Error("no restriction is not the whole trie")
	}
	for _, b := range []int32{-1, 2, 1 << 30} {
		if ix.Inners(b) != nil {
			t.Errorf("block %d has places", b)
		}
	}
	none := ix.RestrictTo([]int32{-1, 99})
	if none.Len() != 0 || none.Blocks() != nil || none.Inners(0) != nil {
		t.Errorf("positions that do not exist gave %v", none)
	}
	if cap(ix.Inners(0)) != 2 {
		t.Error("appending to the answer would overwrite the next block")
	}
}

func TestTrieEqualsBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{Mode: rapid.SampledFrom([]Mode{Hier, Flat, Hash}).Draw(t, "mode"), SizeKM: 5}
		ix, err := Build(drawPlaces(t), nil, opt)
		if err != nil {
			t.Fatal(err)
		}
		chosen := rapid.SliceOf(rapid.Int32Range(-1, int32(len(ix.Places)))).Draw(t, "positions")
		got := ix.Restrict(func(p int32) bool { return slices.Contains(chosen, p) })
		listed := ix.RestrictTo(chosen)
		var blocks []int32
		for b := range int32(ix.NumBlocks()) {
			var inners []int32
			for inner := range int32(ix.MaxInner()) {
				p, live := ix.POI(b, inner)
				want := live && slices.Contains(chosen, p)
				if want {
					inners = append(inners, inner)
				}
				if got.Has(b, inner) != want {
					t.Fatalf("Has(%d, %d) is not %v", b, inner, want)
				}
			}
			if len(inners) > 0 {
				blocks = append(blocks, b)
			}
			if !slices.Equal(got.Inners(b), inners) || !slices.Equal(listed.Inners(b), inners) {
				t.Fatalf("block %d: Restrict %v, RestrictTo %v, want %v", b, got.Inners(b), listed.Inners(b), inners)
			}
		}
		if !slices.Equal(got.Blocks(), blocks) || !slices.Equal(listed.Blocks(), blocks) {
			t.Fatalf("blocks: Restrict %v, RestrictTo %v, want %v", got.Blocks(), listed.Blocks(), blocks)
		}
	})
}
