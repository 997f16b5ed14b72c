package source

import (
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

// sparse holds the parts of a native row that JSON and Parquet may leave out.
type sparse struct {
	lat, lng, userLat, userLng *float64
	timeMS, offset             *int64
	time                       *string
}

func (j *jsonAction) sparse() sparse {
	return sparse{lat: j.Lat, lng: j.Lng, userLat: j.UserLat, userLng: j.UserLng,
		timeMS: j.TimeMS, offset: j.OffsetMin, time: j.Time}
}

// fill moves the parts into r, checking only what Limits.check cannot see.
func (s sparse) fill(r *row) *rowError {
	if e := checkID(r.User, fUser); e != nil {
		return e // the clearer message where a row is empty altogether
	}
	switch {
	case s.lat == nil:
		return bad(fLat, ReasonEmpty, "expected decimal degrees")
	case s.lng == nil:
		return bad(fLng, ReasonEmpty, "expected decimal degrees")
	case (s.userLat == nil) != (s.userLng == nil):
		return bad(fUserLat, ReasonHalf, "user_lat and user_lng come together or not at all")
	}
	r.Lat, r.Lng = *s.lat, *s.lng
	if s.userLat != nil {
		r.UserLat, r.UserLng, r.HasUser = *s.userLat, *s.userLng, true
	}
	switch {
	case s.timeMS != nil:
		r.TimeMS = *s.timeMS
	case s.time != nil:
		if e := nativeTime.readTime([]byte(*s.time), r); e != nil {
			return e
		}
	default:
		return bad(fTimeMS, ReasonEmpty, "expected time_ms or time")
	}
	if s.offset != nil {
		if e := checkOffset(*s.offset); e != nil {
			return e
		}
		r.OffsetMin, r.hasOffset = int16(*s.offset), true
	}
	return nil
}

// parquetAction is the native schema as Parquet, as it is written.
type parquetAction struct {
	User      string   `parquet:"user,dict"`
	POI       string   `parquet:"poi,dict"`
	Name      string   `parquet:"name,dict"`
	Category  string   `parquet:"category,dict"`
	Lat       float64  `parquet:"lat"`
	Lng       float64  `parquet:"lng"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	TimeMS    int64    `parquet:"time_ms,delta"`
	OffsetMin int32    `parquet:"offset_min"`
	Type      string   `parquet:"type,dict"`
}

// parquetInput is the same as it is read: every column optional, as most tools
// write it, so that a null becomes a reject and not a zero.
type parquetInput struct {
	User      *string  `parquet:"user,optional"`
	POI       *string  `parquet:"poi,optional"`
	Name      *string  `parquet:"name,optional"`
	Category  *string  `parquet:"category,optional"`
	Lat       *float64 `parquet:"lat,optional"`
	Lng       *float64 `parquet:"lng,optional"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	TimeMS    *int64   `parquet:"time_ms,optional"`
	OffsetMin *int32   `parquet:"offset_min,optional"`
	Type      *string  `parquet:"type,optional"`
}

// parquetKinds are the physical types each column may have. Anything else is
// refused rather than converted: a date read as a number would be wrong quietly.
var parquetKinds = map[string][]parquet.Kind{
	"user": {parquet.ByteArray}, "poi": {parquet.ByteArray}, "name": {parquet.ByteArray},
	"category": {parquet.ByteArray}, "type": {parquet.ByteArray},
	"lat": {parquet.Double}, "lng": {parquet.Double}, "user_lat": {parquet.Double}, "user_lng": {parquet.Double},
	"time_ms": {parquet.Int64}, "offset_min": {parquet.Int32},
}

var parquetRequired = []string{"user", "poi", "lat", "lng", "time_ms"}

const parquetBatch = 512

// readParquet reads one Parquet file. parquet-go panics on some damaged pages;
// this is the border that turns those into an error.
func (rd *reader) readParquet(ctx context.Context, path string) (err error) {
	file, err := openFile(path)
	if err != nil {
		return err
	}
	defer file.Close()
	inYield := false // a panic of the caller's is not ours to catch
	defer func() {
		if inYield {
			return
		}
		if p := recover(); p != nil {
			err = fmt.Errorf("source: %s: damaged Parquet (%v); write it again: %w", path, p, poi.ErrBadInput)
		}
	}()
	pf, ignored, err := openParquet(path, file)
	if err != nil {
		return err
	}
	fs := newFileStats(path)
	if len(ignored) > 0 {
		fs.notes = append(fs.notes, ignoredWarning(ignored))
	}
	in := parquet.NewGenericReader[parquetInput](pf)
	defer in.Close()
	batch := make([]parquetInput, parquetBatch)
	var strings interner
	for line := 1; ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("source: read %s: %w", path, err)
		}
		clear(batch)
		n, readErr := in.Read(batch)
		for i := range batch[:n] {
			var r row
			e := batch[i].fill(&r, &strings)
			inYield = true
			if err := rd.accept(fs, &r, e, line, nil, parquetWhere); err != nil {
				return err
			}
			inYield = false
			line++
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return fmt.Errorf("source: %s: damaged Parquet after row %d (%v); write it again: %w", path, line-1, readErr, poi.ErrBadInput)
		}
	}
	rd.finish(fs)
	return nil
}

// openParquet reads the footer and checks it; ignored are the columns outside
// the schema.
func openParquet(path string, file *os.File) (pf *parquet.File, ignored []string, err error) {
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
	ignored, err = checkParquetSchema(path, pf.Schema())
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

func parquetWhere(f field) (int, string) {
	switch f {
	case noField:
		return 0, ""
	case fTime:
		f = fTimeMS
	}
	return 0, fieldNames[f]
}

func (p *parquetInput) fill(r *row, strings *interner) *rowError {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return strings.get([]byte(*s))
	}
	r.User, r.POI, r.Type = text(p.User), text(p.POI), text(p.Type)
	r.Name, r.Category = cleanName(text(p.Name)), cleanName(text(p.Category))
	s := sparse{lat: p.Lat, lng: p.Lng, userLat: p.UserLat, userLng: p.UserLng, timeMS: p.TimeMS}
	if p.OffsetMin != nil {
		v := int64(*p.OffsetMin)
		s.offset = &v
	}
	return s.fill(r)
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
func checkParquetSchema(path string, schema *parquet.Schema) (ignored []string, err error) {
	var found []string
	for _, f := range schema.Fields() {
		kinds, known := parquetKinds[f.Name()]
		if !known {
			ignored = append(ignored, f.Name())
			continue
		}
		if !f.Leaf() || f.Repeated() || !slices.Contains(kinds, f.Type().Kind()) {
			return nil, fmt.Errorf("source: %s: column %q has type %s, expected %s: %w", path, f.Name(), f.Type(), kinds[0], poi.ErrBadInput)
		}
		if !isMillis(f.Type()) {
			return nil, fmt.Errorf("source: %s: column %q counts %s, expected milliseconds: %w", path, f.Name(), f.Type(), poi.ErrBadInput)
		}
		found = append(found, f.Name())
	}
	for _, want := range parquetRequired {
		if !slices.Contains(found, want) {
			hint := ""
			if len(ignored) > 0 {
				hint = fmt.Sprintf("; is %q that column?", Nearest(want, ignored))
			}
			return nil, fmt.Errorf("source: %s has no column %q%s; see docs/format/actions.md: %w", path, want, hint, poi.ErrBadInput)
		}
	}
	return ignored, nil
}
