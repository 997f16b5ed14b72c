package index

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// The file format, laid out in docs/format/index.md.
const (
	magic       = "WHRTOIDX"
	version     = 1
	headerBytes = 40
	sumBytes    = sha256.Size
	minPlace    = 1 + 1 + 1 + 1 + 8 + 8 + 4 + 4 + 1 // bytes of the shortest place record

	modeHier   = 0
	modeFlat   = 1
	modeHash   = 2
	flagClosed = 1
)

// Fingerprint returns the hex SHA-256 of the index: mode, block size, block
// numbering and every place with its tokens. It is the checksum of the saved
// file, so it survives Save and Load and names the index in a run folder.
func (ix *Index) Fingerprint() string {
	ix.once.Do(func() {
		if ix.fingerprint == "" {
			h := sha256.New()
			// Writes to a hash do not fail.
			ix.encode(bufio.NewWriterSize(h, 1<<16))
			ix.fingerprint = hex.EncodeToString(h.Sum(nil))
		}
	})
	return ix.fingerprint
}

// Write writes the index in the binary format of docs/format/index.md.
func (ix *Index) Write(w io.Writer) error {
	h := sha256.New()
	if err := ix.encode(bufio.NewWriterSize(io.MultiWriter(w, h), 1<<16)); err != nil {
		return fmt.Errorf("writing index: %w", err)
	}
	if _, err := w.Write(h.Sum(nil)); err != nil {
		return fmt.Errorf("writing index checksum: %w", err)
	}
	return nil
}

// encode writes everything but the checksum and flushes. bufio.Writer keeps the
// first error and Flush returns it, so single writes are not checked.
func (ix *Index) encode(w *bufio.Writer) error {
	mode, blocks := uint32(modeHier), len(ix.keys)
	switch ix.Mode {
	case Flat:
		mode = modeFlat
	case Hash:
		mode, blocks = modeHash, len(ix.cuts)
	}
	categories, number := ix.categories()
	b := make([]byte, 0, 4096)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, mode)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(ix.SizeKM))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(ix.Places)))
	b = binary.LittleEndian.AppendUint32(b, uint32(blocks))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(categories)))
	w.Write(b)
	for _, key := range ix.keys {
		w.Write(binary.LittleEndian.AppendUint64(b[:0], uint64(key)))
	}
	for _, cut := range ix.cuts {
		w.Write(binary.LittleEndian.AppendUint64(b[:0], cut))
	}
	for _, c := range categories {
		w.Write(appendText(b[:0], c))
	}
	for i := range ix.Places {
		w.Write(ix.appendPlace(b[:0], int32(i), number))
	}
	return w.Flush()
}

// categories returns the distinct categories in order of first appearance, and
// the number of each.
func (ix *Index) categories() ([]string, map[string]uint64) {
	var list []string
	number := make(map[string]uint64)
	for i := range ix.Places {
		c := ix.Places[i].Category
		if _, ok := number[c]; !ok {
			number[c] = uint64(len(list))
			list = append(list, c)
		}
	}
	return list, number
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (ix *Index) appendPlace(b []byte, i int32, category map[string]uint64) []byte {
	p := &ix.Places[i]
	b = appendText(b, p.ID)
	b = appendText(b, p.Name)
	b = binary.AppendUvarint(b, category[p.Category])
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Lat))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Lng))
	block, inner := ix.Token(i)
	b = binary.LittleEndian.AppendUint32(b, uint32(block))
	b = binary.LittleEndian.AppendUint32(b, uint32(inner))
	if p.Closed {
		return append(b, flagClosed)
	}
	return append(b, 0)
}

// Save writes the index to a file, whole or not at all: a temporary file in the
// same folder, flushed to disk, takes the name at the end.
func (ix *Index) Save(path string) error {
	if err := file.Write(path, ix.Write); err != nil {
		return fmt.Errorf("saving index: %w; the old file, if any, is as it was", err)
	}
	return nil
}

// Load reads an index that Save wrote. Errors: those of Read, and os.ErrNotExist
// where there is no file.
func Load(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("loading index: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("loading index %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("loading index %s: %w: not a regular file", path, poi.ErrBadInput)
	}
	ix, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("loading index %s: %w", path, err)
	}
	return ix, nil
}
