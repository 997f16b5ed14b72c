package source

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// getnextLayout is the CSV that GETNext reads, in the Gowalla-CA edition
// (checkin_time) and the New York edition (UTC_time and timezone in minutes).
// The normalised times and the trajectory id are derived columns and passed
// over: our own protocols derive them.
var getnextLayout = layout{
	format: GETNext,
	sep:    ',',
	quoted: true,
	header: map[string]field{"user_id": fUser, "POI_id": fPOI, "POI_catname": fCategory,
		"latitude": fLat, "longitude": fLng, "checkin_time": fTime, "UTC_time": fTime, "timezone": fOffset},
	required:  [][]field{{fUser}, {fPOI}, {fLat}, {fLng}, {fTime}},
	parseTime: parseISO,
	category:  getnextCategory,
}

// getnextCategory returns the category name in a printed Python list such as
//
//	[{'url': '/categories/64'; 'name': 'Other - Food '}]
//	[{'url': '/categories/439'; 'name': "Peet's Coffee"}]
//
// where ';' stands for ',' everywhere, names included. Of several categories
// the first counts. The placeholder "dummy" is no category. Any other text is
// taken as the name itself, which is how the New York edition writes it.
func getnextCategory(raw string) string {
	raw = strings.TrimSpace(raw)
	if raw == "dummy" {
		return ""
	}
	if !strings.HasPrefix(raw, "[") && !strings.HasPrefix(raw, "{") {
		return raw
	}
	rest := raw
	for {
		key, after, ok := pythonString(rest)
		if !ok {
			return "" // a printed object without a name
		}
		rest = after
		colon := strings.TrimLeft(rest, " ")
		if key != "name" || !strings.HasPrefix(colon, ":") {
			continue
		}
		name, _, ok := pythonString(colon[1:])
		if !ok {
			return ""
		}
		return strings.TrimSpace(strings.ReplaceAll(name, ";", ","))
	}
}

// pythonString finds the next quoted Python string in s and returns its value
// and what follows it.
func pythonString(s string) (value, rest string, ok bool) {
	i := strings.IndexAny(s, `'"`)
	if i < 0 {
		return "", "", false
	}
	mark := s[i]
	var b strings.Builder
	for s = s[i+1:]; s != ""; {
		switch {
		case s[0] == mark:
			return b.String(), s[1:], true
		case s[0] == '\\' && len(s) > 1:
			var r rune
			r, s = pythonEscape(s)
			b.WriteRune(r)
		default:
			r, n := utf8.DecodeRuneInString(s)
			b.WriteRune(r)
			s = s[n:]
		}
	}
	return "", "", false
}

// pythonEscape reads the escape at the start of s, which is a backslash and at
// least one more byte. An unknown escape is the backslash itself, as in Python.
func pythonEscape(s string) (r rune, rest string) {
	width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if width > 0 && len(s) >= 2+width {
		if v, err := strconv.ParseUint(s[2:2+width], 16, 32); err == nil && v <= utf8.MaxRune {
			return rune(v), s[2+width:]
		}
	}
	switch s[1] {
	case '\\', '\'', '"':
		return rune(s[1]), s[2:]
	case 'n', 't', 'r':
		return ' ', s[2:]
	}
	return '\\', s[1:]
}
