package source

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func trimmed(s string) string { return string(bytes.TrimSpace([]byte(s))) }

func splitStrings(l layout, line string) ([]string, bool) {
	t := newTable(l)
	cells, ok := t.split([]byte(line))
	var out []string
	for _, c := range cells {
		out = append(out, string(c))
	}
	return out, ok
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: refused
	}{
		{"", []string{""}},
		{"a,b", []string{"a", "b"}},
		{",", []string{"", ""}},
		{`"a,b",c`, []string{"a,b", "c"}},
		{`"",""`, []string{"", ""}},
		{`"say ""hi""",""""`, []string{`say "hi"`, `"`}},
		{`a"b,c`, []string{`a"b`, "c"}},
		{`"open,c`, nil},
		{`"a"b,c`, nil},
		{`c,"`, nil},
	} {
		got, ok := splitStrings(tsmcCSVLayout, c.in)
		if ok != (c.want != nil) || ok && !slices.Equal(got, c.want) {
			t.Errorf("split(%q) = %q, %v; want %q", c.in, got, ok, c.want)
		}
	}
}

// What encoding/csv writes on one line, split reads back.
func TestSplitReadsWhatCSVWrites(t *testing.T) {
	cell := rapid.StringOf(rapid.SampledFrom([]rune(`ab ,;"'é` + "\t")))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(cell, 1, 6).Draw(t, "cells")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		got, ok := splitStrings(tsmcCSVLayout, strings.TrimSuffix(b.String(), "\n"))
		if !ok || !slices.Equal(got, want) {
			t.Fatalf("%q was written as %q and read as %q, %v", want, b.String(), got, ok)
		}
	})
}

func TestGETNextCategory(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`[{'url': '/categories/64'; 'name': 'Other - Food '}]`, "Other - Food"},
		{`[{'url': '/categories/64', 'name': 'Food, Drink'}]`, "Food, Drink"},
		{`[{'url': '/categories/64'; 'name': 'Food; Drink'}]`, "Food, Drink"},
		{`[{'url': '/categories/439'; 'name': "Peet's Coffee"}]`, "Peet's Coffee"},
		{`[{'name': 'Peet\'s \"best\" \\ caf\xe9 \u2615'}]`, `Peet's "best" \ café ☕`},
		{`[{'name': 'a\qb\x4'}]`, `a\qb\x4`},
		{`[{'name': 'First'}; {'name': 'Second'}]`, "First"},
		{`[{'url': 'name'; 'name': 'Right'}]`, "Right"},
		{`[{'url': '/categories/64'}]`, ""},
		{`[{'name': 'never closed`, ""},
		{`[{'name': `, ""},
		{`[]`, ""},
		{`dummy`, ""},
		{` Coffee Shop `, "Coffee Shop"},
		{`Joe's "Bar"`, `Joe's "Bar"`},
		{``, ""},
	} {
		if got := getnextCategory(c.in); got != c.want {
			t.Errorf("getnextCategory(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestGETNextNewYorkEdition(t *testing.T) {
	path := writeFile(t, "NYC_val.csv", "user_id,POI_id,POI_catid,POI_catid_code,POI_catname,latitude,longitude,timezone,UTC_time,local_time,day_of_week,norm_in_day_time,trajectory_id,norm_day_shift,norm_relative_time\n"+
		"1,3fd66200f964a52000e71ee3,4bf58dd8d48988d16c941735,12,Burger Joint,40.7,-73.9,-240,2012-04-03 18:00:09+00:00,2012-04-03 14:00:09,1,0.58,1_1,0,0.58\n")
	all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: GETNext})
	if err != nil || len(all) != 1 {
		t.Fatal(all, rep, err)
	}
	if a := all[0]; a.OffsetMin != -240 || a.Category != "Burger Joint" || showTime(a.TimeMS) != "2012-04-03T18:00:09Z" {
		t.Errorf("got %+v", a)
	}
}

