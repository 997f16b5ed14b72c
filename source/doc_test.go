package source

import (
	"os"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// The page of the native schema must not drift from the code: its examples read
// without a reject, and it names every field and every reason.
func TestFormatPage(t *testing.T) {
	page := readPage(t, "actions.md")
	for title, want := range map[string]struct {
		ext  string
		rows int
	}{"CSV:": {".csv", 2}, "TSV, with": {".tsv", 1}, "JSONL:": {".jsonl", 2}} {
		path := writeFile(t, "example"+want.ext, exampleAfter(t, page, "\n"+title))
		_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: Actions})
		if err != nil || rep.Good != want.rows || len(rep.Warnings) > 0 {
			t.Errorf("example %q: report %+v, error %v; want %d rows", title, rep, err, want.rows)
		}
	}
	wantWords(t, page, []string{ReasonColumns, ReasonLong, ReasonUTF8, ReasonQuote, ReasonJSON, ReasonEmpty, ReasonControl,
		ReasonNumber, ReasonNotFinite, ReasonCoordinates, ReasonSwapped, ReasonZero, ReasonHalf, ReasonTime, ReasonTimeRange,
		ReasonOffset, ReasonCut, ReasonDamaged}, actionSchema)
	wantSchema(t, page, parquetAction{})
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile("../docs/format/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// wantWords checks that a page names every field of its schemas and the reasons.
func wantWords(t *testing.T, page string, reasons []string, schemas ...*schema) {
	t.Helper()
	for _, s := range schemas {
		for _, f := range s.fields {
			if !strings.Contains(page, "`"+fieldNames[f]+"`") {
				t.Errorf("the page does not name the field %s", fieldNames[f])
			}
		}
	}
	for _, r := range reasons {
		if !strings.Contains(page, "`"+r+"`") {
			t.Errorf("the page does not name the reason %q", r)
		}
	}
}

func TestImpressionsPage(t *testing.T) {
	page := readPage(t, "impressions.md")
	wantWords(t, page, []string{ReasonClicked, ReasonProbability, ReasonPosition, ReasonRepeated, ReasonMany, ReasonMixed, ReasonApart}, impressionSchema)
	for title, want := range map[string]struct {
		ext         string
		impressions int
	}{"CSV:": {".csv", 2}, "JSONL, with": {".jsonl", 1}} {
		path := writeFile(t, "example"+want.ext, exampleAfter(t, page, "\n"+title))
		got, rep, err := readImpressions(t, path, Options{})
		if err != nil || len(got) != want.impressions || rep.Bad > 0 || len(rep.Warnings) > 0 {
			t.Errorf("example %q: %d impressions, report %+v, error %v", title, len(got), rep, err)
		}
	}
	wantSchema(t, page, parquetShown{})
}

func TestPlacesPage(t *testing.T) {
	page := readPage(t, "places.md")
	wantWords(t, page, []string{ReasonLimit, ReasonImage}, placeSchema, profileSchema)
	wantSchema(t, page, parquetPlace{})
	wantSchema(t, page, parquetProfile{})
}

// wantSchema checks that a page shows the Parquet schema of a written row.
func wantSchema(t *testing.T, page string, row any) {
	t.Helper()
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if want := squeeze(parquet.SchemaOf(row).String()); !strings.Contains(squeeze(page), want) {
		t.Errorf("the page lacks the schema %s", want)
	}
}

// exampleAfter returns the indented block that follows a title.
func exampleAfter(t *testing.T, page, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, title)
	if !ok {
		t.Fatalf("the page has no %q", title)
	}
	_, rest, _ = strings.Cut(rest, "\n\n")
	var b strings.Builder
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		b.WriteString(text)
	}
	return b.String()
}
