package source

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whereto/whereto/poi"
)

// layout describes a text format with one record a line in separated columns.
// Each such format is one layout value in a file of its own.
type layout struct {
	format Format
	sep    byte
	quoted bool // fields may be in double quotes, as in CSV; a record is still one line
	latin1 bool // a line that is not UTF-8 is ISO-8859-1

	// Without a header: the field of each column, noField for one not used, and
	// the columns' names for messages.
	columns []field
	titles  []string

	// With a header (columns is nil): what each column name means, and the
	// fields that must be there. Of an inner list one suffices.
	schema   *schema // of the native formats, nil else
	header   map[string]field
	required [][]field
	// read reads the cells of a line; nil is the reading of an action.
	read func(t *table, cells [][]byte, r *row) *rowError

	// parseTime reads the fTime column.
	parseTime func([]byte) (ms int64, offset int, e *rowError)
	// localTime says an offset written in fTime is the place's own (unless it is
	// zero, which many tools print for any UTC time).
	localTime bool
	// needZone makes a time without any offset bad; otherwise it is UTC.
	needZone bool
	// needOffset makes an empty fOffset bad; otherwise Options.Zone stands in.
	needOffset bool
	// category turns the raw category into ours; nil keeps it.
	category func(string) string
}

// table parses the lines of one file of a layout.
type table struct {
	layout
	at      [numFields]int // column of each field, -1 if absent
	names   []string       // column names
	ignored []string       // header columns with no meaning here

	cells   [][]byte
	scratch []byte // unquoted text of the current line
	latin   []byte // the current line as UTF-8
	nLatin  int    // lines read as ISO-8859-1

	users, pois, texts interner
	categories         map[string]string // raw -> ours
}

func newTable(l layout) *table {
	t := &table{layout: l, names: l.titles}
	for f := range t.at {
		t.at[f] = -1
	}
	for c, f := range l.columns {
		if f != noField {
			t.at[f] = c
		}
	}
	return t
}

// begin looks at the first line and says whether it was a header.
func (t *table) begin(line []byte) (header bool, err error) {
	if t.columns != nil {
		return false, nil
	}
	cells, ok := t.split(line)
	if !ok {
		return false, fmt.Errorf("the header %s has an unclosed quote: %w", quote(line), poi.ErrBadInput)
	}
	t.names = nil
	for c, cell := range cells {
		name := strings.TrimSpace(string(cell))
		t.names = append(t.names, name)
		f, known := t.header[name]
		switch {
		case !known:
			t.ignored = append(t.ignored, name)
		case t.at[f] >= 0:
			return false, fmt.Errorf("columns %q and %q of the header mean the same; keep one: %w", t.names[t.at[f]], name, poi.ErrBadInput)
		default:
			t.at[f] = c
		}
	}
	return true, t.checkHeader()
}

func (t *table) checkHeader() error {
next:
	for _, anyOf := range t.required {
		var want []string
		for _, f := range anyOf {
			if t.at[f] >= 0 {
				continue next
			}
			for name, g := range t.header {
				if f == g {
					want = append(want, name)
				}
			}
		}
		slices.Sort(want) // map order would change the message
		hint := ""
		if len(t.ignored) > 0 {
			hint = fmt.Sprintf("; is %q that column?", Nearest(want[0], t.ignored))
		}
		return fmt.Errorf("the header has no column %s%s; is the format really %s? The header is %s: %w",
			strings.Join(want, " or "), hint, t.format, quote([]byte(strings.Join(t.names, string(t.sep)))), poi.ErrBadInput)
	}
	return nil
}

// where tells a field's column, from 1, and its name in this file.
func (t *table) where(f field) (int, string) {
	if f == fTime && t.at[fTimeMS] >= 0 {
		f = fTimeMS
	}
	if f == noField {
		return 0, ""
	}
	if c := t.at[f]; c >= 0 {
		return c + 1, t.names[c]
	}
	return 0, fieldNames[f]
}

// warnings are the doubts only the parser knows.
func (t *table) warnings() []string {
	var w []string
	if t.nLatin > 0 {
		w = append(w, fmt.Sprintf("%d lines are not UTF-8 and were read as ISO-8859-1", t.nLatin))
	}
	if t.schema != nil && len(t.ignored) > 0 {
		w = append(w, t.schema.ignoredWarning(t.ignored))
	}
	return w
}

// parse reads one line into r.
func (t *table) parse(line []byte, r *row) *rowError {
	if !utf8.Valid(line) {
		if !t.latin1 {
			return bad(noField, ReasonUTF8, "the line is not UTF-8; convert the file")
		}
		t.nLatin++
		t.latin = t.latin[:0]
		for _, c := range line {
			t.latin = utf8.AppendRune(t.latin, rune(c))
		}
		line = t.latin
	}
	cells, ok := t.split(line)
	if !ok {
		return bad(noField, ReasonQuote, "a quoted value does not end on its line, or text follows its end")
	}
	if len(cells) != len(t.names) {
		return bad(noField, ReasonColumns, "%d columns, expected %d", len(cells), len(t.names))
	}
	if t.read != nil {
		return t.read(t, cells, r)
	}
	return t.decode(cells, r)
}

