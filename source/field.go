package source

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/whereto/whereto/poi"
)

// field is one part of a record that a column may hold.
type field uint8

const (
	fUser field = iota
	fPOI
	fName
	fCategory
	fLat
	fLng
	fUserLat
	fUserLng
	fTimeMS // whole milliseconds since 1970
	fTime   // text
	fOffset
	fType
	noField // the whole line; also a column that is not used
	// Of impressions.
	fID
	fPosition
	fClicked
	fClick
	fRelevance
	// Of places.
	fClosed
	fAddress
	fTags
	fReviews
	fImage
	// Of profiles.
	fGender
	fAgeBand
	fOccupation
	numFields
)

// fieldNames are the column names of the native schemas, and the names in
// rejects where a format has no header.
var fieldNames = [numFields]string{"user", "poi", "name", "category", "lat", "lng",
	"user_lat", "user_lng", "time_ms", "time", "offset_min", "type", "",
	"id", "position", "clicked", "click", "relevance",
	"closed", "address", "tags", "reviews", "image",
	"gender", "age_band", "occupation"}

// schema is one native kind of record.
type schema struct {
	page     string // where it is described
	batch    int    // how many rows of Parquet are decoded at a time; 0 is parquetBatch
	fields   []field
	required [][]field // of an inner list one suffices
}

var actionSchema = &schema{page: "docs/format/actions.md",
	fields:   []field{fUser, fPOI, fName, fCategory, fLat, fLng, fUserLat, fUserLng, fTimeMS, fTime, fOffset, fType},
	required: [][]field{{fUser}, {fPOI}, {fLat}, {fLng}, {fTimeMS, fTime}}}

// header returns the fields by column name.
func (s *schema) header() map[string]field {
	h := make(map[string]field, len(s.fields))
	for _, f := range s.fields {
		h[fieldNames[f]] = f
	}
	return h
}

// ignoredWarning tells of columns outside the schema; names is not empty.
func (s *schema) ignoredWarning(names []string) string {
	var known []string
	for _, f := range s.fields {
		known = append(known, fieldNames[f])
	}
	first := names[0]
	return fmt.Sprintf("ignored %d columns that are not in the schema: %q (the schema's nearest to %q is %q)",
		len(names), names, first, Nearest(first, known))
}

// typeCheckin is the action type of the check-in formats, and of native rows
// that leave it out.
const typeCheckin = "checkin"

// maxOffset is the largest offset from UTC in use (Line Islands), in minutes.
const maxOffset = 14 * 60

// row is a line being read: an action, or one shown POI of an impression, which
// uses the user, POI, position and time of the action and has shown besides.
type row struct {
	poi.Action
	hasOffset bool // OffsetMin came from the log
	shown     shownCells
}

// parseCoordinate reads decimal degrees.
func parseCoordinate(b []byte, f field) (float64, *rowError) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return 0, bad(f, ReasonEmpty, "expected decimal degrees")
	}
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0, bad(f, ReasonNumber, "%s is not decimal degrees", quote(b))
	}
	return v, nil
}

// parseInt reads a whole number.
func parseInt(b []byte, f field, what string) (int64, *rowError) {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return 0, bad(f, ReasonEmpty, "expected %s", what)
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, bad(f, ReasonNumber, "%s is not %s", quote(b), what)
	}
	return v, nil
}

// parseOffset reads minutes east of UTC and checks them, so that the value fits
// Action.OffsetMin.
func parseOffset(b []byte) (int16, *rowError) {
	v, e := parseInt(b, fOffset, "whole minutes from UTC")
	if e == nil {
		e = checkOffset(v)
	}
	return int16(v), e
}

func checkOffset(v int64) *rowError {
	if v < -maxOffset || v > maxOffset {
		return bad(fOffset, ReasonOffset, "%d minutes; zones lie within -840 to +840", v)
	}
	return nil
}

// checkPoint checks a pair of coordinates.
func checkPoint(lat, lng float64, fLat, fLng field) *rowError {
	switch {
	case !finite(lat):
		return bad(fLat, ReasonNotFinite, "%g", lat)
	case !finite(lng):
		return bad(fLng, ReasonNotFinite, "%g", lng)
	case math.Abs(lat) > 90 && math.Abs(lat) <= 180 && math.Abs(lng) <= 90:
		return bad(fLat, ReasonSwapped, "latitude %g, longitude %g: only the other way round a point on Earth", lat, lng)
	case math.Abs(lat) > 90:
		return bad(fLat, ReasonCoordinates, "latitude %g is not within -90 to 90", lat)
	case math.Abs(lng) > 180:
		return bad(fLng, ReasonCoordinates, "longitude %g is not within -180 to 180", lng)
	case lat == 0 && lng == 0:
		return bad(fLat, ReasonZero, "a device without a position writes this")
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// checkText refuses what no encoding could carry through unchanged.
func checkText(s string, f field) *rowError {
	if !utf8.ValidString(s) {
		return bad(f, ReasonUTF8, "%q", s)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return bad(f, ReasonControl, "%q holds a control character at byte %d", s, i)
	}
	return nil
}

func checkID(s string, f field) *rowError {
	if strings.TrimSpace(s) == "" {
		return bad(f, ReasonEmpty, "every row names its %s", fieldNames[f])
	}
	return checkText(s, f)
}

// check is the rule book of one action; Read and WriteActions share it.
func (l Limits) check(a *poi.Action) *rowError {
	if e := checkID(a.User, fUser); e != nil {
		return e
	}
	if e := checkID(a.POI, fPOI); e != nil {
		return e
	}
	if e := checkText(a.Name, fName); e != nil {
		return e
	}
	if e := checkText(a.Category, fCategory); e != nil {
		return e
	}
	if e := checkPoint(a.Lat, a.Lng, fLat, fLng); e != nil {
		return e
	}
	if a.HasUser {
		if e := checkPoint(a.UserLat, a.UserLng, fUserLat, fUserLng); e != nil {
			return e
		}
	}
	if e := l.checkTime(a.TimeMS); e != nil {
		return e
	}
	if e := checkOffset(int64(a.OffsetMin)); e != nil {
		return e
	}
	return checkID(a.Type, fType)
}

func (l Limits) checkTime(ms int64) *rowError {
	if ms < l.MinTime.UnixMilli() || ms >= l.MaxTime.UnixMilli() {
		return bad(fTime, ReasonTimeRange, "%s is not within %s to %s; are the units right?",
			showTime(ms), l.MinTime.Format("2006-01-02"), l.MaxTime.Format("2006-01-02"))
	}
	return nil
}

// cleanName replaces control characters of a display text by spaces: names come
// from people, and a stray TAB is no reason to lose a check-in. Ids are never
// touched, a changed id would be another id.
func cleanName(s string) string {
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// interner keeps one copy of each repeated string, so that a row costs no
// allocation for its user, POI or category.
type interner struct{ seen map[string]string }

// maxInterned bounds the table; past it the table starts anew.
const maxInterned = 1 << 19

// copy is get for a text that may be absent.
func (t *interner) copy(s *string) string {
	if s == nil {
		return ""
	}
	return t.get([]byte(*s))
}

func (t *interner) get(b []byte) string {
	if s, ok := t.seen[string(b)]; ok {
		return s
	}
	if t.seen == nil || len(t.seen) >= maxInterned {
		t.seen = make(map[string]string)
	}
	s := string(b)
	t.seen[s] = s
	return s
}
