package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/poi"
)

// tsmcRow returns a valid row whose time is minute minutes after 3 Apr 2012.
func tsmcRow(user string, minute int) string {
	at := time.Date(2012, 4, 3, 0, minute, 0, 0, time.UTC)
	return user + "\tv1\tc1\tBridge\t40.7\t-74.0\t-240\t" + at.Format(time.RubyDate)
}

func tsmcRows(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(tsmcRow(fmt.Sprint("u", i), i) + "\n")
	}
	return b.String()
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats() {
		if got, err := ParseFormat(string(f)); got != f || err != nil {
			t.Errorf("ParseFormat(%q) = %q, %v", f, got, err)
		}
	}
	for in, want := range map[string]string{"tmsc": `"tsmc"`, "gowala": `"gowalla"`, "GETNEXT": `"getnext"`, "csv": `did you mean "tsmc`, "action": `"actions"`} {
		_, err := ParseFormat(in)
		wantBadInput(t, err, want, "Formats: tsmc, tsmc-csv, getnext, gowalla, actions")
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestReadCountsAndNumbersRows(t *testing.T) {
	a := writeFile(t, "a.txt", tsmcRow("u1", 5)+"\nbroken\n"+tsmcRow("u2", 6)+"\n")
	b := writeFile(t, "b.txt", tsmcRow("u3", 1)) // no line end
	all, rep, err := ReadAll(t.Context(), []string{a, b}, Options{Format: TSMC, MaxBadRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2012, 4, 3, 0, 0, 0, 0, time.UTC)
	want := Report{Files: 2, Rows: 4, Good: 3, Bad: 1, ByReason: map[string]int{ReasonColumns: 1},
		TimeMin: day.Add(time.Minute), TimeMax: day.Add(6 * time.Minute)}
	if !reflect.DeepEqual(rep, want) {
		t.Errorf("report %+v, want %+v", rep, want)
	}
	var seq []int64
	for _, a := range all {
		seq = append(seq, a.Seq)
	}
	if !reflect.DeepEqual(seq, []int64{0, 2, 3}) {
		t.Errorf("Seq %v; the broken row keeps number 1", seq)
	}
}

func TestMaxBadRows(t *testing.T) {
	path := writeFile(t, "a.txt", "x\n"+tsmcRow("u1", 1)+"\nx\ny\ty\n"+tsmcRow("u2", 2)+"\n")
	for _, c := range []struct{ limit, good int }{{0, 0}, {1, 1}, {2, 1}, {3, 2}, {Unlimited, 2}} {
		all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: c.limit})
		if len(all) != c.good || rep.Good != c.good || rep.Rows != rep.Good+rep.Bad {
			t.Errorf("limit %d: %d actions, report %+v; want %d", c.limit, len(all), rep, c.good)
		}
		if c.good == 2 {
			if err != nil {
				t.Errorf("limit %d: %v", c.limit, err)
			}
			continue
		}
		wantBadInput(t, err, fmt.Sprintf("%d bad rows, more than the %d allowed", c.limit+1, c.limit), path, ReasonColumns)
	}
	_, _, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: -2})
	wantBadInput(t, err, "MaxBadRows -2")
}

func TestRejectNamesThePlace(t *testing.T) {
	line := strings.Replace(tsmcRow("u1", 1), "40.7", "north", 1)
	path := writeFile(t, "a.txt", tsmcRow("u0", 1)+"\n"+line+"\n")
	var rejects rejectLog
	if _, _, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: 1, Reject: &rejects}); err != nil {
		t.Fatal(err)
	}
	want := []Reject{{File: path, Line: 2, Column: 5, Field: "latitude", Reason: ReasonNumber,
		Detail: `"north" is not decimal degrees`, Raw: line}}
	if !reflect.DeepEqual(rejects.all, want) {
		t.Errorf("rejects %+v, want %+v", rejects.all, want)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestRejectFileThatCannotBeWrittenStopsTheRun(t *testing.T) {
	path := writeFile(t, "a.txt", "x\n"+tsmcRow("u1", 1)+"\n")
	_, _, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: Unlimited, Reject: failingWriter{}})
	if err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v, want disk full", err)
	}
}

