package index

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// header is the fixed part of a file.
type header struct {
	mode               Mode
	sizeKM             float64
	places             uint64
	blocks, categories uint32
}

// Read reads an index of size bytes, checksum included. It never allocates
// more than a small multiple of size, whatever the bytes claim. Any damage, a
// newer version or a broken law (a token pair given twice, an id given twice)
// is an error that wraps poi.ErrBadInput.
func Read(r io.Reader, size int64) (*Index, error) {
	if size < headerBytes+sumBytes {
		return nil, bad("%d bytes are too few for an index; the file is cut off or another kind", size)
	}
	h := sha256.New()
	d := &decoder{r: bufio.NewReaderSize(io.TeeReader(io.LimitReader(r, size-sumBytes), h), 1<<16)}
	ix, err := d.index(size - sumBytes)
	if err != nil {
		return nil, err
	}
	if _, err := d.r.ReadByte(); err != io.EOF {
		return nil, bad("bytes left over after the last place")
	}
	var sum [sumBytes]byte
	if _, err := io.ReadFull(r, sum[:]); err != nil {
		return nil, truncated("checksum", err)
	}
	if !bytes.Equal(sum[:], h.Sum(nil)) {
		return nil, bad("checksum does not match; the file is damaged, build or copy it again")
	}
	ix.fingerprint = hex.EncodeToString(sum[:])
	ix.live = ix.liveTrie()
	return ix, nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", poi.ErrBadInput, fmt.Sprintf(format, args...))
}

func truncated(part string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("the file ends within its %s; it is cut off, build or copy it again", part)
	}
	return fmt.Errorf("reading %s: %w", part, err)
}

type decoder struct {
	r   *bufio.Reader
	buf [headerBytes]byte
	// Texts are cut out of large chunks: twenty million small strings would
	// otherwise each carry an allocation of their own.
	chunk      strings.Builder
	categories uint64 // how many of the list the places so far have used, in order
}

func (d *decoder) index(payload int64) (*Index, error) {
	h, err := d.header(payload)
	if err != nil {
		return nil, err
	}
	ix := &Index{Mode: h.mode, SizeKM: h.sizeKM, Places: make([]poi.Place, h.places)}
	ix.ids = newIDTable(len(ix.Places))
	blocks := d.keys
	if h.mode == Hash {
		blocks = d.hashCuts
	}
	if err := blocks(ix, int(h.blocks)); err != nil {
		return nil, err
	}
	categories, err := d.list(int(h.categories))
	if err != nil {
		return nil, err
	}
	if h.mode.Hierarchical() {
		ix.block, ix.inner = make([]int32, h.places), make([]int32, h.places)
	}
	for i := range ix.Places {
		if err := d.place(ix, int32(i), categories); err != nil {
			return nil, err
		}
	}
	if d.categories != uint64(len(categories)) {
		return nil, bad("%d categories listed, %d used", len(categories), d.categories)
	}
	if h.mode.Hierarchical() {
		return ix, ix.fillSlots()
	}
	return ix, nil
}

// list reads the category list.
func (d *decoder) list(n int) ([]string, error) {
	out, seen := make([]string, n), make(map[string]bool, n)
	for i := range out {
		var err error
		if out[i], err = d.text("category list", maxCategory); err != nil {
			return nil, err
		}
		if seen[out[i]] {
			return nil, bad("category %q is listed twice", clip(out[i]))
		}
		seen[out[i]] = true
	}
	return out, nil
}

func (d *decoder) header(payload int64) (h header, err error) {
	b := d.buf[:headerBytes]
	if _, err := io.ReadFull(d.r, b); err != nil {
		return h, truncated("header", err)
	}
	if string(b[:8]) != magic {
		return h, bad("not a whereto index: it begins with %q", b[:8])
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return h, bad("index format version %d, this program reads %d; use the program that wrote it or build the index again", v, version)
	}
	switch mode := binary.LittleEndian.Uint32(b[12:]); mode {
	case modeHier:
		h.mode = Hier
	case modeFlat:
		h.mode = Flat
	case modeHash:
		h.mode = Hash
	default:
		return h, bad("index mode %d is not known", mode)
	}
	h.sizeKM = math.Float64frombits(binary.LittleEndian.Uint64(b[16:]))
	h.places = binary.LittleEndian.Uint64(b[24:])
	h.blocks = binary.LittleEndian.Uint32(b[32:])
	h.categories = binary.LittleEndian.Uint32(b[36:])
	if err := (Options{Mode: h.mode, SizeKM: h.sizeKM}).Validate(); err != nil {
		return h, err
	}
	if h.mode == Flat && (h.blocks != 0 || h.sizeKM != 0) {
		return h, bad("a flat index with %d blocks of %v km", h.blocks, h.sizeKM)
	}
	if h.places == 0 || h.places > MaxPlaces {
		return h, bad("%d places, allowed 1 to %d", h.places, MaxPlaces)
	}
	least := headerBytes + int64(h.places)*minPlace + int64(h.blocks)*8 + int64(h.categories)
	if payload < least {
		return h, bad("%d bytes where %d places, %d blocks and %d categories need at least %d; the file is cut off",
			payload, h.places, h.blocks, h.categories, least)
	}
	return h, nil
}

