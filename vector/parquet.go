package vector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/golang/geo/s2"
	"github.com/parquet-go/parquet-go"

	"github.com/whereto/whereto/poi"
)

// parquetRow is a row as it is written. The S2 leaf cell follows from the position;
// it is there so that a database can restrict a search by ranges of one column.
type parquetRow struct {
	ID     string    `parquet:"id"`
	Lat    *float64  `parquet:"lat,optional"`
	Lng    *float64  `parquet:"lng,optional"`
	S2Cell *uint64   `parquet:"s2cell,optional"`
	Vector []float32 `parquet:"vector,list"`
}

const (
	parquetBatch = 256
	// rowGroupRows bounds what the writer and a reader hold in memory.
	rowGroupRows = 64 << 10
)

// WriteParquet writes the set as Parquet: id, lat, lng, s2cell, vector.
func (s *Set) WriteParquet(w io.Writer) error {
	if err := s.Validate(); err != nil {
		return err
	}
	out := parquet.NewGenericWriter[parquetRow](w, parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(rowGroupRows), parquet.CreatedBy("whereto", formatVersion, ""))
	batch := make([]parquetRow, 0, parquetBatch)
	cells := make([]uint64, parquetBatch)
	for i, id := range s.IDs {
		row := parquetRow{ID: id, Vector: s.Row(i)}
		if s.HasPositions() {
			cell := &cells[len(batch)]
			*cell = uint64(s2.CellIDFromLatLng(s2.LatLngFromDegrees(s.Lat[i], s.Lng[i])))
			row.Lat, row.Lng, row.S2Cell = &s.Lat[i], &s.Lng[i], cell
		}
		if batch = append(batch, row); len(batch) == parquetBatch || i == len(s.IDs)-1 {
			if _, err := out.Write(batch); err != nil {
				return fmt.Errorf("write Parquet: %w", err)
			}
			batch = batch[:0]
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

// parquetColumns are the positions of the leaves that a reader wants; -1 absent.
type parquetColumns struct{ id, lat, lng, vector int }

// ReadParquet reads a set of size bytes: columns id (text) and vector (a list of
// floats or doubles), and lat and lng (doubles) where rows have positions. Other
// columns are left alone. A null is refused, except that a file may have no lat
// and lng at all, or only nulls there.
func ReadParquet(r io.ReaderAt, size int64) (s *Set, err error) {
	// parquet-go panics on some damaged pages; this is the border that turns those
	// into an error.
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("parquet: %w: damaged (%v); write it again", poi.ErrBadInput, p)
		}
	}()
	if err := checkFrame(r, size); err != nil {
		return nil, fmt.Errorf("parquet: %w: not a whole file (%w); was it cut?", poi.ErrBadInput, err)
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w: %w", poi.ErrBadInput, err)
	}
	columns, err := columnsOf(file)
	if err != nil {
		return nil, fmt.Errorf("parquet: %w: %w", poi.ErrBadInput, err)
	}
	if n := file.NumRows(); n > MaxRows {
		return nil, fmt.Errorf("parquet: %w: %d rows, want at most %d", poi.ErrBadInput, n, MaxRows)
	}
	s = &Set{}
	for _, group := range file.RowGroups() {
		if err := s.readGroup(group, columns); err != nil {
			return nil, fmt.Errorf("parquet: %w: row %d: %w", poi.ErrBadInput, len(s.IDs), err)
		}
	}
	return s, s.Validate()
}

// checkFrame checks the magic bytes and the footer's length, which the library
// would allocate before it finds that the file is shorter.
func checkFrame(r io.ReaderAt, size int64) error {
	const magic, frame = "PAR1", 12 // magic, footer length, magic
	var head [4]byte
	var tail [8]byte
	if size < frame {
		return fmt.Errorf("%d bytes", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
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

// columnsOf finds the leaves and checks their types. Tools name the levels of a
// list differently, so any one leaf below "vector" will do.
func columnsOf(file *parquet.File) (parquetColumns, error) {
	c := parquetColumns{-1, -1, -1, -1}
	for _, path := range file.Schema().Columns() {
		leaf, ok := file.Schema().Lookup(path...)
		if !ok {
			return c, fmt.Errorf("column %v cannot be found in its own schema", path)
		}
		at, kinds := (*int)(nil), []parquet.Kind(nil)
		switch path[0] {
		case "id":
			at, kinds = &c.id, []parquet.Kind{parquet.ByteArray}
		case "lat":
			at, kinds = &c.lat, []parquet.Kind{parquet.Double}
		case "lng":
			at, kinds = &c.lng, []parquet.Kind{parquet.Double}
		case "vector":
			at, kinds = &c.vector, []parquet.Kind{parquet.Float, parquet.Double}
		default:
			continue
		}
		switch list := path[0] == "vector"; {
		case *at >= 0 || (leaf.MaxRepetitionLevel > 0) != list || leaf.MaxRepetitionLevel > 1 || !list && len(path) > 1:
			return c, fmt.Errorf("column %v has the wrong nesting; vector is a list of numbers, the others are plain", path)
		case !slices.Contains(kinds, leaf.Node.Type().Kind()):
			return c, fmt.Errorf("column %v has type %s, want %s", path, leaf.Node.Type(), kinds[0])
		}
		*at = leaf.ColumnIndex
	}
	switch {
	case c.id < 0 || c.vector < 0:
		return c, errors.New("no column id or no column vector; see docs/format/vectors.md")
	case (c.lat < 0) != (c.lng < 0):
		return c, errors.New("lat and lng come together or not at all")
	}
	return c, nil
}

// readGroup appends the rows of one row group.
func (s *Set) readGroup(group parquet.RowGroup, c parquetColumns) (err error) {
	rows := group.Rows()
	defer func() { err = errors.Join(err, rows.Close()) }()
	batch := make([]parquet.Row, parquetBatch)
	for {
		n, err := rows.ReadRows(batch)
		for _, row := range batch[:n] {
			if err := s.addRow(row, c); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

// addRow appends one row; all rows must have as many numbers as the first, and a
// position only if the first has one.
func (s *Set) addRow(row parquet.Row, c parquetColumns) error {
	first, start := len(s.IDs) == 0, len(s.Data)
	for _, v := range row {
		switch column := v.Column(); {
		case column == c.lat && !v.IsNull():
			s.Lat = append(s.Lat, v.Double())
		case column == c.lng && !v.IsNull():
			s.Lng = append(s.Lng, v.Double())
		case column != c.id && column != c.vector: // a null position, or not ours
		case v.IsNull():
			return errors.New("id, vector or one of its numbers is null")
		case column == c.id:
			s.IDs = append(s.IDs, string(v.ByteArray()))
		case len(s.Data)-start == MaxDim:
			return fmt.Errorf("more than %d numbers", MaxDim)
		case v.Kind() == parquet.Double:
			s.Data = append(s.Data, float32(v.Double()))
		default:
			s.Data = append(s.Data, v.Float())
		}
	}
	n := len(s.IDs)
	if first {
		s.Dim = len(s.Data)
	}
	positions := len(s.Lat) > 0
	switch got := len(s.Data) - start; {
	case got == 0 || got != s.Dim:
		return fmt.Errorf("%d numbers, the first row has %d", got, s.Dim)
	case int64(len(s.Data)) > MaxCells:
		return fmt.Errorf("more than %d numbers in all", int64(MaxCells))
	case len(s.Lat) != len(s.Lng) || positions && len(s.Lat) != n:
		return errors.New("lat or lng is null; all rows have a position or none has")
	}
	return nil
}
