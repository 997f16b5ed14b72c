package source

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// shownLayout is the schema of impressions as CSV or TSV.
func shownLayout(sep byte) layout {
	l := nativeLayout(formatImpressions, impressionSchema, sep)
	l.read = (*table).decodeShown
	return l
}

func (t *table) decodeShown(cells [][]byte, r *row) (e *rowError) {
	s := &r.shown
	s.id = t.texts.get(cells[t.at[fID]])
	r.User = t.users.get(cells[t.at[fUser]])
	r.POI = t.pois.get(cells[t.at[fPOI]])
	if e = checkID(s.id, fID); e != nil {
		return e // before the numbers: an empty id is the clearer message
	}
	if e = t.decodeUserPoint(cells, r); e != nil {
		return e
	}
	if e = t.decodeTime(cells, r); e != nil {
		return e
	}
	if c := t.at[fPosition]; c >= 0 && len(cells[c]) > 0 {
		if s.position, e = parseInt(cells[c], fPosition, "a whole number"); e != nil {
			return e
		}
		s.hasPosition = true
	}
	if s.clicked, e = parseClicked(cells[t.at[fClicked]]); e != nil {
		return e
	}
	if s.click, e = t.probability(cells, fClick); e != nil {
		return e
	}
	s.relevance, e = t.probability(cells, fRelevance)
	return e
}

// probability reads an optional column.
func (t *table) probability(cells [][]byte, f field) (float32, *rowError) {
	c := t.at[f]
	if c < 0 || len(cells[c]) == 0 {
		return unknown, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(cells[c])), 32)
	if err != nil {
		return 0, bad(f, ReasonNumber, "%s is not a number", quote(cells[c]))
	}
	return given(float32(v), f)
}

// given checks a probability that a log tells: -1 only stands for one it does not.
func given(v float32, f field) (float32, *rowError) {
	if !(v >= 0) { // the upper bound is checkShown's
		return 0, bad(f, ReasonProbability, "%g is not within 0 to 1; leave it empty where it is unknown", v)
	}
	return v, nil
}

// parseClicked reads true, false, 1 or 0; case is free, for True is what Python prints.
func parseClicked(b []byte) (bool, *rowError) {
	switch b = bytes.TrimSpace(b); {
	case len(b) == 0:
		return false, bad(fClicked, ReasonEmpty, "expected true or false")
	case string(b) == "1", bytes.EqualFold(b, []byte("true")):
		return true, nil
	case string(b) == "0", bytes.EqualFold(b, []byte("false")):
		return false, nil
	}
	return false, bad(fClicked, ReasonClicked, "%s; expected true, false, 1 or 0", quote(b))
}

// jsonShown is one shown POI as JSONL. Pointers tell absent from zero.
type jsonShown struct {
	ID        idText          `json:"id"`
	User      idText          `json:"user"`
	TimeMS    *int64          `json:"time_ms,omitempty"`
	Time      *string         `json:"time,omitempty"`
	OffsetMin *int64          `json:"offset_min,omitempty"`
	UserLat   *float64        `json:"user_lat,omitempty"`
	UserLng   *float64        `json:"user_lng,omitempty"`
	Position  *int64          `json:"position,omitempty"`
	POI       idText          `json:"poi"`
	Clicked   json.RawMessage `json:"clicked"` // true, false, 1 or 0
	Click     *float32        `json:"click,omitempty"`
	Relevance *float32        `json:"relevance,omitempty"`
}

func newShownJSONParser() *jsonParser {
	return jsonParserOf(impressionSchema, (*jsonParser).readShown)
}

func (p *jsonParser) readShown(line []byte, r *row) *rowError {
	var j jsonShown
	if err := json.Unmarshal(line, &j); err != nil {
		return jsonError(err)
	}
	r.shown.id = p.strings.get([]byte(j.ID))
	r.User, r.POI = p.strings.get([]byte(j.User)), p.strings.get([]byte(j.POI))
	if e := checkID(r.shown.id, fID); e != nil {
		return e
	}
	m := sparse{userLat: j.UserLat, userLng: j.UserLng, timeMS: j.TimeMS, time: j.Time, offset: j.OffsetMin}
	if e := m.fillMoment(r); e != nil {
		return e
	}
	clicked := j.Clicked
	if string(clicked) == "null" {
		clicked = nil
	}
	var e *rowError
	if r.shown.clicked, e = parseClicked(clicked); e != nil {
		return e
	}
	return r.shown.fill(j.Position, j.Click, j.Relevance)
}

// fill moves the optional parts into s.
func (s *shownCells) fill(position *int64, click, relevance *float32) (e *rowError) {
	if position != nil {
		s.position, s.hasPosition = *position, true
	}
	s.click, s.relevance = unknown, unknown
	if click != nil {
		if s.click, e = given(*click, fClick); e != nil {
			return e
		}
	}
	if relevance != nil {
		s.relevance, e = given(*relevance, fRelevance)
	}
	return e
}

// parquetShownInput is one shown POI as Parquet tells it: every column optional,
// so that a null becomes a reject and not a zero.
type parquetShownInput struct {
	ID        *string  `parquet:"id,optional"`
	User      *string  `parquet:"user,optional"`
	TimeMS    *int64   `parquet:"time_ms,optional"`
	OffsetMin *int32   `parquet:"offset_min,optional"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	Position  *int64   `parquet:"position,optional"`
	POI       *string  `parquet:"poi,optional"`
	Clicked   *bool    `parquet:"clicked,optional"`
	Click     *float64 `parquet:"click,optional"`
	Relevance *float64 `parquet:"relevance,optional"`
}

func (p *parquetShownInput) fill(r *row, strings *interner) *rowError {
	r.shown.id = strings.copy(p.ID)
	r.User, r.POI = strings.copy(p.User), strings.copy(p.POI)
	if e := checkID(r.shown.id, fID); e != nil {
		return e
	}
	m := sparse{userLat: p.UserLat, userLng: p.UserLng, timeMS: p.TimeMS, offset: widened(p.OffsetMin)}
	if e := m.fillMoment(r); e != nil {
		return e
	}
	if p.Clicked == nil {
		return bad(fClicked, ReasonEmpty, "expected true or false")
	}
	r.shown.clicked = *p.Clicked
	return r.shown.fill(p.Position, narrowed(p.Click), narrowed(p.Relevance))
}

func narrowed(v *float64) *float32 {
	if v == nil {
		return nil
	}
	w := float32(*v) // out of range becomes infinite, which is no probability
	return &w
}
