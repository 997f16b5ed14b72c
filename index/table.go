package index

import (
	"hash/maphash"

	"github.com/whereto/whereto/poi"
)

// idTable finds positions by external id: open addressing with linear probing
// over positions, ids themselves stay in Places. It takes 4 to 11 bytes a place
// where a Go map from string takes 40 or more, which is what makes ten million
// places fit in memory beside the data they come from.
type idTable struct {
	seed  maphash.Seed
	slots []int32 // position+1; 0 is free; length a power of two
}

// newIDTable returns a table with room for n ids at a load of at most 3/4.
func newIDTable(n int) idTable {
	size := 8
	for size*3/4 < n {
		size *= 2
	}
	return idTable{seed: maphash.MakeSeed(), slots: make([]int32, size)}
}

func (t *idTable) find(places []poi.Place, id string) (int32, bool) {
	if len(t.slots) == 0 {
		return -1, false
	}
	mask := uint64(len(t.slots) - 1)
	for h := maphash.String(t.seed, id) & mask; t.slots[h] != 0; h = (h + 1) & mask {
		if p := t.slots[h] - 1; places[p].ID == id {
			return p, true
		}
	}
	return -1, false
}

// add records that places[p] is at p, and returns the position that already has
// its id, if one has.
func (t *idTable) add(places []poi.Place, p int32) (int32, bool) {
	mask := uint64(len(t.slots) - 1)
	h := maphash.String(t.seed, places[p].ID) & mask
	for ; t.slots[h] != 0; h = (h + 1) & mask {
		if q := t.slots[h] - 1; places[q].ID == places[p].ID {
			return q, true
		}
	}
	t.slots[h] = p + 1
	return p, false
}
