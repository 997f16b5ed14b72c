package index

import "slices"

// Trie is the set of token pairs a beam may produce: for each block token the
// inner tokens that go with it. It holds live places only. It does not change
// after it is made.
type Trie struct {
	blocks []int32 // block tokens with at least one inner token, ascending
	starts []int32 // by block token, one more at the end
	inners []int32 // inner tokens of block b: inners[starts[b]:starts[b+1]], ascending
}

// Blocks returns the block tokens that have a place, ascending.
func (t *Trie) Blocks() []int32 { return t.blocks }

// Inners returns the inner tokens of a block, ascending; nil for a block without
// places. It takes constant time.
func (t *Trie) Inners(block int32) []int32 {
	if block < 0 || int(block) >= len(t.starts)-1 {
		return nil
	}
	from, to := t.starts[block], t.starts[block+1]
	if from == to {
		return nil
	}
	return t.inners[from:to:to]
}

// Has reports whether the pair is in the trie, in time logarithmic in the
// number of places of the block.
func (t *Trie) Has(block, inner int32) bool {
	_, ok := slices.BinarySearch(t.Inners(block), inner)
	return ok
}

// Len returns the number of pairs.
func (t *Trie) Len() int { return len(t.inners) }

// Trie returns the trie of all live places.
func (ix *Index) Trie() *Trie { return ix.live }

// Blocks returns the block tokens with a live place, ascending.
func (ix *Index) Blocks() []int32 { return ix.live.Blocks() }

// Inners returns the live inner tokens of a block, ascending; nil if it has none.
func (ix *Index) Inners(block int32) []int32 { return ix.live.Inners(block) }

// Restrict returns the trie of the live places that keep accepts, by position;
// nil accepts all. It asks once for every live place: for a small set that is
// known in advance RestrictTo is cheaper.
func (ix *Index) Restrict(keep func(p int32) bool) *Trie {
	if keep == nil {
		return ix.live
	}
	t := &Trie{starts: make([]int32, ix.NumBlocks()+1)}
	for b := range int32(ix.NumBlocks()) {
		for _, inner := range ix.live.Inners(b) {
			if keep(ix.at(b, inner)) {
				t.inners = append(t.inners, inner)
			}
		}
		t.close(b)
	}
	return t
}

// liveTrie returns the trie of all places that are not closed.
func (ix *Index) liveTrie() *Trie {
	closed := 0
	for i := range ix.Places {
		if ix.Places[i].Closed {
			closed++
		}
	}
	t := &Trie{starts: make([]int32, ix.NumBlocks()+1), inners: make([]int32, 0, len(ix.Places)-closed)}
	for b := range int32(ix.NumBlocks()) {
		for inner := range int32(ix.slotsOf(b)) {
			// Without tombstones there is no need to visit Places in random order.
			if closed == 0 || !ix.Places[ix.at(b, inner)].Closed {
				t.inners = append(t.inners, inner)
			}
		}
		t.close(b)
	}
	return t
}

// close ends block b after its inner tokens were appended.
func (t *Trie) close(b int32) {
	t.starts[b+1] = int32(len(t.inners))
	if t.starts[b+1] > t.starts[b] {
		t.blocks = append(t.blocks, b)
	}
}

// RestrictTo returns the trie of the live places among the positions given, in
// any order; positions that are not there and duplicates are ignored. It takes
// O(k log k) for k positions plus one pass over the block numbers.
func (ix *Index) RestrictTo(positions []int32) *Trie {
	pairs := make([]int64, 0, len(positions))
	for _, p := range positions {
		if b, inner := ix.Token(p); b >= 0 && !ix.Places[p].Closed {
			pairs = append(pairs, int64(b)<<32|int64(inner))
		}
	}
	slices.Sort(pairs)
	pairs = slices.Compact(pairs)
	t := &Trie{starts: make([]int32, ix.NumBlocks()+1), inners: make([]int32, 0, len(pairs))}
	for b := range int32(ix.NumBlocks()) {
		for i := len(t.inners); i < len(pairs) && int32(pairs[i]>>32) == b; i++ {
			t.inners = append(t.inners, int32(pairs[i]))
		}
		t.close(b)
	}
	return t
}
