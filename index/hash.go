package index

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// idHash is the first 8 bytes of the SHA-256 of an external id, big-endian: a
// number that is the same on every machine and in every version, and that knows
// nothing of where a place is or how popular.
func idHash(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

// hashFresh gives the places beyond those of old their hash block, and returns
// their hashes. A first build cuts the hashes into as many blocks as the grid
// would have, of equal occupancy but for one place; an update keeps those cuts, so
// that the block of an id is settled for good, whether it comes early or late.
func (next *Index) hashFresh(old *Index) []uint64 {
	fresh := next.Places[len(old.Places):]
	hashes := make([]uint64, len(fresh))
	for i := range fresh {
		hashes[i] = idHash(fresh[i].ID)
	}
	next.cuts = old.cuts
	if len(next.cuts) == 0 {
		next.cuts = cutHashes(hashes, gridBlocks(next.Grid(), fresh))
	}
	for i, h := range hashes {
		next.block[len(old.Places)+i] = hashBlock(next.cuts, h)
	}
	return hashes
}

// hashBlock returns the block whose range of hashes holds h: the last that begins
// at or below it. The first begins at 0.
func hashBlock(cuts []uint64, h uint64) int32 {
	b, found := slices.BinarySearch(cuts, h)
	if found {
		return int32(b)
	}
	return int32(b - 1)
}

// cutHashes returns where each of n ranges of equal numbers of hashes begins. Equal
// hashes stay in one range, which may leave fewer than n.
func cutHashes(hashes []uint64, n int) []uint64 {
	sorted := slices.Clone(hashes)
	slices.Sort(sorted)
	cuts := []uint64{0} // the first range begins below every hash
	for b := 1; b < n; b++ {
		at := sorted[int(int64(b)*int64(len(sorted))/int64(n))]
		if at > max(cuts[len(cuts)-1], sorted[0]) {
			cuts = append(cuts, at)
		}
	}
	return cuts
}

// gridBlocks counts the blocks of a grid that hold a place.
func gridBlocks(grid geo.Grid, places []poi.Place) int {
	seen := map[geo.BlockID]bool{}
	for i := range places {
		seen[grid.Block(places[i].Lat, places[i].Lng)] = true
	}
	return len(seen)
}

// byHash orders new places, given by row, by hash and then by id.
func (next *Index) byHash(base int, hashes []uint64) func(x, y int32) int {
	return func(x, y int32) int {
		return cmp.Or(cmp.Compare(hashes[x], hashes[y]), cmp.Compare(next.Places[base+int(x)].ID, next.Places[base+int(y)].ID))
	}
}

// hashCuts reads the block list of a hash index.
func (d *decoder) hashCuts(ix *Index, n int) error {
	ix.cuts = make([]uint64, n)
	for b := range ix.cuts {
		v, err := d.fixed(8, "block list")
		if err != nil {
			return err
		}
		switch ix.cuts[b] = v; {
		case b == 0 && v != 0:
			return bad("the first range of hashes begins at %d, not 0", v)
		case b > 0 && v <= ix.cuts[b-1]:
			return bad("range %d of hashes begins at %d, not after the one before at %d", b, v, ix.cuts[b-1])
		}
	}
	if n == 0 {
		return bad("a hash index without blocks")
	}
	return nil
}
