package pgvector

import (
	"encoding/binary"
	"io"
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/vector"
)

// rows is a set as the binary form of COPY (PostgreSQL manual, "COPY", file formats), of
// the columns n, id, lat, lng, block and v.
type rows struct {
	s       *vector.Set
	measure vector.Measure
	grid    geo.Grid
	next    int
	fitted  []float32
	ready   []byte // encoded and not yet read
	done    bool
}

const (
	copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" // no flags, no extension
	copyEnd    = "\xff\xff"
	columns    = 6
	null       = math.MaxUint32 // the length of what is not there
	portion    = 1 << 16
)

func newRows(s *vector.Set, opt vector.IndexOptions) *rows {
	return &rows{s: s, measure: opt.Measure, grid: geo.Grid{SizeKM: opt.BlockKM}, fitted: make([]float32, s.Dim), ready: []byte(copyHeader)}
}

// Read encodes as it is read.
func (r *rows) Read(p []byte) (int, error) {
	if len(r.ready) == 0 && r.done {
		return 0, io.EOF
	}
	if len(r.ready) == 0 {
		r.ready = r.ready[:0]
		for ; r.next < len(r.s.IDs) && len(r.ready) < portion; r.next++ {
			r.encode(r.next)
		}
		if r.next == len(r.s.IDs) {
			r.ready, r.done = append(r.ready, copyEnd...), true
		}
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// encode appends row i: the number of columns, then of each its length and its bytes.
func (r *rows) encode(i int) {
	b := binary.BigEndian
	out := b.AppendUint16(r.ready, columns)
	out = b.AppendUint32(b.AppendUint32(out, 4), uint32(i))
	out = append(b.AppendUint32(out, uint32(len(r.s.IDs[i]))), r.s.IDs[i]...)
	if r.s.HasPositions() {
		lat, lng := r.s.Lat[i], r.s.Lng[i]
		for _, x := range []uint64{math.Float64bits(lat), math.Float64bits(lng), uint64(r.grid.Block(lat, lng))} {
			out = b.AppendUint64(b.AppendUint32(out, 8), x)
		}
	} else {
		for range 3 {
			out = b.AppendUint32(out, null)
		}
	}
	// A vector is its dimension, an unused number, and its numbers.
	out = b.AppendUint32(out, uint32(4+4*r.s.Dim))
	out = b.AppendUint16(b.AppendUint16(out, uint16(r.s.Dim)), 0)
	r.measure.Fit(r.fitted, r.s.Row(i))
	for _, x := range r.fitted {
		out = b.AppendUint32(out, math.Float32bits(x))
	}
	r.ready = out
}