func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, content, want string
	}{
		{"plain.txt.gz", tsmcRow("u", 1), "the content is not"},
		{"empty.gz", "", "the content is not"},
		{"short.gz", "\x1f\x8b\x08", "gzip header cannot be read"},
		{"utf16.txt", "\xff\xfeu\x00s\x00", "UTF-16"},
	} {
		path := writeFile(t, c.name, c.content)
		_, _, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC})
		wantBadInput(t, err, path, c.want)
	}
	_, _, err := ReadAll(t.Context(), []string{dir}, Options{Format: TSMC})
	wantBadInput(t, err, dir, "is a directory")
	_, _, err = ReadAll(t.Context(), []string{filepath.Join(dir, "none.txt")}, Options{Format: TSMC})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	_, _, err = ReadAll(t.Context(), nil, Options{Format: TSMC})
	wantBadInput(t, err, "no files")
	_, _, err = ReadAll(t.Context(), []string{"x"}, Options{Format: "tsmcc"})
	wantBadInput(t, err, `"tsmc"`)
	_, _, err = ReadAll(t.Context(), []string{writeFile(t, "log.xml", "")}, Options{Format: Actions})
	wantBadInput(t, err, "log.xml", ".parquet")
	_, _, err = ReadAll(t.Context(), []string{writeFile(t, "log.parquet.gz", "")}, Options{Format: Actions})
	wantBadInput(t, err, "leave .gz out")
	_, _, err = ReadAll(t.Context(), []string{"x"}, Options{Format: TSMC, Zone: "Nowhere/At_all"})
	wantBadInput(t, err, "Nowhere/At_all")
	_, _, err = ReadAll(t.Context(), []string{"x"}, Options{Format: TSMC, Limits: Limits{LineBytes: -1}})
	wantBadInput(t, err, "LineBytes -1")
}

func TestEmptyResult(t *testing.T) {
	for _, c := range []struct {
		format  Format
		content string
	}{
		{TSMC, ""}, {TSMC, "\n\r\n"}, {TSMC, "only\tbad\n"}, {Gowalla, "\xef\xbb\xbf"},
		{TSMCCSV, strings.Join(tsmcLayout.titles, ",") + "\n"},
	} {
		path := writeFile(t, "a.txt", c.content)
		_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: c.format, MaxBadRows: Unlimited})
		if !errors.Is(err, poi.ErrEmpty) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v, want poi.ErrEmpty naming the file", c.content, err)
		}
		if len(rep.Warnings) != 1 || !strings.HasSuffix(rep.Warnings[0], "no good row") || !rep.TimeMin.IsZero() {
			t.Errorf("%q: report %+v", c.content, rep)
		}
	}
}

// A gzip file cut at every possible byte: what was whole before the cut is kept,
// in order, and there is exactly one reject, which says that the file is cut.
func TestGzipCutAnywhere(t *testing.T) {
	whole := gzipped(t, tsmcRows(40))
	path := filepath.Join(t.TempDir(), "cut.txt.gz")
	last := 0
	for n := len("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"); n < len(whole); n++ {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o644); err != nil {
			t.Fatal(err)
		}
		var rejects rejectLog
		all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: 1, Reject: &rejects})
		if err != nil && !(errors.Is(err, poi.ErrEmpty) && rep.Good == 0) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if rep.Bad != 1 || len(rejects.all) != 1 || rejects.all[0].Reason != ReasonCut {
			t.Fatalf("cut at %d: report %+v, rejects %+v; want one %q", n, rep, rejects.all, ReasonCut)
		}
		if len(all) < last {
			t.Fatalf("cut at %d: %d rows, but %d at an earlier cut", n, len(all), last)
		}
		for i, a := range all {
			if a.User != fmt.Sprint("u", i) {
				t.Fatalf("cut at %d: row %d is of user %s", n, i, a.User)
			}
		}
		last = len(all)
	}
	if last != 40 {
		t.Errorf("%d rows when only the checksum is cut off, want 40", last)
	}
}