func (t *table) decode(cells [][]byte, r *row) (e *rowError) {
	r.User = t.users.get(cells[t.at[fUser]])
	r.POI = t.pois.get(cells[t.at[fPOI]])
	if c := t.at[fName]; c >= 0 {
		r.Name = cleanName(t.texts.get(cells[c]))
	}
	if c := t.at[fCategory]; c >= 0 {
		r.Category = t.categoryOf(cells[c])
	}
	if c := t.at[fType]; c >= 0 {
		r.Type = t.texts.get(cells[c])
	}
	if e = checkID(r.User, fUser); e != nil {
		return e // before the numbers: an empty id is the clearer message
	}
	if r.Lat, e = parseCoordinate(cells[t.at[fLat]], fLat); e != nil {
		return e
	}
	if r.Lng, e = parseCoordinate(cells[t.at[fLng]], fLng); e != nil {
		return e
	}
	if e = t.decodeUserPoint(cells, r); e != nil {
		return e
	}
	return t.decodeTime(cells, r)
}

func (t *table) categoryOf(cell []byte) string {
	if t.category == nil {
		return cleanName(t.texts.get(cell))
	}
	if c, ok := t.categories[string(cell)]; ok {
		return c
	}
	if t.categories == nil || len(t.categories) >= maxInterned {
		t.categories = make(map[string]string)
	}
	raw := string(cell)
	c := cleanName(t.category(raw))
	t.categories[raw] = c
	return c
}

func (t *table) decodeUserPoint(cells [][]byte, r *row) (e *rowError) {
	a, b := t.at[fUserLat], t.at[fUserLng]
	if a < 0 && b < 0 {
		return nil
	}
	if a < 0 || b < 0 || (len(cells[a]) == 0) != (len(cells[b]) == 0) {
		return bad(fUserLat, ReasonHalf, "user_lat and user_lng come together or not at all")
	}
	if len(cells[a]) == 0 {
		return nil
	}
	if r.UserLat, e = parseCoordinate(cells[a], fUserLat); e != nil {
		return e
	}
	r.UserLng, e = parseCoordinate(cells[b], fUserLng)
	r.HasUser = true
	return e
}

// decodeTime reads the instant and the offset from UTC.
func (t *table) decodeTime(cells [][]byte, r *row) (e *rowError) {
	if c := t.at[fTimeMS]; c >= 0 {
		r.TimeMS, e = parseInt(cells[c], fTimeMS, "whole milliseconds since 1970")
	} else {
		e = t.readTime(cells[t.at[fTime]], r)
	}
	if e != nil {
		return e
	}
	if c := t.at[fOffset]; c >= 0 && (t.needOffset || len(cells[c]) > 0) {
		r.OffsetMin, e = parseOffset(cells[c])
		r.hasOffset = true
	}
	return e
}

// readTime reads the text of fTime under the layout's rules.
func (l *layout) readTime(text []byte, r *row) *rowError {
	ms, offset, e := l.parseTime(text)
	if e != nil {
		return e
	}
	r.TimeMS = ms
	if offset == noZone && l.needZone {
		return bad(fTime, ReasonTime, "%s tells no offset from UTC; end it in Z or +hh:mm", quote(text))
	}
	if l.localTime && offset != noZone && offset != 0 {
		if e := checkOffset(int64(offset)); e != nil {
			e.field = fTime
			return e
		}
		r.OffsetMin, r.hasOffset = int16(offset), true
	}
	return nil
}

// split cuts a line into cells, valid until the next call. It is false if a
// quoted cell has no end.
func (t *table) split(line []byte) ([][]byte, bool) {
	t.cells = t.cells[:0]
	t.scratch = t.scratch[:0]
	for {
		if t.quoted && len(line) > 0 && line[0] == '"' {
			cell, rest, ok := t.unquote(line[1:])
			if !ok || len(rest) > 0 && rest[0] != t.sep {
				return nil, false
			}
			t.cells = append(t.cells, cell)
			if len(rest) == 0 {
				return t.cells, true
			}
			line = rest[1:]
			continue
		}
		i := bytes.IndexByte(line, t.sep)
		if i < 0 {
			t.cells = append(t.cells, line)
			return t.cells, true
		}
		t.cells = append(t.cells, line[:i])
		line = line[i+1:]
	}
}

// unquote reads a quoted cell after its first quote.
func (t *table) unquote(b []byte) (cell, rest []byte, ok bool) {
	start := len(t.scratch)
	for {
		i := bytes.IndexByte(b, '"')
		if i < 0 {
			return nil, nil, false
		}
		t.scratch = append(t.scratch, b[:i]...)
		b = b[i+1:]
		if len(b) == 0 || b[0] != '"' {
			return t.scratch[start:len(t.scratch):len(t.scratch)], b, true
		}
		t.scratch = append(t.scratch, '"')
		b = b[1:]
	}
}
