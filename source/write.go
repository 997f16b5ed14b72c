package source

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/parquet-go/parquet-go"

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
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return 0, fmt.Errorf("source: write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if n, err = writeTo(tmp, enc, gz, actions); err != nil {
		return 0, fmt.Errorf("source: write %s after %d actions: %w", path, n, err)
	}
	if n == 0 {
		return 0, fmt.Errorf("source: write %s: no actions: %w", path, poi.ErrEmpty)
	}
	if err = commit(tmp, path); err != nil {
		return 0, fmt.Errorf("source: write %s: %w", path, err)
	}
	return n, nil
}

// commit makes a finished temporary file the file at path, durably.
func commit(tmp *os.File, path string) error {
	if err := tmp.Chmod(0o644); err != nil { // CreateTemp gives 0600
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// writeTo writes every action to w and flushes.
func writeTo(w io.Writer, enc encoding, gz bool, actions iter.Seq2[*poi.Action, error]) (n int, err error) {
	buf := bufio.NewWriterSize(w, readBuffer)
	out := io.Writer(buf)
	var zip *gzip.Writer
	if gz {
		zip = gzip.NewWriter(buf)
		out = zip
	}
	limits, err := Limits{}.withDefaults()
	if err != nil {
		return 0, err
	}
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
	if err := aw.close(); err != nil {
		return n, err
	}
	if zip != nil {
		if err := zip.Close(); err != nil {
			return n, err
		}
	}
	return n, buf.Flush()
}

func newActionWriter(w io.Writer, enc encoding) actionWriter {
	switch enc {
	case encParquet:
		return newParquetWriter(w)
	case encJSONL:
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return jsonWriter{e}
	case encTSV:
		return &textWriter{w: w, first: true}
	}
	return &csvWriter{w: csv.NewWriter(w), first: true}
}

// textColumns is the order of columns in CSV and TSV.
var textColumns = []string{"user", "poi", "name", "category", "lat", "lng", "user_lat", "user_lng", "time_ms", "offset_min", "type"}

// appendCells appends an action's cells in the order of textColumns. Floats are
// the shortest text that reads back as the same number.
func appendCells(dst []string, a *poi.Action) []string {
	float := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	userLat, userLng := "", ""
	if a.HasUser {
		userLat, userLng = float(a.UserLat), float(a.UserLng)
	}
	return append(dst, a.User, a.POI, a.Name, a.Category, float(a.Lat), float(a.Lng), userLat, userLng,
		strconv.FormatInt(a.TimeMS, 10), strconv.Itoa(int(a.OffsetMin)), a.Type)
}

type csvWriter struct {
	w     *csv.Writer
	first bool
	cells []string
}

func (c *csvWriter) write(a *poi.Action) error {
	if c.first {
		c.first = false
		if err := c.w.Write(textColumns); err != nil {
			return err
		}
	}
	c.cells = appendCells(c.cells[:0], a)
	return c.w.Write(c.cells)
}

func (c *csvWriter) close() error {
	c.w.Flush()
	return c.w.Error()
}

// textWriter writes TSV: no quoting, Check keeps TAB and line ends out.
type textWriter struct {
	w     io.Writer
	first bool
	cells []string
	line  []byte
}

func (t *textWriter) write(a *poi.Action) error {
	t.line = t.line[:0]
	if t.first {
		t.first = false
		t.appendLine(textColumns)
	}
	t.cells = appendCells(t.cells[:0], a)
	t.appendLine(t.cells)
	_, err := t.w.Write(t.line)
	return err
}

func (t *textWriter) appendLine(cells []string) {
	for i, c := range cells {
		if i > 0 {
			t.line = append(t.line, '\t')
		}
		t.line = append(t.line, c...)
	}
	t.line = append(t.line, '\n')
}

func (t *textWriter) close() error { return nil }

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

// parquetWriter gathers rows in batches.
type parquetWriter struct {
	w     *parquet.GenericWriter[parquetAction]
	batch []parquetAction
}

// rowGroupRows bounds what a reader and the writer hold in memory.
const rowGroupRows = 128 << 10

func newParquetWriter(w io.Writer) *parquetWriter {
	return &parquetWriter{w: parquet.NewGenericWriter[parquetAction](w, parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(rowGroupRows), parquet.CreatedBy("whereto", "1", ""))}
}

func (p *parquetWriter) write(a *poi.Action) error {
	row := parquetAction{User: a.User, POI: a.POI, Name: a.Name, Category: a.Category, Lat: a.Lat, Lng: a.Lng,
		TimeMS: a.TimeMS, OffsetMin: int32(a.OffsetMin), Type: a.Type}
	if a.HasUser {
		lat, lng := a.UserLat, a.UserLng // the action is valid for this call only
		row.UserLat, row.UserLng = &lat, &lng
	}
	p.batch = append(p.batch, row)
	if len(p.batch) < parquetBatch {
		return nil
	}
	return p.flush()
}

func (p *parquetWriter) flush() error {
	_, err := p.w.Write(p.batch)
	p.batch = p.batch[:0]
	return err
}

func (p *parquetWriter) close() error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.w.Close()
}
