package source

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseRubyTable(t *testing.T) {
	for _, c := range []struct {
		in     string
		want   string // RFC 3339, "" if bad
		offset int
	}{
		{"Tue Apr 03 18:00:09 +0000 2012", "2012-04-03T18:00:09Z", 0},
		{" Tue Apr 03 18:00:09 +0000 2012 ", "2012-04-03T18:00:09Z", 0},
		{"Tue Apr 03 18:00:09 +0530 2012", "2012-04-03T12:30:09Z", 330},
		{"Tue Apr 03 18:00:09 -0930 2012", "2012-04-04T03:30:09Z", -570},
		{"Tue Apr  3 18:00:09 +0000 2012", "2012-04-03T18:00:09Z", 0},
		{"Tue Apr 3 18:00:09 +0000 2012", "2012-04-03T18:00:09Z", 0},
		{"Wed Feb 29 00:00:00 +0000 2012", "2012-02-29T00:00:00Z", 0},
		{"Wed Feb 29 00:00:00 +0000 2013", "", 0},
		{"Tue Avr 03 18:00:09 +0000 2012", "", 0},
		{"Tue Apr 00 18:00:09 +0000 2012", "", 0},
		{"Tue Apr 03 18:60:09 +0000 2012", "", 0},
		{"Tue Apr 03 18:00:60 +0000 2012", "", 0},
		{"Tue Apr 03 18:00:09 00000 2012", "", 0},
		{"Tue Apr 03 18:00:09 +0000", "", 0},
		{"", "", 0},
	} {
		ms, offset, e := parseRuby([]byte(c.in))
		checkParsed(t, c.in, c.want, c.offset, ms, offset, e)
	}
}

func TestParseISOTable(t *testing.T) {
	for _, c := range []struct {
		in     string
		want   string
		offset int
	}{
		{"2010-10-19T23:55:27Z", "2010-10-19T23:55:27Z", 0},
		{"2010-10-19 23:55:27+00:00", "2010-10-19T23:55:27Z", 0},
		{"2010-10-19 23:55:27", "2010-10-19T23:55:27Z", noZone},
		{"2010-10-19T23:55:27.5-0730", "2010-10-20T07:25:27.5Z", -450},
		{"2010-10-19T23:55:27.1239999+02", "2010-10-19T21:55:27.123Z", 120},
		{"2010-10-19T23:55:27.Z", "", 0},
		{"2010-10-19T23:55Z", "", 0},
		{"2010-10-19", "", 0},
		{"2010-02-29T00:00:00Z", "", 0},
		{"2010-10-19T23:55:27+24:00", "", 0},
		{"2010-10-19T23:55:27+01:60", "", 0},
		{"2010-10-19T23:55:27+1:00", "", 0},
		{"2010-10-19T23:55:27z", "", 0},
		{"2010-10-19T23:55:27Zx", "", 0},
		{"0000-01-01T00:00:00Z", "", 0},
		{"2010/10/19 23:55:27", "", 0},
	} {
		ms, offset, e := parseISO([]byte(c.in))
		checkParsed(t, c.in, c.want, c.offset, ms, offset, e)
	}
}

func checkParsed(t *testing.T, in, want string, wantOffset int, ms int64, offset int, e *rowError) {
	t.Helper()
	if want == "" {
		if e == nil || e.reason != ReasonTime {
			t.Errorf("%q: got %s, error %+v; want %q", in, showTime(ms), e, ReasonTime)
		}
		return
	}
	w, err := time.Parse(time.RFC3339Nano, want)
	if err != nil {
		t.Fatal(err)
	}
	if e != nil || ms != w.UnixMilli() || offset != wantOffset {
		t.Errorf("%q: got %d, offset %d, error %+v; want %d, %d", in, ms, offset, e, w.UnixMilli(), wantOffset)
	}
}

