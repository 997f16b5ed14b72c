package source

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/whereto/whereto/poi"
)

// parquetKinds are the physical types each column may have, the usual one first.
// Anything else is refused rather than converted: a date read as a number would
// be wrong quietly. Columns that are not named hold text.
var parquetKinds = map[field][]parquet.Kind{
	fLat: {parquet.Double}, fLng: {parquet.Double}, fUserLat: {parquet.Double}, fUserLng: {parquet.Double},
	fTimeMS: {parquet.Int64}, fOffset: {parquet.Int32},
	fPosition: {parquet.Int32, parquet.Int64}, fClicked: {parquet.Boolean},
	fClick: {parquet.Float, parquet.Double}, fRelevance: {parquet.Float, parquet.Double},
	fClosed: {parquet.Boolean},
}

func kindsOf(f field) []parquet.Kind {
	if k, ok := parquetKinds[f]; ok {
		return k
	}
	return []parquet.Kind{parquet.ByteArray}
}

// isList says a column holds a list of texts.
func isList(f field) bool { return f == fTags || f == fReviews }

// parquetBatch is how many rows are decoded at a time.
const parquetBatch = 512

// readRows reads one Parquet file and gives each row, numbered from 1, to each;
// the row is valid until each returns, its texts must be copied. A file of lines
// has its warnings in fs.
func readRows[T any](ctx context.Context, rd *reader, path string, s *schema, each func(fs *fileStats, line int, row *T) error) error {
	fs := newFileStats(path)
	ignored, err := scanParquet(ctx, path, s, func(line int, row *T) error { return each(fs, line, row) })
	if err != nil {
		return err
	}
	if len(ignored) > 0 {
		fs.notes = append(fs.notes, s.ignoredWarning(ignored))
	}
	return rd.finish(fs)
}

// scanParquet is readRows without its reader. parquet-go panics on some damaged
// pages; this is the border that turns those into an error. ignored are the
// columns outside the schema.
func scanParquet[T any](ctx context.Context, path string, s *schema, each func(line int, row *T) error) (ignored []string, err error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	inEach := false // a panic of the caller's is not ours to catch
	defer func() {
		if inEach {
			return
		}
		if p := recover(); p != nil {
			err = fmt.Errorf("source: %s: damaged Parquet (%v); write it again: %w", path, p, poi.ErrBadInput)
		}
	}()
	pf, ignored, err := openParquet(path, file, s)
	if err != nil {
		return nil, err
	}
	in := parquet.NewGenericReader[T](pf)
	defer in.Close()
	batch := make([]T, cmp.Or(s.batch, parquetBatch))
	for line := 1; ; {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("source: read %s: %w", path, err)
		}
		clear(batch)
		n, readErr := in.Read(batch)
		for i := range batch[:n] {
			inEach = true
			if err := each(line, &batch[i]); err != nil {
				return nil, err
			}
			inEach = false
			line++
		}
		if errors.Is(readErr, io.EOF) {
			return ignored, nil
		}
		if readErr != nil {
			return nil, fmt.Errorf("source: %s: damaged Parquet after row %d (%v); write it again: %w", path, line-1, readErr, poi.ErrBadInput)
		}
	}
}

// parquetAccept adapts the filling of a row to readRows.
func parquetAccept[T any](rd *reader, fill func(in *T, r *row, strings *interner) *rowError) func(*fileStats, int, *T) error {
	var strings interner
	return func(fs *fileStats, line int, in *T) error {
		var r row
		e := fill(in, &r, &strings)
		return rd.accept(fs, &r, e, line, nil, parquetWhere)
	}
}

// parquetWhere names a field; Parquet has no column numbers, and no time as text.
func parquetWhere(f field) (int, string) {
	if f == fTime {
		f = fTimeMS
	}
	return 0, fieldNames[f]
}

// openParquet reads the footer and checks it; ignored are the columns outside
// the schema.
func openParquet(path string, file *os.File, s *schema) (pf *parquet.File, ignored []string, err error) {
	st, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("source: open: %w", err)
	}
	if err = checkParquetFrame(file, st.Size()); err == nil {
		pf, err = parquet.OpenFile(file, st.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("source: %s is not a whole Parquet file (%v); was it cut? %w", path, err, poi.ErrBadInput)
	}
	ignored, err = checkParquetSchema(path, pf.Schema(), s)
	return pf, ignored, err
}

