package testkit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
)

// refusal stands for a test and stops at its first failure.
type refusal struct{}

func (refusal) Helper()                           {}
func (refusal) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestPage(t *testing.T) {
	testkit.Page(t, `<html><p id="a" style="fill: url(#b)">one</p><a href="#a">up</a><img src="data:image/png;base64,AA=="/></html>`)
	for page, want := range map[string]string{
		`<html><p>NaN</p></html>`:                          "NaN",
		`<html><p>one</html>`:                              "not well-formed",
		`<html><p id="a">1</p><p id="a">2</p></html>`:      "twice",
		`<html><img src="map.png"/></html>`:                "leaves the page",
		`<html><p style="fill: url(map.svg)">1</p></html>`: "loads a url",
		`<html><a href="https://example.org">1</a></html>`: "https:",
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), want) {
					t.Errorf("%s: %v, want %q", page, r, want)
				}
			}()
			testkit.Page(refusal{}, page)
		}()
	}
}
