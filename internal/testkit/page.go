package testkit

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// reporter is what Page needs of a test; a fuzzed and a drawn case have it, too.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Page checks what holds for every page we write: read as XML, which is stricter than
// HTML, each element is closed and each attribute quoted; ids are unique; nothing leaves
// the page or comes from elsewhere; no number or template went wrong.
func Page(t reporter, page string) {
	t.Helper()
	for _, bad := range []string{"NaN", "+Inf", "-Inf", "http:", "https:", "ZgotmplZ", "<no value>", "%!", "@import"} {
		if strings.Contains(page, bad) {
			t.Fatalf("the page holds %q", bad)
		}
	}
	if strings.Count(page, "url(") != strings.Count(page, "url(#") {
		t.Fatalf("the page loads a url")
	}
	dec, ids := xml.NewDecoder(strings.NewReader(page)), map[string]bool{}
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "id":
				if ids[a.Value] {
					t.Fatalf("id %q is there twice", a.Value)
				}
				ids[a.Value] = true
			case "src", "href":
				if !strings.HasPrefix(a.Value, "data:image/") && !strings.HasPrefix(a.Value, "#") {
					t.Fatalf("%s=%q leaves the page", a.Name.Local, a.Value)
				}
			}
		}
	}
}
