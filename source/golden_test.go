package source

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/*.want from what the readers do now")

// goldenFiles lists each testdata/NAME.{good,bad}. Every row of a good file must
// become the action in NAME.good.want (the native schema as JSONL); every row of
// a bad file must become the reject in NAME.bad.want.
var goldenFiles = []struct {
	name   string
	format Format
	ext    string // the extension the format wants to see
}{
	{"tsmc", TSMC, ".txt"},
	{"tsmc-csv", TSMCCSV, ".csv"},
	{"getnext", GETNext, ".csv"},
	{"gowalla", Gowalla, ".txt"},
	{"actions-csv", Actions, ".csv"},
	{"actions-tsv", Actions, ".tsv"},
	{"actions-jsonl", Actions, ".jsonl"},
}

func TestGoldenGood(t *testing.T) {
	for _, g := range goldenFiles {
		t.Run(g.name, func(t *testing.T) {
			raw := readTestdata(t, g.name+".good")
			path := writeFile(t, g.name+g.ext, string(raw))
			all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: g.format})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Bad != 0 || rep.Rows != len(all) || rep.Rows != dataLines(raw, g.name) {
				t.Errorf("rows %d, bad %d, actions %d; the file has %d rows", rep.Rows, rep.Bad, len(all), dataLines(raw, g.name))
			}
			var got bytes.Buffer
			if _, err := writeTo(&got, encJSONL, false, Each(all)); err != nil {
				t.Fatal(err)
			}
			compareGolden(t, g.name+".good.want", got.Bytes())
		})
	}
}

func TestGoldenBad(t *testing.T) {
	for _, g := range goldenFiles {
		t.Run(g.name, func(t *testing.T) {
			raw := readTestdata(t, g.name+".bad")
			path := writeFile(t, g.name+g.ext, string(raw))
			var rejects rejectLog
			all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: g.format, MaxBadRows: Unlimited, Reject: &rejects})
			if err == nil || len(all) > 0 {
				t.Fatalf("error %v, actions %+v; no row of a bad file may pass", err, all)
			}
			if want := dataLines(raw, g.name); rep.Bad != want || len(rejects.all) != want {
				t.Errorf("bad %d, rejects %d; the file has %d rows", rep.Bad, len(rejects.all), want)
			}
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			for _, r := range rejects.all {
				r.File, r.Raw = "", "" // the folder differs from run to run
				if err := enc.Encode(r); err != nil {
					t.Fatal(err)
				}
			}
			compareGolden(t, g.name+".bad.want", got.Bytes())
		})
	}
}

// dataLines counts the rows of a golden file independently of the readers.
func dataLines(raw []byte, name string) int {
	n := 0
	for _, line := range strings.Split(string(raw), "\n") {
		if strings.Trim(line, "\r") != "" {
			n++
		}
	}
	switch name {
	case "tsmc", "gowalla", "actions-jsonl":
		return n
	}
	return n - 1 // the header
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := readTestdata(t, name)
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("%s:%d\n got %s\nwant %s", name, i+1, a, b)
		}
	}
}
