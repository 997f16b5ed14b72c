package source

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// nativeTime holds the rules of the native column time, shared by the encodings:
// an offset must be told, and it is the place's own.
var nativeTime = layout{parseTime: parseISO, localTime: true, needZone: true}

// actionsLayout is the native schema as CSV or TSV. TSV knows no quoting: the
// schema's texts hold no TAB.
func actionsLayout(sep byte) layout {
	return nativeLayout(Actions, actionSchema, sep)
}

func nativeLayout(format Format, s *schema, sep byte) layout {
	return layout{
		format:    format,
		sep:       sep,
		quoted:    sep == ',',
		schema:    s,
		header:    s.header(),
		required:  s.required,
		parseTime: nativeTime.parseTime,
		localTime: nativeTime.localTime,
		needZone:  nativeTime.needZone,
	}
}

// idText is a JSON string, or a number kept as it is written: ids often are
// numbers in logs.
type idText string

func (t *idText) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*t = idText(b)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// jsonAction is one line of the native schema as JSONL. Pointers tell absent
// from zero.
type jsonAction struct {
	User      idText   `json:"user"`
	POI       idText   `json:"poi"`
	Name      string   `json:"name,omitempty"`
	Category  string   `json:"category,omitempty"`
	Lat       *float64 `json:"lat"`
	Lng       *float64 `json:"lng"`
	UserLat   *float64 `json:"user_lat,omitempty"`
	UserLng   *float64 `json:"user_lng,omitempty"`
	TimeMS    *int64   `json:"time_ms,omitempty"`
	Time      *string  `json:"time,omitempty"`
	OffsetMin *int64   `json:"offset_min,omitempty"`
	Type      string   `json:"type,omitempty"`
}

// jsonParser parses a native schema as JSON, one object a line.
type jsonParser struct {
	schema  *schema
	read    func(p *jsonParser, line []byte, r *row) *rowError
	strings interner
	ignored []string // keys outside the schema seen so far, a few
	known   map[string]bool
	looked  int // lines whose keys were looked at
}

// Keys outside the schema are looked for in the first maxLooked lines, because
// it takes a second parse of the line; at most maxIgnored are remembered.
const (
	maxLooked  = 1000
	maxIgnored = 16
)

func newJSONParser() *jsonParser { return jsonParserOf(actionSchema, (*jsonParser).readAction) }

func jsonParserOf(s *schema, read func(*jsonParser, []byte, *row) *rowError) *jsonParser {
	p := &jsonParser{schema: s, read: read, known: make(map[string]bool)}
	for _, f := range s.fields {
		p.known[fieldNames[f]] = true
	}
	return p
}

func (p *jsonParser) begin([]byte) (bool, error) { return false, nil }

func (p *jsonParser) where(f field) (int, string) { return 0, fieldNames[f] }

func (p *jsonParser) warnings() []string {
	if len(p.ignored) == 0 {
		return nil
	}
	return []string{p.schema.ignoredWarning(p.ignored)}
}

func (p *jsonParser) parse(line []byte, r *row) *rowError {
	if !utf8.Valid(line) {
		return bad(noField, ReasonUTF8, "the line is not UTF-8; convert the file")
	}
	if p.looked < maxLooked {
		p.looked++
		p.noteUnknown(line)
	}
	return p.read(p, line, r)
}

func (p *jsonParser) readAction(line []byte, r *row) *rowError {
	var j jsonAction
	if err := json.Unmarshal(line, &j); err != nil {
		return jsonError(err)
	}
	r.User, r.POI = p.strings.get([]byte(j.User)), p.strings.get([]byte(j.POI))
	r.Name, r.Category = cleanName(j.Name), cleanName(p.strings.get([]byte(j.Category)))
	r.Type = p.strings.get([]byte(j.Type))
	return j.sparse().fill(r)
}

// jsonError says what encoding/json found, with the field where it tells.
func jsonError(err error) *rowError {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return bad(noField, ReasonJSON, "%v", err)
	}
	want := "an object"
	switch t.Type.Kind() {
	case reflect.String:
		want = "text"
	case reflect.Float64, reflect.Float32:
		want = "a number"
	case reflect.Int64:
		want = "a whole number"
	}
	var f field = noField
	if i := slices.Index(fieldNames[:], t.Field); i >= 0 {
		f = field(i)
	}
	return bad(f, ReasonJSON, "found %s, expected %s", t.Value, want)
}

// noteUnknown remembers top-level keys outside the schema.
func (p *jsonParser) noteUnknown(line []byte) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(line, &keys) != nil {
		return // null, or not an object: the row fails for its empty user
	}
	for k := range keys {
		if !p.known[strings.ToLower(k)] && len(p.ignored) < maxIgnored && !slices.Contains(p.ignored, k) {
			p.ignored = append(p.ignored, k)
		}
	}
	slices.Sort(p.ignored)
}
