package source

import (
	"encoding/json"
	"io"
	"iter"
	"strconv"

	"github.com/whereto/whereto/poi"
)

// WriteImpressions writes impressions in the native schema, one row a shown POI
// with its position from 1, and returns how many impressions. The extension of
// path chooses the encoding as in WriteActions, and the file appears whole or not
// at all. Reading it back gives the same impressions. An impression that
// ReadImpressions could not yield, an error from the iterator and no impression
// at all (poi.ErrEmpty) leave nothing behind.
func WriteImpressions(path string, impressions iter.Seq2[*poi.Impression, error]) (n int, err error) {
	enc, gz, err := encodingOf(path)
	if err != nil {
		return 0, err
	}
	return writeWhole(path, "impressions", func(w io.Writer) (int, error) { return writeImpressions(w, enc, gz, impressions) })
}

func writeImpressions(w io.Writer, enc encoding, gz bool, impressions iter.Seq2[*poi.Impression, error]) (int, error) {
	limits, err := Limits{}.withDefaults()
	if err != nil {
		return 0, err
	}
	rd := &reader{opt: Options{Limits: limits}}
	rules := &gather{yield: func(*poi.Impression) error { return nil }}
	return buffered(w, gz, func(out io.Writer) (n int, err error) {
		sw := newShownWriter(out, enc)
		for im, err := range impressions {
			if err == nil {
				err = rules.checkImpression(rd, im)
			}
			if err != nil {
				return n, err
			}
			for i := range im.Shown {
				if err := sw.write(im, i); err != nil {
					return n, err
				}
			}
			n++
		}
		return n, sw.close()
	})
}

// shownWriter writes rows of impressions in one encoding.
type shownWriter interface {
	write(im *poi.Impression, i int) error
	close() error // flushes; the file itself stays open
}

func newShownWriter(w io.Writer, enc encoding) shownWriter {
	switch enc {
	case encParquet:
		return parquetShownWriter{newParquetRows[parquetShown](w)}
	case encJSONL:
		return jsonShownWriter{newJSONEncoder(w)}
	}
	return &cellShown{cellWriter: newCellWriter(w, enc, shownColumns)}
}

// shownColumns is the order of columns in CSV and TSV.
var shownColumns = []string{"id", "user", "time_ms", "offset_min", "user_lat", "user_lng", "position", "poi", "clicked", "click", "relevance"}

type cellShown struct {
	cellWriter
	cells []string
}

// write writes the cells in the order of shownColumns.
func (c *cellShown) write(im *poi.Impression, i int) error {
	s := &im.Shown[i]
	lat, lng := userCells(im.HasUser, im.UserLat, im.UserLng)
	c.cells = append(c.cells[:0], im.ID, im.User, strconv.FormatInt(im.TimeMS, 10), strconv.Itoa(int(im.OffsetMin)), lat, lng,
		strconv.Itoa(i+1), s.POI, strconv.FormatBool(s.Clicked), probabilityCell(s.Click), probabilityCell(s.Relevance))
	return c.row(c.cells)
}

func probabilityCell(p float32) string {
	if p == unknown {
		return ""
	}
	return strconv.FormatFloat(float64(p), 'g', -1, 32)
}

// probability returns a copy, or nil where it is unknown.
func probability(p float32) *float32 {
	if p == unknown {
		return nil
	}
	return &p
}

type jsonShownWriter struct{ e *json.Encoder }

func (j jsonShownWriter) write(im *poi.Impression, i int) error {
	s := &im.Shown[i]
	offset, position := int64(im.OffsetMin), int64(i)+1
	out := jsonShown{ID: idText(im.ID), User: idText(im.User), TimeMS: &im.TimeMS, OffsetMin: &offset, Position: &position,
		POI: idText(s.POI), Clicked: strconv.AppendBool(nil, s.Clicked), Click: probability(s.Click), Relevance: probability(s.Relevance)}
	if im.HasUser {
		out.UserLat, out.UserLng = &im.UserLat, &im.UserLng
	}
	return j.e.Encode(&out)
}

func (j jsonShownWriter) close() error { return nil }

// parquetShown is one shown POI as Parquet, as it is written.
type parquetShown struct {
	ID        string   `parquet:"id,dict"`
	User      string   `parquet:"user,dict"`
	TimeMS    int64    `parquet:"time_ms,delta"`
	OffsetMin int32    `parquet:"offset_min"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	Position  int32    `parquet:"position"`
	POI       string   `parquet:"poi,dict"`
	Clicked   bool     `parquet:"clicked"`
	Click     *float32 `parquet:"click,optional"`
	Relevance *float32 `parquet:"relevance,optional"`
}

type parquetShownWriter struct{ rows *parquetRows[parquetShown] }

func (p parquetShownWriter) write(im *poi.Impression, i int) error {
	s := &im.Shown[i]
	row := parquetShown{ID: im.ID, User: im.User, TimeMS: im.TimeMS, OffsetMin: int32(im.OffsetMin), Position: int32(i) + 1,
		POI: s.POI, Clicked: s.Clicked, Click: probability(s.Click), Relevance: probability(s.Relevance)}
	if im.HasUser {
		lat, lng := im.UserLat, im.UserLng // the impression is valid for this call only
		row.UserLat, row.UserLng = &lat, &lng
	}
	return p.rows.write(row, 0)
}

func (p parquetShownWriter) close() error { return p.rows.close() }
