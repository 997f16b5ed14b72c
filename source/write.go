package source

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// Check returns an error wrapping poi.ErrBadInput if a is not an action that
// Read could yield under the default Limits (see the package comment).
func Check(a *poi.Action) error {
	l, err := Limits{}.withDefaults()
	if err != nil {
		return err
	}
	return l.checkWrite(a)
}

func (l Limits) checkWrite(a *poi.Action) error {
	if e := l.check(a); e != nil {
		return fmt.Errorf("source: action of user %q at POI %q: %s: %s: %s: %w", a.User, a.POI, fieldNames[e.field], e.reason, e.detail, poi.ErrBadInput)
	}
	return nil
}

// actionWriter writes actions in one encoding.
type actionWriter interface {
	write(a *poi.Action) error
	close() error // flushes; the file itself stays open
}

// WriteActions writes actions in the native schema and returns how many. The
// extension of path chooses the encoding: .parquet (zstd), .csv, .tsv or .jsonl,
// the last three optionally followed by .gz. Reading the file back gives the
// same actions; Seq is not written, it is the order of the rows.
//
// The file appears whole or not at all: it is written beside path under a
// temporary name, synced and renamed. An action that does not pass Check, an
// error from the iterator and no action at all (poi.ErrEmpty) leave nothing
// behind, and an older file of that name as it was.
func WriteActions(path string, actions iter.Seq2[*poi.Action, error]) (n int, err error) {
	enc, gz, err := encodingOf(path)
	if err != nil {
		return 0, err
	}
	return writeWhole(path, "actions", func(w io.Writer) (int, error) { return writeTo(w, enc, gz, actions) })
}

// writeWhole writes a file that appears whole or not at all; fill returns how
// many records it wrote, and none is an error.
func writeWhole(path, records string, fill func(w io.Writer) (int, error)) (n int, err error) {
	err = file.Write(path, func(w io.Writer) error {
		if n, err = fill(w); err != nil {
			return fmt.Errorf("after %d %s: %w", n, records, err)
		}
		if n == 0 {
			return fmt.Errorf("no %s: %w", records, poi.ErrEmpty)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("source: %w", err)
	}
	return n, nil
}

// writeTo writes every action to w and flushes.
func writeTo(w io.Writer, enc encoding, gz bool, actions iter.Seq2[*poi.Action, error]) (n int, err error) {
	limits, err := Limits{}.withDefaults()
	if err != nil {
		return 0, err
	}
	return buffered(w, gz, func(out io.Writer) (n int, err error) {
		aw := newActionWriter(out, enc)
		for a, err := range actions {
			if err == nil {
				err = limits.checkWrite(a)
			}
			if err == nil {
				err = aw.write(a)
			}
			if err != nil {
				return n, err
			}
			n++
		}
		return n, aw.close()
	})
}

// buffered calls fill with a buffer before w, and gzip before that if asked, and
// flushes both.
func buffered(w io.Writer, gz bool, fill func(io.Writer) (int, error)) (n int, err error) {
	buf := bufio.NewWriterSize(w, readBuffer)
	if !gz {
		if n, err = fill(buf); err != nil {
			return n, err
		}
		return n, buf.Flush()
	}
	zip := gzip.NewWriter(buf)
	if n, err = fill(zip); err != nil {
		return n, err
	}
	if err = zip.Close(); err != nil {
		return n, err
	}
	return n, buf.Flush()
}

func newActionWriter(w io.Writer, enc encoding) actionWriter {
	switch enc {
	case encParquet:
		return parquetActions{newParquetRows[parquetAction](w)}
	case encJSONL:
		return jsonWriter{newJSONEncoder(w)}
	}
	return &cellActions{cellWriter: newCellWriter(w, enc, textColumns)}
}

func newJSONEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// textColumns is the order of columns in CSV and TSV.
var textColumns = []string{"user", "poi", "name", "category", "lat", "lng", "user_lat", "user_lng", "time_ms", "offset_min", "type"}

// cellActions writes actions as CSV or TSV.
type cellActions struct {
	cellWriter
	cells []string
}

// write writes an action's cells in the order of textColumns.
func (c *cellActions) write(a *poi.Action) error {
	userLat, userLng := userCells(a.HasUser, a.UserLat, a.UserLng)
	c.cells = append(c.cells[:0], a.User, a.POI, a.Name, a.Category, floatCell(a.Lat), floatCell(a.Lng), userLat, userLng,
		strconv.FormatInt(a.TimeMS, 10), strconv.Itoa(int(a.OffsetMin)), a.Type)
	return c.row(c.cells)
}

// floatCell is the shortest text that reads back as the same number.
func floatCell(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func userCells(has bool, lat, lng float64) (string, string) {
	if !has {
		return "", ""
	}
	return floatCell(lat), floatCell(lng)
}

// cellWriter writes rows of cells.
type cellWriter interface {
	row(cells []string) error
	close() error
}

func newCellWriter(w io.Writer, enc encoding, header []string) cellWriter {
	if enc == encTSV {
		return &tsvWriter{w: w, header: header}
	}
	return &csvWriter{w: csv.NewWriter(w), header: header}
}

// csvWriter writes the header with the first row.
type csvWriter struct {
	w      *csv.Writer
	header []string
}

func (c *csvWriter) row(cells []string) error {
	if c.header != nil {
		if err := c.w.Write(c.header); err != nil {
			return err
		}
		c.header = nil
	}
	return c.w.Write(cells)
}

func (c *csvWriter) close() error {
	c.w.Flush()
	return c.w.Error()
}

// tsvWriter does not quote: the checks keep TAB and line ends out.
type tsvWriter struct {
	w      io.Writer
	header []string
	line   []byte
}

func (t *tsvWriter) row(cells []string) error {
	t.line = t.line[:0]
	if t.header != nil {
		t.appendLine(t.header)
		t.header = nil
	}
	t.appendLine(cells)
	_, err := t.w.Write(t.line)
	return err
}

func (t *tsvWriter) appendLine(cells []string) {
	for i, c := range cells {
		if i > 0 {
			t.line = append(t.line, '\t')
		}
		t.line = append(t.line, c...)
	}
	t.line = append(t.line, '\n')
}

func (t *tsvWriter) close() error { return nil }

type jsonWriter struct{ e *json.Encoder }

func (j jsonWriter) write(a *poi.Action) error {
	offset := int64(a.OffsetMin)
	out := jsonAction{User: idText(a.User), POI: idText(a.POI), Name: a.Name, Category: a.Category,
		Lat: &a.Lat, Lng: &a.Lng, TimeMS: &a.TimeMS, OffsetMin: &offset, Type: a.Type}
	if a.HasUser {
		out.UserLat, out.UserLng = &a.UserLat, &a.UserLng
	}
	return j.e.Encode(&out)
}

func (j jsonWriter) close() error { return nil }

type parquetActions struct{ rows *parquetRows[parquetAction] }

func (p parquetActions) write(a *poi.Action) error {
	row := parquetAction{User: a.User, POI: a.POI, Name: a.Name, Category: a.Category, Lat: a.Lat, Lng: a.Lng,
		TimeMS: a.TimeMS, OffsetMin: int32(a.OffsetMin), Type: a.Type}
	if a.HasUser {
		lat, lng := a.UserLat, a.UserLng // the action is valid for this call only
		row.UserLat, row.UserLng = &lat, &lng
	}
	return p.rows.write(row, 0)
}

func (p parquetActions) close() error { return p.rows.close() }
