package sheet

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	own := fstest.MapFS{"page.html": {Data: []byte(`<style>{{template "base.css"}}.own{color:red}</style><b>{{.}}</b>{{template "script.html"}}`)}}
	var b strings.Builder
	if err := Parse(own).ExecuteTemplate(&b, "page.html", "<x>"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"box-sizing:border-box", ".own{color:red}", "<b>&lt;x&gt;</b>", `tip.id = "tip"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nlacks %s", b.String(), want)
		}
	}
	if strings.Contains(b.String(), "http") {
		t.Error("the page fetches something")
	}
}

// Ticks are round, ascending, inside the axis, and about as many as asked for.
func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-1e6, 1e6).Draw(t, "lo")
		a := Axis{Lo: lo, Hi: lo + math.Pow(10, rapid.Float64Range(-3, 7).Draw(t, "width")), From: 10, To: 110}
		last := math.Inf(-1)
		list := a.Ticks(5, func(x float64) string {
			if x <= last || x < a.Lo-(a.Hi-a.Lo)*1e-6 || x > a.Hi+(a.Hi-a.Lo)*1e-6 {
				t.Fatalf("tick %v after %v of %v..%v", x, last, a.Lo, a.Hi)
			}
			last = x
			return ""
		})
		if len(list) < 2 || len(list) > 6 {
			t.Fatalf("%d ticks of %v..%v", len(list), a.Lo, a.Hi)
		}
	})
	var labels []string
	for _, tick := range (Axis{Lo: 1, Hi: 20, From: 0, To: 100, Log: true}).Decades(func(x float64) string { return Trim(x, 3) }) {
		labels = append(labels, tick.Label+"@"+tick.At.String())
	}
	if got := strings.Join(labels, " "); got != "1@0 2@23.1 5@53.7 10@76.9 20@100" {
		t.Errorf("ticks %s", got)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Trim(0, 3): "0", Trim(1234.5, 3): "1230", Trim(0.00012, 2): "1.2e-4", Trim(2.5e7, 3): "2.5e7", Percent(.1234): "12.3 %",
		Short(12345, 3): "12.3k", Short(2.5e6, 3): "2.5M", Short(-9999, 4): "-9999", Short(math.NaN(), 3): "-", Short(math.Inf(1), 3): "-",
		Distance(740): "740 m", Distance(15_230): "15.2 km", Count(-1234567): "-1,234,567", Count(int64(999)): "999",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
