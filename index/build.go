package index

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Changes says what an Update did, in numbers of places, and where each place
// of its input went.
type Changes struct {
	Added    int // new ids
	Closed   int // live before, now a tombstone: missing from the input or marked Closed
	Reopened int // a tombstone before, live again under its old tokens
	Moved    int // coordinates now in another block than the block token says; tokens kept
	Edited   int // name, category or coordinates differ; includes Moved
	// Positions[i] is the position of places[i] of the input.
	Positions []int32
}

// String returns one line for a log.
func (c Changes) String() string {
	return fmt.Sprintf("%d added, %d closed, %d reopened, %d edited (%d of them moved to another block, tokens kept)",
		c.Added, c.Closed, c.Reopened, c.Edited, c.Moved)
}

// Build indexes places from nothing. Position i is places[i]; visits[i] is its
// popularity in TRAINING data (counting later data would leak), nil for all
// equal. Ties go to the earlier position. The index keeps the places slice, so
// the caller must not change it afterwards. It takes O(n log k) for k places in
// the fullest block.
//
// Errors: poi.ErrEmpty without places; poi.ErrBadInput for options out of range,
// an empty or duplicate id, coordinates off the Earth, a text over its limit,
// negative visits or a visits slice of another length.
func Build(places []poi.Place, visits []int64, opt Options) (*Index, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	ix := &Index{Mode: opt.Mode, SizeKM: opt.SizeKM}
	if opt.Mode == Flat {
		ix.SizeKM = 0
	}
	ix, _, err := ix.Update(places, visits)
	return ix, err
}

// Update returns a new index in which every place known before keeps its
// position and tokens, places unknown before get the next free ones (new blocks
// and new places of a block most visited first; in hash mode no new blocks, and
// new places of a block in order of hash), and places missing from the input
// or marked Closed are tombstones. A tombstone that comes back under its id is
// live again with its old tokens. The receiver does not change. Errors are those
// of Build; in particular an empty input is refused, for closing every place at
// once is never meant.
func (ix *Index) Update(places []poi.Place, visits []int64) (*Index, Changes, error) {
	if err := check(places, visits); err != nil {
		return nil, Changes{}, fmt.Errorf("indexing %d places: %w", len(places), err)
	}
	if visits == nil {
		visits = make([]int64, len(places))
	}
	next := &Index{Mode: ix.Mode, SizeKM: ix.SizeKM}
	ch, fresh, err := next.merge(ix, places, visits)
	if err != nil {
		return nil, Changes{}, fmt.Errorf("indexing %d places: %w", len(places), err)
	}
	if ix.Mode.Hierarchical() {
		next.assign(ix, fresh)
	}
	next.live = next.liveTrie()
	return next, ch, nil
}

func check(places []poi.Place, visits []int64) error {
	switch {
	case len(places) == 0:
		return fmt.Errorf("%w: no places; check the reader and the filters before the index", poi.ErrEmpty)
	case len(places) > MaxPlaces:
		return fmt.Errorf("%w: more than %d places", poi.ErrBadInput, MaxPlaces)
	case visits != nil && len(visits) != len(places):
		return fmt.Errorf("%w: %d visit counts for %d places", poi.ErrBadInput, len(visits), len(places))
	}
	for i := range places {
		p := &places[i]
		if err := checkPlace(p); err != nil {
			return fmt.Errorf("%w: place %d, id %q: %w", poi.ErrBadInput, i, clip(p.ID), err)
		}
		if visits != nil && visits[i] < 0 {
			return fmt.Errorf("%w: place %d, id %q: %d visits", poi.ErrBadInput, i, clip(p.ID), visits[i])
		}
	}
	return nil
}

// Limits of the texts of a place, in bytes: a longer one is a parsing accident.
const (
	maxID       = 1 << 10
	maxName     = 1 << 12
	maxCategory = 1 << 10
)

func checkPlace(p *poi.Place) error {
	switch {
	case p.ID == "":
		return fmt.Errorf("the id is empty")
	case len(p.ID) > maxID:
		return fmt.Errorf("id of %d bytes, limit %d", len(p.ID), maxID)
	case len(p.Name) > maxName:
		return fmt.Errorf("name of %d bytes, limit %d", len(p.Name), maxName)
	case len(p.Category) > maxCategory:
		return fmt.Errorf("category of %d bytes, limit %d", len(p.Category), maxCategory)
	}
	return geo.Valid(p.Lat, p.Lng)
}

// clip keeps a message readable whatever the id is.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// merge fills Places and ids of next from the old index and the input. fresh
// holds the visits of the new places, which are Places[len(old.Places):].
func (next *Index) merge(old *Index, places []poi.Place, visits []int64) (ch Changes, fresh []int64, err error) {
	if len(old.Places) == 0 { // Build: no copy of what may be gigabytes
		next.Places, fresh = places[:len(places):len(places)], visits
		next.ids = newIDTable(len(places))
		ch = Changes{Added: len(places)}
		for p := range int32(len(places)) {
			if q, dup := next.ids.add(next.Places, p); dup {
				return ch, nil, duplicate(places[p].ID, int(q), int(p))
			}
		}
		return ch, fresh, nil
	}
	if len(old.Places)+len(places) > MaxPlaces {
		return ch, nil, fmt.Errorf("%w: more than %d places and tombstones together", poi.ErrBadInput, MaxPlaces)
	}
	next.Places = slices.Clone(old.Places)
	next.ids = newIDTable(len(old.Places) + len(places))
	for p := range int32(len(old.Places)) {
		next.ids.add(next.Places, p)
	}
	ch.Positions = make([]int32, len(places))
	from := make([]int32, len(old.Places)) // input row + 1 of an old place, 0 if missing
	for i, place := range places {
		p, known := next.ids.find(next.Places, place.ID)
		switch {
		case !known:
			p = int32(len(next.Places))
			next.Places = append(next.Places, place)
			next.ids.add(next.Places, p)
			fresh = append(fresh, visits[i])
			ch.Added++
		case int(p) >= len(from):
			return ch, nil, duplicate(place.ID, int(slices.Index(ch.Positions[:i], p)), i)
		case from[p] != 0:
			return ch, nil, duplicate(place.ID, int(from[p]-1), i)
		default:
			from[p] = int32(i) + 1
			next.replace(old, p, place, &ch)
		}
		ch.Positions[i] = p
	}
	for p, row := range from {
		if row == 0 && !next.Places[p].Closed {
			next.Places[p].Closed = true
			ch.Closed++
		}
	}
	return ch, fresh, nil
}