func TestGzipDamaged(t *testing.T) {
	whole := []byte(gzipped(t, tsmcRows(40)))
	whole[len(whole)-6] ^= 0xff // checksum
	path := writeFile(t, "a.txt.gz", string(whole))
	_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: 1})
	if err != nil || rep.Good != 40 || rep.ByReason[ReasonDamaged] != 1 {
		t.Errorf("report %+v, error %v; want 40 rows and one %q", rep, err, ReasonDamaged)
	}
}

func TestGzipIsToldByContentAndMayHaveParts(t *testing.T) {
	path := writeFile(t, "no-extension", gzipped(t, tsmcRow("u1", 1)+"\n")+gzipped(t, tsmcRow("u2", 2)+"\n"))
	_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC})
	if err != nil || rep.Good != 2 {
		t.Errorf("report %+v, error %v; want 2 rows", rep, err)
	}
}

func TestLongLines(t *testing.T) {
	limit := len(tsmcRow("u1", 1))
	pad := strings.Repeat("x", 3*readBuffer)
	for _, c := range []struct {
		name, content string
		limit         int
		good, long    int
	}{
		{"exactly the limit", tsmcRow("u1", 1) + "\r\n", limit, 1, 0},
		{"one byte more", tsmcRow("u11", 1) + "\n" + tsmcRow("u1", 1) + "\n", limit, 1, 1},
		{"longer than the buffer", pad + "\n" + tsmcRow("u1", 1) + "\n", limit, 1, 1},
		{"without an end", tsmcRow("u1", 1) + "\n" + pad, limit, 1, 1},
		{"long but allowed", tsmcRow(pad, 1) + "\n", len(pad) + limit, 1, 0},
		{"default limit", tsmcRow("u1", 1) + "\n" + strings.Repeat("y", 1<<20+1) + "\n", 0, 1, 1},
	} {
		path := writeFile(t, "a.txt", c.content)
		var rejects rejectLog
		_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC, MaxBadRows: Unlimited, Reject: &rejects, Limits: Limits{LineBytes: c.limit}})
		if err != nil || rep.Good != c.good || rep.Bad != c.long || rep.ByReason[ReasonLong] != c.long {
			t.Errorf("%s: report %+v, error %v; want %d good, %d long", c.name, rep, err, c.good, c.long)
		}
		for _, r := range rejects.all {
			if len(r.Raw) > maxRaw {
				t.Errorf("%s: the reject holds %d bytes of the line", c.name, len(r.Raw))
			}
		}
	}
}

func TestYieldAndContextStop(t *testing.T) {
	path := writeFile(t, "a.txt", tsmcRows(3000))
	errMine := errors.New("mine")
	rep, err := Read(t.Context(), []string{path}, Options{Format: TSMC}, func(a *poi.Action) error {
		if a.Seq == 2 {
			return errMine
		}
		return nil
	})
	if err != errMine || rep.Good != 3 {
		t.Errorf("error %v after %d rows; want the caller's, unchanged, after 3", err, rep.Good)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rep, err = Read(ctx, []string{path}, Options{Format: TSMC}, func(*poi.Action) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || rep.Good >= 3000 {
		t.Errorf("error %v after %d rows; want context.Canceled before the end", err, rep.Good)
	}
}

func TestNativeExtensions(t *testing.T) {
	for name, want := range map[string]struct {
		enc encoding
		gz  bool
	}{
		"a.csv": {encCSV, false}, "A.CSV.GZ": {encCSV, true}, "x/a.b.tsv": {encTSV, false},
		"a.jsonl.gz": {encJSONL, true}, "a.ndjson": {encJSONL, false}, "a.parquet": {encParquet, false},
	} {
		if enc, gz, err := encodingOf(name); enc != want.enc || gz != want.gz || err != nil {
			t.Errorf("encodingOf(%q) = %q, %v, %v", name, enc, gz, err)
		}
	}
}
