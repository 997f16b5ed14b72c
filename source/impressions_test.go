package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

func readImpressions(t testing.TB, path string, opt Options) ([]poi.Impression, Report, error) {
	t.Helper()
	var all []poi.Impression
	rep, err := ReadImpressions(t.Context(), []string{path}, opt, func(im *poi.Impression) error {
		kept := *im
		kept.Shown = slices.Clone(im.Shown)
		all = append(all, kept)
		return nil
	})
	return all, rep, err
}

// Every row of a good file becomes part of an impression of NAME.good.want.
func TestGoldenImpressions(t *testing.T) {
	for _, ext := range []string{"csv", "tsv", "jsonl"} {
		t.Run(ext, func(t *testing.T) {
			name := "impressions-" + ext
			raw := readTestdata(t, name+".good")
			all, rep, err := readImpressions(t, writeFile(t, "a."+ext, string(raw)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			rows := 0
			for _, im := range all {
				rows += len(im.Shown)
			}
			if n := bytes.Count(raw, []byte("\n")); rep.Bad != 0 || rep.Rows != rows || rows != n && rows != n-1 {
				t.Errorf("%d rows in impressions, report %+v; the file has %d lines", rows, rep, n)
			}
			var got bytes.Buffer
			if _, err := writeImpressions(&got, encJSONL, false, eachOf(all)); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name+".good.want", got.Bytes())
		})
	}
}

// In a bad file the rows that pass are NAME.bad.want's last line; the others are
// its rejects.
func TestGoldenBadImpressions(t *testing.T) {
	for ext, kept := range map[string]int{"csv": 3, "jsonl": 2} {
		t.Run(ext, func(t *testing.T) {
			raw := readTestdata(t, "impressions-"+ext+".bad")
			var rejects rejectLog
			all, rep, err := readImpressions(t, writeFile(t, "a."+ext, string(raw)), Options{MaxBadRows: Unlimited, Reject: &rejects})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Good != kept || rep.Bad != len(rejects.all) || rep.Rows != rep.Good+rep.Bad {
				t.Errorf("report %+v, %d rejects; want %d good rows", rep, len(rejects.all), kept)
			}
			var got bytes.Buffer
			enc := newJSONEncoder(&got)
			for _, r := range rejects.all {
				r.File, r.Raw = "", ""
				if err := enc.Encode(r); err != nil {
					t.Fatal(err)
				}
			}
			if err := enc.Encode(all); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, "impressions-"+ext+".bad.want", got.Bytes())
		})
	}
}

func drawImpression(t *rapid.T) poi.Impression {
	a := drawAction(t)
	im := poi.Impression{ID: a.Type, User: a.User, TimeMS: a.TimeMS, OffsetMin: a.OffsetMin, UserLat: a.UserLat, UserLng: a.UserLng, HasUser: a.HasUser}
	p := rapid.OneOf(rapid.Just(float32(unknown)), rapid.Float32Range(0, 1))
	for i := range rapid.IntRange(1, 12).Draw(t, "candidates") {
		im.Shown = append(im.Shown, poi.Shown{POI: fmt.Sprint(a.POI, i), Clicked: rapid.Bool().Draw(t, "clicked"),
			Click: p.Draw(t, "click"), Relevance: p.Draw(t, "relevance")})
	}
	return im
}

func TestImpressionsRoundTripIsLossless(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfNDistinct(rapid.Custom(drawImpression), 1, 6, func(im poi.Impression) string { return im.ID }).Draw(rt, "impressions")
		path := filepath.Join(dir, rapid.SampledFrom(nativeNames).Draw(rt, "file"))
		if n, err := WriteImpressions(path, eachOf(want)); n != len(want) || err != nil {
			rt.Fatal(n, err)
		}
		got, rep, err := readImpressions(t, path, Options{})
		if err != nil || !reflect.DeepEqual(got, want) || len(rep.ByReason) > 0 {
			rt.Fatalf("%s: error %v\n got %+v\nwant %+v", path, err, got, want)
		}
	})
}