func duplicate(id string, first, second int) error {
	return fmt.Errorf("%w: rows %d and %d have the same id %q; merge them first", poi.ErrBadInput, first, second, clip(id))
}

// replace puts the new facts of a known place at its old position.
func (next *Index) replace(old *Index, p int32, place poi.Place, ch *Changes) {
	was := old.Places[p]
	switch {
	case place.Closed && !was.Closed:
		ch.Closed++
	case !place.Closed && was.Closed:
		ch.Reopened++
	}
	now := place
	now.Closed = was.Closed
	if now != was {
		ch.Edited++
		if old.Mode == Hier && old.Grid().Block(place.Lat, place.Lng) != old.keys[old.block[p]] {
			ch.Moved++
		}
	}
	next.Places[p] = place
}

// assign gives tokens to the places beyond those of old, whose visits are in
// fresh, and keeps all others.
func (next *Index) assign(old *Index, fresh []int64) {
	n, base := len(next.Places), len(old.Places)
	next.block = append(make([]int32, 0, n), old.block...)[:n]
	next.inner = append(make([]int32, 0, n), old.inner...)[:n]
	less := func(x, y int32) int {
		return cmp.Or(cmp.Compare(fresh[y], fresh[x]), cmp.Compare(x, y))
	}
	if next.Mode == Hash {
		less = next.byHash(base, next.hashFresh(old))
	} else {
		next.number(old, fresh)
	}
	next.fill(old, less)
}

// fill gives inner tokens, once every new place has its block: the next free ones
// of the block in the order of the new places' rows.
func (next *Index) fill(old *Index, less func(x, y int32) int) {
	n, base := len(next.Places), len(old.Places)
	blocks, known := next.NumBlocks(), old.NumBlocks()

	// Counting sort of the new places by block, then by their order within each.
	first := make([]int32, blocks+1)
	for _, b := range next.block[base:] {
		first[b+1]++
	}
	next.starts = make([]int32, blocks+1)
	for b := range blocks {
		given := int32(0)
		if b < known {
			given = old.starts[b+1] - old.starts[b]
		}
		next.starts[b+1] = next.starts[b] + given + first[b+1]
		first[b+1] += first[b]
	}
	order, at := make([]int32, n-base), slices.Clone(first)
	for i, b := range next.block[base:] {
		order[at[b]] = int32(i)
		at[b]++
	}
	next.slots = make([]int32, n)
	for p := range old.Places {
		next.slots[next.starts[next.block[p]]+next.inner[p]] = int32(p)
	}
	for b := range int32(blocks) {
		group := order[first[b]:first[b+1]]
		slices.SortFunc(group, less)
		free := next.starts[b+1] - int32(len(group))
		for i, row := range group {
			p, slot := int32(base)+row, free+int32(i)
			next.slots[slot], next.inner[p] = p, slot-next.starts[b]
		}
	}
}

// number gives block tokens: old blocks keep theirs, new ones follow, most
// visited first, ties in order of first appearance.
func (next *Index) number(old *Index, fresh []int64) {
	grid, base := next.Grid(), len(old.Places)
	known := make(map[geo.BlockID]int32, len(old.keys))
	for b, key := range old.keys {
		known[key] = int32(b)
	}
	keys := slices.Clone(old.keys)
	var total []float64 // float64: sums of int64 counts must not wrap around
	for i := base; i < len(next.Places); i++ {
		key := grid.Block(next.Places[i].Lat, next.Places[i].Lng)
		b, ok := known[key]
		if !ok {
			b = int32(len(keys))
			known[key] = b
			keys = append(keys, key)
			total = append(total, 0)
		}
		next.block[i] = b
		if k := int(b) - len(old.keys); k >= 0 {
			total[k] += float64(fresh[i-base])
		}
	}
	order := make([]int32, len(total)) // rank -> provisional number
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int { return cmp.Compare(total[y], total[x]) })
	rank := make([]int32, len(total))
	next.keys = slices.Clone(keys)
	for r, k := range order {
		rank[k] = int32(r)
		next.keys[len(old.keys)+r] = keys[len(old.keys)+int(k)]
	}
	for i := base; i < len(next.Places); i++ {
		if k := int(next.block[i]) - len(old.keys); k >= 0 {
			next.block[i] = int32(len(old.keys)) + rank[k]
		}
	}
	next.sortKeys()
}

// sortKeys fills byKey from keys.
func (next *Index) sortKeys() {
	next.byKey = make([]int32, len(next.keys))
	for b := range next.byKey {
		next.byKey[b] = int32(b)
	}
	slices.SortFunc(next.byKey, func(x, y int32) int { return cmp.Compare(next.keys[x], next.keys[y]) })
}
