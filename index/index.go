// Package index maps POIs to the tokens a decoder predicts, and back
// (Spacetime-GR, section 3.2.1, "geographic-aware hierarchical POI indexing").
//
// Vocabulary. A place has a position (its dense id: the place is Places[position])
// and a pair of tokens. In hier mode the block token says which block of
// an equal-area grid (geo.Grid, about 5 km) holds the place and the inner token
// which place of the block it is; both count from 0. Block tokens are dense, most
// visited block first; inner tokens are most visited place first and SHARED
// between blocks, so a vocabulary needs NumBlocks + MaxInner rows, not one a
// place. In flat mode there is one block, 0, and the inner token is the position.
// In hash mode, the ablation of the geographic index, a place has two tokens as in
// hier mode and all else that is said of blocks holds, but a block is a range of a
// hash of ids: as many blocks as the grid would have, about equally full, inner
// tokens in order of hash, and neither says where a place is or how popular.
// A tombstone is a place that has closed: it keeps position and tokens, which
// histories still need, but no lookup by token and no trie returns it.
//
// Promises. Position <-> (block, inner) is one-to-one. Update never changes the
// position or tokens of a place once given, and never gives them to another
// place. Build and Update are deterministic functions of their arguments. An
// Index does not change after it is made, so it may be read by many goroutines;
// the slices it returns belong to it and must not be written to.
//
// Failure. Errors wrap poi.ErrBadInput or poi.ErrEmpty and name the place, the
// value and what to do. Lookups of something that is not there return false or
// -1, never an error.
package index

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Mode says how a place becomes tokens.
type Mode string

// Modes of an index.
const (
	Hier Mode = "hier" // block token, then inner token: the paper's industrial setting
	Flat Mode = "flat" // one token a place: what the paper uses on the public data sets
	Hash Mode = "hash" // two tokens from a hash of the id: the paper's "traditional hashing index" (section 5.1.1)
)

// Hierarchical reports whether a place is two tokens, block and inner, for the
// network: in all modes but Flat.
func (m Mode) Hierarchical() bool { return m != Flat }

// MaxPlaces is the largest number of places, tombstones included.
const MaxPlaces = 1 << 28

// Options says how to build an index.
type Options struct {
	Mode Mode `yaml:"mode" json:"mode"` // Hier, Flat or Hash
	// SizeKM is the edge of a block in km; ignored in flat mode, and in hash mode it
	// says only how many blocks there are: as many as a grid of this size has.
	SizeKM float64 `yaml:"block_km" json:"block_km"`
}

// DefaultOptions returns the paper's setting: hierarchical, blocks of 5 km.
func DefaultOptions() Options { return Options{Mode: Hier, SizeKM: 5} }

// Validate returns an error wrapping poi.ErrBadInput for an unknown mode or a
// block size outside geo's limits.
func (o Options) Validate() error {
	switch o.Mode {
	case Flat:
		return nil
	case Hier, Hash:
		if err := (geo.Grid{SizeKM: o.SizeKM}).Validate(); err != nil {
			return fmt.Errorf("index options: %w: %w", poi.ErrBadInput, err)
		}
		return nil
	}
	return fmt.Errorf("index options: %w: mode %q is none of %q, %q and %q", poi.ErrBadInput, o.Mode, Hier, Flat, Hash)
}

// Index is the mapping. Make one with Build, Update or Load; the zero Index is
// not usable. The exported fields are for reading.
type Index struct {
	Mode   Mode
	SizeKM float64     // 0 in flat mode
	Places []poi.Place // by position; Closed marks tombstones

	ids idTable
	// Nil in flat mode, where position is token.
	block, inner []int32       // by position
	keys         []geo.BlockID // by block token; hier mode only
	byKey        []int32       // block tokens in ascending order of key; hier mode only
	cuts         []uint64      // by block token, where its range of hashes begins; hash mode only
	starts       []int32       // by block token, one more at the end: where its slots begin
	slots        []int32       // position of (block, inner) at starts[block]+inner
	live         *Trie

	once        sync.Once
	fingerprint string
}

// Token returns the tokens of the place at a position, tombstones included;
// (-1, -1) for a position that is not there. In flat mode block is 0 and inner
// the position.
func (ix *Index) Token(p int32) (block, inner int32) {
	if p < 0 || int(p) >= len(ix.Places) {
		return -1, -1
	}
	if ix.Mode == Flat {
		return 0, p
	}
	return ix.block[p], ix.inner[p]
}

// POI returns the position of the live place with these tokens, and false for a
// pair that no place has or that belongs to a tombstone.
func (ix *Index) POI(block, inner int32) (int32, bool) {
	if block < 0 || int(block) >= ix.NumBlocks() || inner < 0 || int(inner) >= ix.slotsOf(block) {
		return -1, false
	}
	p := ix.at(block, inner)
	if ix.Places[p].Closed {
		return -1, false
	}
	return p, true
}

// at returns the position of tokens known to be in range.
func (ix *Index) at(block, inner int32) int32 {
	if ix.Mode == Flat {
		return inner
	}
	return ix.slots[ix.starts[block]+inner]
}

// slotsOf returns how many inner tokens of a block were ever given.
func (ix *Index) slotsOf(block int32) int {
	if ix.Mode == Flat {
		return len(ix.Places)
	}
	return int(ix.starts[block+1] - ix.starts[block])
}

// Lookup returns the position of the place with an external id, tombstones
// included (see Places[p].Closed), and false if the id was never indexed.
func (ix *Index) Lookup(id string) (int32, bool) { return ix.ids.find(ix.Places, id) }

// NumBlocks returns the size of the block vocabulary: every block ever used; 1 in flat mode.
func (ix *Index) NumBlocks() int {
	if ix.Mode == Flat {
		return 1
	}
	return max(len(ix.keys), len(ix.cuts))
}

// MaxInner returns the size of the inner vocabulary: the most inner tokens any
// block has given, tombstones included.
func (ix *Index) MaxInner() int {
	most := 0
	for b := range ix.NumBlocks() {
		most = max(most, ix.slotsOf(int32(b)))
	}
	return most
}

// Vocabulary returns how many embedding rows the tokens need: NumBlocks +
// MaxInner, and just the number of places in flat mode.
func (ix *Index) Vocabulary() int {
	if ix.Mode == Flat {
		return len(ix.Places)
	}
	return ix.NumBlocks() + ix.MaxInner()
}

// Grid returns the block grid; its size is 0 in flat mode.
func (ix *Index) Grid() geo.Grid { return geo.Grid{SizeKM: ix.SizeKM} }

// BlockID returns the grid key of a block token, and geo.NoBlock for a token that
// is not there or where blocks are not places, in flat and hash mode.
func (ix *Index) BlockID(block int32) geo.BlockID {
	if block < 0 || int(block) >= len(ix.keys) {
		return geo.NoBlock
	}
	return ix.keys[block]
}

// BlockAt returns the token of the block that holds a point, and false if no
// place was ever indexed there or blocks are not places.
func (ix *Index) BlockAt(lat, lng float64) (int32, bool) {
	key := ix.Grid().Block(lat, lng)
	i, ok := slices.BinarySearchFunc(ix.byKey, key, func(b int32, key geo.BlockID) int {
		return cmp.Compare(ix.keys[b], key)
	})
	if !ok {
		return -1, false
	}
	return ix.byKey[i], true
}