// checkParquetFrame checks the magic bytes and the footer's length, which the
// library would allocate before it finds that the file is shorter.
func checkParquetFrame(file io.ReaderAt, size int64) error {
	const magic, frame = "PAR1", 12 // magic, footer length, magic
	if size < frame {
		return fmt.Errorf("%d bytes", size)
	}
	var head [4]byte
	var tail [8]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := file.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(head[:]) != magic || string(tail[4:]) != magic {
		return fmt.Errorf("it starts with %q and ends with %q instead of %q", head, tail[4:], magic)
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-frame {
		return fmt.Errorf("its footer claims %d bytes of %d", n, size)
	}
	return nil
}

// isMillis is false for a timestamp of another unit than milliseconds.
func isMillis(t parquet.Type) bool {
	lt := t.LogicalType()
	if lt == nil {
		return true
	}
	ts, ok := lt.Value.(*format.TimestampType)
	if !ok {
		return true
	}
	_, ok = ts.Unit.Value.(*format.MilliSeconds)
	return ok
}

// checkParquetSchema checks names and types of the columns and returns the
// names of those outside the schema.
func checkParquetSchema(path string, found *parquet.Schema, s *schema) (ignored []string, err error) {
	header := s.header()
	seen := make(map[field]bool)
	for _, c := range found.Fields() {
		f, known := header[c.Name()]
		if !known || f == fTime {
			ignored = append(ignored, c.Name())
			continue
		}
		if err := checkParquetColumn(path, c, f); err != nil {
			return nil, err
		}
		seen[f] = true
	}
	for _, anyOf := range s.required {
		if want := anyOf[0]; !seen[want] { // time as text, the only second choice, is not in Parquet
			hint := ""
			if len(ignored) > 0 {
				hint = fmt.Sprintf("; is %q that column?", Nearest(fieldNames[want], ignored))
			}
			return nil, fmt.Errorf("source: %s has no column %q%s; see %s: %w", path, fieldNames[want], hint, s.page, poi.ErrBadInput)
		}
	}
	return ignored, nil
}

func checkParquetColumn(path string, c parquet.Field, f field) error {
	if isList(f) {
		if !isTextList(c) {
			return fmt.Errorf("source: %s: column %q is not a list of texts written as %s.list.element: %w", path, c.Name(), c.Name(), poi.ErrBadInput)
		}
		return nil
	}
	kinds := kindsOf(f)
	if !c.Leaf() || c.Repeated() || !slices.Contains(kinds, c.Type().Kind()) {
		return fmt.Errorf("source: %s: column %q has type %s, expected %s: %w", path, c.Name(), c.Type(), kinds[0], poi.ErrBadInput)
	}
	if !isMillis(c.Type()) {
		return fmt.Errorf("source: %s: column %q counts %s, expected milliseconds: %w", path, c.Name(), c.Type(), poi.ErrBadInput)
	}
	return nil
}

// isTextList is true for the three-level list of the Parquet specification, with
// the names that it prescribes: group c { repeated group list { element } }.
func isTextList(c parquet.Field) bool {
	if c.Leaf() || c.Repeated() || len(c.Fields()) != 1 {
		return false
	}
	list := c.Fields()[0]
	if list.Name() != "list" || list.Leaf() || !list.Repeated() || len(list.Fields()) != 1 {
		return false
	}
	element := list.Fields()[0]
	return element.Name() == "element" && element.Leaf() && !element.Repeated() && element.Type().Kind() == parquet.ByteArray
}

// parquetRows writes rows of T in batches.
type parquetRows[T any] struct {
	w     *parquet.GenericWriter[T]
	batch []T
	held  int // bytes of texts and images in the row group so far
}

// Bounds of a row group: what a reader and the writer hold in memory.
const (
	rowGroupRows  = 128 << 10
	rowGroupBytes = 64 << 20
)

func newParquetRows[T any](w io.Writer) *parquetRows[T] {
	return &parquetRows[T]{w: parquet.NewGenericWriter[T](w, parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(rowGroupRows), parquet.CreatedBy("whereto", "1", ""))}
}

// write adds a row; bytes says how much a row of unbounded size holds, 0 for
// rows whose number bounds the group well enough.
func (p *parquetRows[T]) write(row T, bytes int) error {
	p.batch = append(p.batch, row)
	p.held += bytes
	full := p.held >= rowGroupBytes
	if len(p.batch) < parquetBatch && !full {
		return nil
	}
	if err := p.flush(); err != nil || !full {
		return err
	}
	p.held = 0
	return p.w.Flush()
}

func (p *parquetRows[T]) flush() error {
	_, err := p.w.Write(p.batch)
	clear(p.batch)
	p.batch = p.batch[:0]
	return err
}

func (p *parquetRows[T]) close() error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.w.Close()
}