func TestHeaderErrors(t *testing.T) {
	for _, c := range []struct {
		format Format
		name   string
		header string
		want   string
	}{
		{TSMCCSV, "x.csv", "userId,venueId,venueCategory,lattitude,longitude,timezoneOffset,utcTimestamp", `no column latitude; is "lattitude" that column?`},
		{TSMCCSV, "x.csv", "userId,userId,venueId", "mean the same"},
		{GETNext, "x.csv", `user_id,"POI`, "unclosed quote"},
		{GETNext, "x.csv", "user_id,POI_id,latitude,longitude", "no column UTC_time or checkin_time"},
		{Actions, "x.csv", "user,poi,lat,lng", "no column time or time_ms"},
		{Actions, "x.tsv", "user,poi,lat,lng,time", "no column user"},
	} {
		path := writeFile(t, c.name, c.header+"\n1,2,3\n")
		_, _, err := ReadAll(t.Context(), []string{path}, Options{Format: c.format, MaxBadRows: Unlimited})
		wantBadInput(t, err, path, c.want)
	}
}

// fuzzLines checks the promises of the package for one line of a format: no
// panic, and an accepted row passes Check and survives writing and reading.
func fuzzLines(f *testing.F, name string, mk func() lineParser, header string) {
	for _, suffix := range []string{".good", ".bad"} {
		for _, line := range bytes.Split(readTestdata(f, name+suffix), []byte("\n")) {
			f.Add(line)
		}
	}
	limits, err := Limits{}.withDefaults()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.ContainsAny(line, "\n") {
			t.Skip("not one line")
		}
		p := mk()
		if header != "" {
			if _, err := p.begin([]byte(header)); err != nil {
				t.Fatal(err)
			}
		}
		var r row
		e := p.parse(bytes.Clone(line), &r)
		if e == nil {
			r.Type = typeCheckin
			e = limits.check(&r.Action)
		}
		if e != nil {
			if col, name := p.where(e.field); e.field != noField && name == "" {
				t.Errorf("%q: reject %+v names no field (column %d)", line, e, col)
			}
			return
		}
		for _, enc := range []encoding{encCSV, encTSV, encJSONL} {
			roundTripLine(t, enc, r)
		}
	})
}

func roundTripLine(t *testing.T, enc encoding, r row) {
	t.Helper()
	var b bytes.Buffer
	aw := newActionWriter(&b, enc)
	if err := aw.write(&r.Action); err != nil {
		t.Fatal(err)
	}
	if err := aw.close(); err != nil {
		t.Fatal(err)
	}
	var p lineParser = newJSONParser()
	text := b.Bytes()
	if enc != encJSONL {
		p = newTable(actionsLayout(map[encoding]byte{encCSV: ',', encTSV: '\t'}[enc]))
		head, rest, _ := bytes.Cut(text, []byte("\n"))
		if _, err := p.begin(head); err != nil {
			t.Fatal(err)
		}
		text = rest
	}
	var back row
	if e := p.parse(bytes.TrimSuffix(text, []byte("\n")), &back); e != nil || back.Action != r.Action {
		t.Errorf("%s: %+v reads back as %+v, %+v", enc, r.Action, back.Action, e)
	}
}

func FuzzTSMC(f *testing.F) {
	fuzzLines(f, "tsmc", func() lineParser { return newTable(tsmcLayout) }, "")
}

func FuzzTSMCCSV(f *testing.F) {
	fuzzLines(f, "tsmc-csv", func() lineParser { return newTable(tsmcCSVLayout) }, strings.Join(tsmcLayout.titles, ","))
}

func FuzzGETNext(f *testing.F) {
	fuzzLines(f, "getnext", func() lineParser { return newTable(getnextLayout) },
		"user_id,POI_id,POI_catid_code,POI_catname,latitude,longitude,checkin_time,norm_in_day_time,norm_day_shift,norm_relative_time,trajectory_id")
}

func FuzzGowalla(f *testing.F) {
	fuzzLines(f, "gowalla", func() lineParser { return newTable(gowallaLayout) }, "")
}

func FuzzActionsCSV(f *testing.F) {
	fuzzLines(f, "actions-csv", func() lineParser { return newTable(actionsLayout(',')) }, strings.Join(textColumns, ","))
}

func FuzzActionsTSV(f *testing.F) {
	fuzzLines(f, "actions-tsv", func() lineParser { return newTable(actionsLayout('\t')) }, "time\tpoi\tuser\tlng\tlat\tnote")
}

func FuzzActionsJSONL(f *testing.F) {
	fuzzLines(f, "actions-jsonl", func() lineParser { return newJSONParser() }, "")
}
