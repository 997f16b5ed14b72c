package source

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/whereto/whereto/poi"
)

// noZone as a parsed offset says the text told no offset from UTC.
const noZone = math.MinInt32

// parseRuby reads "Tue Apr 03 18:00:09 +0000 2012". ms is the UTC instant and
// offset the written offset in minutes. The weekday is not compared with the
// date: it carries nothing.
func parseRuby(b []byte) (ms int64, offset int, e *rowError) {
	b = bytes.TrimSpace(b)
	if len(b) == 30 && b[3] == ' ' && b[7] == ' ' && b[10] == ' ' && b[13] == ':' && b[16] == ':' &&
		b[19] == ' ' && b[25] == ' ' {
		month := monthNumber(b[4:7])
		d, ok1 := digits(b[8:10])
		h, ok2 := digits(b[11:13])
		m, ok3 := digits(b[14:16])
		s, ok4 := digits(b[17:19])
		y, ok5 := digits(b[26:30])
		off, ok6 := zoneOffset(b[20:25])
		if ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && validCivil(y, month, d, h, m, s) {
			return civilMS(y, month, d, h, m, s) - int64(off)*60_000, off, nil
		}
	}
	t, err := time.Parse("Mon Jan _2 15:04:05 -0700 2006", string(b)) // one-digit days
	if err != nil {
		return 0, 0, bad(fTime, ReasonTime, "%s; expected a date like %q", quote(b), "Tue Apr 03 18:00:09 +0000 2012")
	}
	_, sec := t.Zone()
	return t.UnixMilli(), sec / 60, nil
}

// parseISO reads "2010-10-19T23:55:27Z" and its relatives: a space for the T,
// a fraction of a second (cut to milliseconds), Z, +hh, +hhmm or +hh:mm, or no
// zone at all, which is read as UTC and told by offset noZone.
func parseISO(b []byte) (ms int64, offset int, e *rowError) {
	b = bytes.TrimSpace(b)
	fail := func() (int64, int, *rowError) {
		return 0, 0, bad(fTime, ReasonTime, "%s; expected a time like %q", quote(b), "2010-10-19T23:55:27Z")
	}
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return fail()
	}
	y, ok1 := digits(b[0:4])
	mo, ok2 := digits(b[5:7])
	d, ok3 := digits(b[8:10])
	h, ok4 := digits(b[11:13])
	m, ok5 := digits(b[14:16])
	s, ok6 := digits(b[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || !validCivil(y, mo, d, h, m, s) {
		return fail()
	}
	milli, rest, ok := fraction(b[19:])
	if !ok {
		return fail()
	}
	ms = civilMS(y, mo, d, h, m, s) + milli
	switch {
	case len(rest) == 0:
		return ms, noZone, nil
	case string(rest) == "Z":
		return ms, 0, nil
	}
	off, ok := zoneOffset(rest)
	if !ok {
		return fail()
	}
	return ms - int64(off)*60_000, off, nil
}

// fraction reads an optional ".123456" and returns whole milliseconds.
func fraction(b []byte) (ms int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	b = b[1:]
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		if n < 3 {
			ms = ms*10 + int64(b[n]-'0')
		}
		n++
	}
	for i := n; i < 3; i++ {
		ms *= 10
	}
	return ms, b[n:], n > 0
}

// zoneOffset reads +hh, +hhmm or +hh:mm as minutes.
func zoneOffset(b []byte) (min int, ok bool) {
	if len(b) == 6 && b[3] == ':' {
		b = []byte{b[0], b[1], b[2], b[4], b[5]}
	}
	if len(b) != 5 && len(b) != 3 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	h, ok := digits(b[1:3])
	m := 0
	if len(b) == 5 && ok {
		m, ok = digits(b[3:5])
	}
	if !ok || m > 59 || h > 23 {
		return 0, false
	}
	if b[0] == '-' {
		return -(h*60 + m), true
	}
	return h*60 + m, true
}

// digits reads an unsigned number of ASCII digits only.
func digits(b []byte) (int, bool) {
	v := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// monthNumber returns 1..12 of a three-letter English month, 0 if it is none.
func monthNumber(b []byte) int {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(names); i += 3 {
		if string(b) == names[i:i+3] {
			return i/3 + 1
		}
	}
	return 0
}

// validCivil reports whether the date and time of day exist. Leap seconds are
// refused: UTC milliseconds cannot hold them.
func validCivil(y, mo, d, h, m, s int) bool {
	return y >= 1 && mo >= 1 && mo <= 12 && d >= 1 && d <= daysIn(y, mo) && h <= 23 && m <= 59 && s <= 59
}

func daysIn(y, mo int) int {
	switch {
	case mo == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
		return 29
	case mo == 2:
		return 28
	case mo == 4 || mo == 6 || mo == 9 || mo == 11:
		return 30
	}
	return 31
}

// civilMS returns the milliseconds since 1970 of a UTC date. Days are counted
// in 400-year eras that begin in March, so that the leap day comes last
// (Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil).
func civilMS(y, mo, d, h, m, s int) int64 {
	if mo <= 2 {
		y--
		mo += 12
	}
	era := y / 400 // not negative: validCivil admits no year 0
	yoe := y - era*400
	doy := (153*(mo-3)+2)/5 + d - 1
	days := era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
	return int64(((days*24+h)*60+m)*60+s) * 1000
}

func showTime(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// zoneRule gives the offset of rows that do not tell their own.
type zoneRule struct{ loc *time.Location } // nil: the nautical rule

func newZoneRule(zone string) (zoneRule, error) {
	switch zone {
	case "":
		return zoneRule{}, nil
	case "Local":
		return zoneRule{}, fmt.Errorf("source: Zone %q would depend on the machine; name a zone like \"America/Los_Angeles\": %w", zone, poi.ErrBadInput)
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return zoneRule{}, fmt.Errorf("source: Zone %q is not an IANA time zone like \"America/Los_Angeles\" (%v): %w", zone, err, poi.ErrBadInput)
	}
	return zoneRule{loc}, nil
}

// offset returns local time minus UTC in minutes at an instant and longitude.
func (z zoneRule) offset(ms int64, lng float64) int16 {
	if z.loc == nil {
		return int16(math.Round(lng/15)) * 60
	}
	_, sec := time.UnixMilli(ms).In(z.loc).Zone()
	return int16(sec / 60)
}