func (d *decoder) keys(ix *Index, n int) error {
	if n == 0 {
		return nil
	}
	grid := ix.Grid()
	ix.keys = make([]geo.BlockID, n)
	for b := range ix.keys {
		v, err := d.fixed(8, "block list")
		if err != nil {
			return err
		}
		if ix.keys[b] = geo.BlockID(v); !grid.Has(ix.keys[b]) {
			return bad("block %d has key %v, which a grid of %v km lacks", b, ix.keys[b], ix.SizeKM)
		}
	}
	ix.sortKeys()
	for i := 1; i < n; i++ {
		if x, y := ix.byKey[i-1], ix.byKey[i]; ix.keys[x] == ix.keys[y] {
			return bad("blocks %d and %d have the same key %v", x, y, ix.keys[x])
		}
	}
	return nil
}

func (d *decoder) place(ix *Index, i int32, categories []string) (err error) {
	p := &ix.Places[i]
	if p.ID, err = d.text("places", maxID); err != nil {
		return err
	}
	if p.Name, err = d.text("places", maxName); err != nil {
		return err
	}
	c, err := d.uvarint("places")
	if err != nil {
		return err
	}
	if c >= uint64(len(categories)) || c > d.categories {
		return bad("place %d has category %d, the next new one is %d of %d", i, c, d.categories, len(categories))
	}
	if c == d.categories {
		d.categories++
	}
	p.Category = categories[c]
	b := d.buf[:25]
	if _, err := io.ReadFull(d.r, b); err != nil {
		return truncated("places", err)
	}
	p.Lat = math.Float64frombits(binary.LittleEndian.Uint64(b))
	p.Lng = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	block, inner := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	p.Closed = b[24]&flagClosed != 0
	if err := checkPlace(p); err != nil {
		return bad("place %d, id %q: %v", i, clip(p.ID), err)
	}
	if q, dup := ix.ids.add(ix.Places, i); dup {
		return bad("places %d and %d have the same id %q", q, i, clip(p.ID))
	}
	switch {
	case b[24]&^flagClosed != 0:
		return bad("place %d has unknown flags %#x", i, b[24])
	case ix.Mode == Flat && (block != 0 || inner != uint32(i)):
		return bad("place %d of a flat index has tokens (%d, %d)", i, block, inner)
	case ix.Mode.Hierarchical() && (uint64(block) >= uint64(ix.NumBlocks()) || inner > math.MaxInt32):
		return bad("place %d has tokens (%d, %d), there are %d blocks", i, block, inner, ix.NumBlocks())
	case ix.Mode == Hash && int32(block) != hashBlock(ix.cuts, idHash(p.ID)):
		return bad("place %d, id %q: block %d, its hash is of block %d", i, clip(p.ID), block, hashBlock(ix.cuts, idHash(p.ID)))
	case ix.Mode.Hierarchical():
		ix.block[i], ix.inner[i] = int32(block), int32(inner)
	}
	return nil
}

// fillSlots builds starts and slots from block and inner, and checks that the
// tokens of each block are 0 to its size minus one, each once.
func (ix *Index) fillSlots() error {
	n := ix.NumBlocks()
	ix.starts = make([]int32, n+1)
	for _, b := range ix.block {
		ix.starts[b+1]++
	}
	for b := range n {
		if ix.starts[b+1] == 0 {
			return bad("block %d has no place", b)
		}
		ix.starts[b+1] += ix.starts[b]
	}
	ix.slots = make([]int32, len(ix.Places))
	for i := range ix.slots {
		ix.slots[i] = -1
	}
	for p, b := range ix.block {
		inner := ix.inner[p]
		if int(inner) >= ix.slotsOf(b) {
			return bad("place %d has inner token %d in a block of %d places", p, inner, ix.slotsOf(b))
		}
		slot := ix.starts[b] + inner
		if q := ix.slots[slot]; q >= 0 {
			return bad("places %d and %d have the same tokens (%d, %d)", q, p, b, inner)
		}
		ix.slots[slot] = int32(p)
	}
	return nil
}

func (d *decoder) fixed(n int, part string) (uint64, error) {
	b := d.buf[:8]
	clear(b)
	if _, err := io.ReadFull(d.r, b[:n]); err != nil {
		return 0, truncated(part, err)
	}
	return binary.LittleEndian.Uint64(b), nil
}

// uvarint accepts the shortest form only, so that equal indexes are equal bytes.
func (d *decoder) uvarint(part string) (uint64, error) {
	b, err := d.r.Peek(binary.MaxVarintLen64)
	v, n := binary.Uvarint(b)
	switch {
	case n == 0 && err != nil:
		return 0, truncated(part, err)
	case n <= 0 || n > 1 && b[n-1] == 0:
		return 0, bad("a number in its %s is not encoded properly", part)
	}
	d.r.Discard(n) // cannot fail: the bytes were peeked
	return v, nil
}

const chunkBytes = 1 << 16

func (d *decoder) text(part string, limit int) (string, error) {
	n, err := d.uvarint(part)
	if err != nil {
		return "", err
	}
	if n > uint64(limit) {
		return "", bad("a text of %d bytes in its %s, limit %d", n, part, limit)
	}
	b, err := d.r.Peek(int(n)) // limits are far below the reader's buffer
	if err != nil {
		return "", truncated(part, err)
	}
	if d.chunk.Cap()-d.chunk.Len() < len(b) {
		d.chunk = strings.Builder{}
		d.chunk.Grow(chunkBytes)
	}
	from := d.chunk.Len()
	d.chunk.Write(b)
	d.r.Discard(len(b)) // cannot fail: the bytes were peeked
	return d.chunk.String()[from:], nil
}