// Whatever time.Format prints, the hand-written parsers read as time.Parse does.
func TestParsersAgreeWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sec := rapid.Int64Range(-62135596800, 253402300799).Draw(t, "unix") // years 1 to 9999
		off := rapid.IntRange(-14*60, 14*60).Draw(t, "offset")
		at := time.Unix(sec, 0).In(time.FixedZone("", off*60))
		if y := at.Year(); y < 1 || y > 9999 {
			t.Skip("year without four digits")
		}
		ms, o, e := parseRuby([]byte(at.Format(time.RubyDate)))
		if e != nil || ms != sec*1000 || o != off {
			t.Fatalf("parseRuby(%s) = %d, %d, %+v; want %d, %d", at.Format(time.RubyDate), ms, o, e, sec*1000, off)
		}
		ms, o, e = parseISO([]byte(at.Format("2006-01-02 15:04:05-07:00")))
		if e != nil || ms != sec*1000 || o != off {
			t.Fatalf("parseISO(%s) = %d, %d, %+v; want %d, %d", at, ms, o, e, sec*1000, off)
		}
	})
}

// A calendar check that cannot share a mistake with the generator above: every
// day of 400 years, counted one by one.
func TestCivilDaysCountOneByOne(t *testing.T) {
	ms := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for y := 1900; y < 2300; y++ {
		for mo := 1; mo <= 12; mo++ {
			for d := 1; d <= daysIn(y, mo); d++ {
				if got := civilMS(y, mo, d, 0, 0, 0); got != ms {
					t.Fatalf("civilMS(%d-%02d-%02d) = %d, want %d", y, mo, d, got, ms)
				}
				ms += 86_400_000
			}
		}
	}
	if want := time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli(); ms != want {
		t.Errorf("400 years end at %d, want %d", ms, want)
	}
}

func TestZoneRule(t *testing.T) {
	winter := time.Date(2012, 1, 15, 12, 0, 0, 0, time.UTC).UnixMilli()
	summer := time.Date(2012, 7, 15, 12, 0, 0, 0, time.UTC).UnixMilli()
	for _, c := range []struct {
		zone string
		ms   int64
		lng  float64
		want int16
	}{
		{"", winter, -122.4, -480},
		{"", summer, -122.4, -480}, // no daylight saving at sea
		{"", winter, 0, 0},
		{"", winter, 7.4, 0},
		{"", winter, 7.6, 60},
		{"", winter, 180, 720},
		{"", winter, -180, -720},
		{"America/Los_Angeles", winter, 0, -480},
		{"America/Los_Angeles", summer, 0, -420},
		{"Asia/Kathmandu", summer, 0, 345},
	} {
		rule, err := newZoneRule(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := rule.offset(c.ms, c.lng); got != c.want {
			t.Errorf("zone %q at %s, longitude %g: %d, want %d", c.zone, showTime(c.ms), c.lng, got, c.want)
		}
	}
	for _, zone := range []string{"Local", "Mars/Olympus", "../etc/passwd"} {
		if _, err := newZoneRule(zone); err == nil {
			t.Errorf("zone %q was accepted", zone)
		}
	}
}

func FuzzParseTimes(f *testing.F) {
	for _, s := range []string{"Tue Apr 03 18:00:09 +0000 2012", "2010-10-19T23:55:27Z", "2010-10-19 23:55:27.123+05:30", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ms, _, e := parseRuby([]byte(s)); e == nil {
			got := time.UnixMilli(ms).UTC()
			back, _, e := parseRuby([]byte(got.Format(time.RubyDate)))
			if y := got.Year(); y >= 1 && y <= 9999 && (e != nil || back != ms) {
				t.Errorf("parseRuby(%q) = %s reads back as %d, %+v", s, got, back, e)
			}
		}
		ms, off, e := parseISO([]byte(s))
		if e != nil {
			return
		}
		if off == noZone {
			off = 0
		}
		got := time.UnixMilli(ms).In(time.FixedZone("", off*60))
		if day := got.Format("2006-01-02"); day != trimmed(s)[:10] {
			t.Errorf("parseISO(%q) = %s, another day", s, got)
		}
	})
}