// DuckDB and its like write wider numbers and optional columns.
func TestImpressionsOfOtherTools(t *testing.T) {
	type wide struct {
		ID       *string  `parquet:"id,optional"`
		User     *string  `parquet:"user,optional"`
		TimeMS   *int64   `parquet:"time_ms,optional,timestamp(millisecond)"`
		Offset   *int32   `parquet:"offset_min,optional"`
		POI      *string  `parquet:"poi,optional"`
		Position *int64   `parquet:"position,optional"`
		Clicked  *bool    `parquet:"clicked,optional"`
		Click    *float64 `parquet:"click,optional"`
	}
	ms, offset, yes, half := int64(1714557600000), int32(60), true, 0.5
	row := func(poi string, position int64, clicked *bool) wide {
		id, user := "i", "u"
		return wide{&id, &user, &ms, &offset, &poi, &position, clicked, &half}
	}
	path := writeRows(t, row("b", 2, &yes), row("a", 1, &yes), row("c", 3, nil))
	got, rep, err := readImpressions(t, path, Options{MaxBadRows: 1})
	want := []poi.Impression{{ID: "i", User: "u", TimeMS: ms, OffsetMin: 60, Shown: []poi.Shown{
		{POI: "a", Clicked: true, Click: 0.5, Relevance: unknown}, {POI: "b", Clicked: true, Click: 0.5, Relevance: unknown}}}}
	if err != nil || !reflect.DeepEqual(got, want) || rep.ByReason[ReasonEmpty] != 1 {
		t.Errorf("error %v, report %+v\n got %+v\nwant %+v", err, rep, got, want)
	}
	type number struct {
		Clicked int32 `parquet:"clicked"`
	}
	_, _, err = readImpressions(t, writeRows(t, number{}), Options{})
	wantBadInput(t, err, `column "clicked" has type INT(32,true), expected BOOLEAN`)
	type anonymous struct {
		Session string `parquet:"session"`
		POI     string `parquet:"poi"`
	}
	_, _, err = readImpressions(t, writeRows(t, anonymous{}), Options{})
	wantBadInput(t, err, `no column "id"; is "session" that column?`, "docs/format/impressions.md")
}

func impressionLines(id string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%s,u,1714557600000,0,p%d,%d\n", id, i, i%2)
	}
	return b.String()
}

const shortHeader = "id,user,time_ms,offset_min,poi,clicked\n"

func TestTooManyCandidates(t *testing.T) {
	path := writeFile(t, "a.csv", shortHeader+impressionLines("i", 0, MaxShown+2)+impressionLines("j", 0, 1))
	got, rep, err := readImpressions(t, path, Options{MaxBadRows: 2})
	if err != nil || len(got) != 2 || len(got[0].Shown) != MaxShown || got[0].Shown[MaxShown-1].POI != fmt.Sprint("p", MaxShown-1) || rep.ByReason[ReasonMany] != 2 {
		t.Errorf("%d impressions, report %+v, error %v", len(got), rep, err)
	}
	_, _, err = readImpressions(t, path, Options{MaxBadRows: 1})
	wantBadInput(t, err, "2 bad rows, more than the 1 allowed", path+":203: poi", ReasonMany, `"i" shows more than 200`)
}

