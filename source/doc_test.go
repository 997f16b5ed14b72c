package source

import (
	"os"
	"strings"
	"testing"
)

// The page of the native schema must not drift from the code: its examples read
// without a reject, and it names every field and every reason.
func TestFormatPage(t *testing.T) {
	raw, err := os.ReadFile("../docs/format/actions.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
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
	for _, f := range actionSchema.fields {
		if !strings.Contains(page, "`"+fieldNames[f]+"`") {
			t.Errorf("the page does not name the field %s", fieldNames[f])
		}
	}
	for _, r := range []string{ReasonColumns, ReasonLong, ReasonUTF8, ReasonQuote, ReasonJSON, ReasonEmpty, ReasonControl,
		ReasonNumber, ReasonNotFinite, ReasonCoordinates, ReasonSwapped, ReasonZero, ReasonHalf, ReasonTime, ReasonTimeRange,
		ReasonOffset, ReasonCut, ReasonDamaged} {
		if !strings.Contains(page, "`"+r+"`") {
			t.Errorf("the page does not name the reason %q", r)
		}
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