// An impression ends with its file; its id may not come again in the next.
func TestImpressionsOverFiles(t *testing.T) {
	a := writeFile(t, "a.csv", shortHeader+impressionLines("i", 0, 2))
	b := writeFile(t, "b.csv", shortHeader+impressionLines("i", 2, 3)+impressionLines("j", 0, 3))
	var got []string
	rep, err := ReadImpressions(t.Context(), []string{a, b}, Options{MaxBadRows: 1}, func(im *poi.Impression) error {
		got = append(got, fmt.Sprint(im.ID, len(im.Shown)))
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, []string{"i2", "j3"}) || rep.ByReason[ReasonApart] != 1 || rep.Files != 2 {
		t.Errorf("%v, report %+v, error %v", got, rep, err)
	}
	stop := errors.New("enough")
	if _, err := ReadImpressions(t.Context(), []string{a, b}, Options{MaxBadRows: 1}, func(*poi.Impression) error { return stop }); err != stop {
		t.Errorf("the caller's error came back as %v", err)
	}
}

// Without offset_min local time comes from the zone, else from where the user is.
func TestOffsetOfImpressions(t *testing.T) {
	text := "id,user,time_ms,user_lat,user_lng,poi,clicked\ni,u,1714557600000,35,139,p,1\nj,u,1714557600000,,,p,1\n"
	got, rep, err := readImpressions(t, writeFile(t, "a.csv", text), Options{MaxBadRows: 1})
	if err != nil || len(got) != 1 || got[0].OffsetMin != 540 || rep.ByReason[ReasonEmpty] != 1 {
		t.Errorf("%+v, report %+v, error %v", got, rep, err)
	}
	got, _, err = readImpressions(t, writeFile(t, "a.csv", text), Options{Zone: "Europe/Paris"})
	if err != nil || len(got) != 2 || got[0].OffsetMin != 120 || got[1].OffsetMin != 120 {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestReadImpressionsFails(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		says             []string
	}{
		{"a misspelt column", "a.csv", strings.Replace(shortHeader, "clicked", "is_clicked", 1), []string{"no column clicked", `is "is_clicked" that column?`}},
		{"no extension", "a.log", shortHeader, []string{"the extension tells no encoding"}},
		{"not Parquet", "a.parquet", shortHeader, []string{"not a whole Parquet file"}},
	} {
		_, _, err := readImpressions(t, writeFile(t, c.file, c.text), Options{})
		wantBadInput(t, err, c.says...)
	}
	if _, _, err := readImpressions(t, writeFile(t, "a.csv", shortHeader), Options{}); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("a file without a row: %v", err)
	}
	_, rep, err := readImpressions(t, writeFile(t, "a.csv", "colour,"+shortHeader+"red,"+impressionLines("i", 0, 1)), Options{})
	if err != nil || len(rep.Warnings) != 1 || !strings.Contains(rep.Warnings[0], `"colour"`) {
		t.Errorf("an unknown column: report %+v, error %v", rep, err)
	}
}

func TestWriteImpressionsRefuses(t *testing.T) {
	good := poi.Impression{ID: "i", User: "u", TimeMS: 1714557600000, Shown: []poi.Shown{{POI: "a", Click: unknown, Relevance: unknown}, {POI: "b"}}}
	for _, c := range []struct {
		says string
		edit func(*poi.Impression)
	}{
		{"shows no POI", func(im *poi.Impression) { im.Shown = nil }},
		{ReasonRepeated, func(im *poi.Impression) { im.Shown[1].POI = "a" }},
		{ReasonApart, func(im *poi.Impression) { im.ID = "first" }},
		{ReasonProbability, func(im *poi.Impression) { im.Shown[0].Click = 1.01 }},
		{ReasonProbability, func(im *poi.Impression) { im.Shown[1].Relevance = -0.5 }},
		{ReasonControl, func(im *poi.Impression) { im.ID = "a\nb" }},
		{ReasonTimeRange, func(im *poi.Impression) { im.TimeMS = 0 }},
		{ReasonOffset, func(im *poi.Impression) { im.OffsetMin = 900 }},
		{ReasonZero, func(im *poi.Impression) { im.HasUser = true }},
		{ReasonMany, func(im *poi.Impression) {
			for i := range MaxShown {
				im.Shown = append(im.Shown, poi.Shown{POI: fmt.Sprint(i)})
			}
		}},
	} {
		first, bad := good, good
		first.ID, bad.Shown = "first", slices.Clone(good.Shown)
		c.edit(&bad)
		_, err := WriteImpressions(filepath.Join(t.TempDir(), "a.jsonl"), eachOf([]poi.Impression{first, {ID: "other", User: "u", TimeMS: good.TimeMS, Shown: good.Shown}, bad}))
		wantBadInput(t, err, "after 2 impressions", c.says)
	}
	_, err := WriteImpressions(filepath.Join(t.TempDir(), "a.xlsx"), eachOf([]poi.Impression{good}))
	wantBadInput(t, err, "a.xlsx")
}

// fuzzImpressions checks the promises of the package for a whole file: no panic,
// Rows = Good + Bad, and what was read survives writing and reading.
func fuzzImpressions(f *testing.F, ext string) {
	for _, suffix := range []string{".good", ".bad"} {
		f.Add(readTestdata(f, "impressions-"+ext+suffix))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var rejects rejectLog
		got, rep, err := readImpressions(t, writeFile(t, "a."+ext, string(content)), Options{MaxBadRows: Unlimited, Reject: &rejects})
		if rep.Rows != rep.Good+rep.Bad || rep.Bad != len(rejects.all) {
			t.Errorf("report %+v, %d rejects", rep, len(rejects.all))
		}
		if err != nil {
			return
		}
		var b bytes.Buffer
		if _, err := writeImpressions(&b, encJSONL, false, eachOf(got)); err != nil {
			t.Fatal(err)
		}
		back, _, err := readImpressions(t, writeFile(t, "b.jsonl", b.String()), Options{})
		if err != nil || !reflect.DeepEqual(back, got) {
			t.Errorf("error %v\n got %+v\nback %+v", err, got, back)
		}
	})
}

func FuzzImpressionsCSV(f *testing.F)   { fuzzImpressions(f, "csv") }
func FuzzImpressionsJSONL(f *testing.F) { fuzzImpressions(f, "jsonl") }

// The true order of display is the column position, wherever the rows stand.
func TestPositionsOrderAnImpression(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		positions := rapid.SliceOfNDistinct(rapid.Int64Range(0, maxPosition), 1, 20, rapid.ID[int64]).Draw(rt, "positions")
		var b strings.Builder
		for _, p := range positions {
			line, err := json.Marshal(map[string]any{"id": "i", "user": "u", "time_ms": 1714557600000, "offset_min": 0, "poi": p, "clicked": false, "position": p})
			if err != nil {
				rt.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		p := newShownJSONParser()
		g := &gather{yield: func(im *poi.Impression) error {
			var got []int64
			for _, s := range im.Shown {
				p, err := strconv.ParseInt(s.POI, 10, 64)
				if err != nil {
					rt.Fatal(err)
				}
				got = append(got, p)
			}
			if want := slices.Sorted(slices.Values(positions)); !slices.Equal(got, want) {
				rt.Errorf("positions %v show %v", want, got)
			}
			return nil
		}}
		limits, err := Limits{}.withDefaults()
		if err != nil {
			rt.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			var r row
			if e := p.parse([]byte(strings.TrimSpace(line)), &r); e != nil {
				rt.Fatal(e)
			}
			if e := g.check(&reader{opt: Options{Limits: limits}}, &r); e != nil {
				rt.Fatal(e)
			}
			if err := g.take(&r); err != nil {
				rt.Fatal(err)
			}
		}
		if err := g.endFile(); err != nil || len(g.current.Shown) != 0 {
			rt.Errorf("after the end %+v, error %v", g.current, err)
		}
	})
}
