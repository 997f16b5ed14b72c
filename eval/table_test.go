package eval

import (
	"errors"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
)

// result is a Result with plain numbers, its floor "counter" at half of x.
func result(name string, x float64) *Result {
	metrics := func(x float64) Metrics {
		return Metrics{"acc@1": {x, x - .05, x + .05}, "acc@5": {x, 0, 1}, "acc@10": {x, 0, 1}, "mrr": {x, x - .01, x + .01}}
	}
	row := func(x float64) Row {
		m := metrics(x)
		return Row{Metrics: m, Returns: Part{N: 8, Share: .8, Metrics: m}, Discovery: Part{N: 2, Share: .2, Metrics: m},
			Fresh: Part{N: 2, Share: .2, Metrics: metrics(x + .1)}, Distance: Distances{P50: 1234}}
	}
	floor := row(.2)
	floor.Paired, floor.PairedDiscovery, floor.PairedFresh = Value{x - .2, -.05, .25}, Value{.9, .8, 1}, Value{.1, .05, .15}
	return &Result{Run: "runs/" + name, Name: name, Split: "test", Protocol: "last-of-trajectory", Fingerprint: "0123456789abcdef", N: 10,
		Seed: 3, Resamples: 2000, Row: row(x), Floors: map[string]Row{"counter": floor}}
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	if err := WriteTable(&b, []*Result{result("spacetime", .425)}); err != nil {
		t.Fatal(err)
	}
	want := `last-of-trajectory, test: n=10 (returns 8, discovery 2); [95 % intervals], 2000 resamples of rows, bootstrap seed 3; data 0123456789ab
scorer                    Acc@1  Acc@5  Acc@10                   MRR  return Acc@1      discovery Acc@10  among new Acc@10  km P50      behind by, Acc@1  behind by, among new Acc@10
spacetime  .4250 [.3750, .4750]  .4250   .4250  .4250 [.4150, .4350]         .4250  .4250 [.0000, 1.0000]  .5250 [.0000, 1.0000]    1.23
counter    .2000 [.1500, .2500]  .2000   .2000  .2000 [.1900, .2100]         .2000  .2000 [.0000, 1.0000]  .3000 [.0000, 1.0000]    1.23  .2250 [-.0500, .2500]         .1000 [.0500, .1500]
`
	if squeeze(b.String()) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	lines := strings.Split(b.String(), "\n")
	if at := strings.Index(lines[1], "km P50") + len("km P50"); lines[2][at-4:at] != "1.23" || lines[3][at-4:at] != "1.23" {
		t.Errorf("columns are not aligned:\n%s", b.String())
	}
}

func squeeze(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func TestWriteMarkdown(t *testing.T) {
	a, b := result("a|b", .4), result("other", .5)
	b.Seed = 4
	var out strings.Builder
	if err := WriteMarkdown(&out, []*Result{a, b}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.Contains(lines[0], "bootstrap seed 3, 4;") {
		t.Errorf("caption %q", lines[0])
	}
	if want := "| runs/a\\|b | .4000 [.3500, .4500] | .4000 | .4000 | .4000 [.3900, .4100] | .4000 | .4000 [.0000, 1.0000] | .5000 [.0000, 1.0000] | 1.23 |"; lines[4] != want {
		t.Errorf("row\n%s\nwant\n%s", lines[4], want)
	}
	if n := strings.Count(out.String(), "| counter |"); n != 1 {
		t.Errorf("the floor is printed %d times", n)
	}
	if lines[3] != "|---|---:|---:|---:|---:|---:|---:|---:|---:|" {
		t.Errorf("rule %q", lines[3])
	}
}

func TestTableWithoutMainOrDiscovery(t *testing.T) {
	r := result("", .4)
	floor := r.Floors["counter"]
	floor.Discovery, floor.Fresh = Part{Metrics: Metrics{}}, Part{Metrics: Metrics{}}
	r.Floors["counter"] = floor
	var b strings.Builder
	if err := WriteTable(&b, []*Result{r}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "(returns 8, discovery 0)") || !strings.HasSuffix(squeeze(lines[2]), " - - 1.23") || strings.Contains(lines[1], "behind") {
		t.Errorf("%s", b.String())
	}
}

// A figure that no row has, or that an older result lacks, is not printed as zero.
func TestTableWithoutPairedFresh(t *testing.T) {
	r := result("m", .4)
	floor := r.Floors["counter"]
	floor.Fresh, floor.PairedFresh = Part{}, Value{}
	r.Floors["counter"] = floor
	var b strings.Builder
	if err := WriteTable(&b, []*Result{r}); err != nil {
		t.Fatal(err)
	}
	if got := squeeze(b.String()); !strings.HasSuffix(got, " - 1.23 .2000 [-.0500, .2500] -\n") {
		t.Errorf("%s", got)
	}
}

func TestTableRefusesMixtures(t *testing.T) {
	for name, change := range map[string]func(*Result){
		"fingerprint": func(r *Result) { r.Fingerprint = "other" },
		"protocol":    func(r *Result) { r.Protocol = "every-checkin" },
		"split":       func(r *Result) { r.Split = "validation" },
		"n":           func(r *Result) { r.N = 11 },
		"floor":       func(r *Result) { r.Floors["counter"].Metrics["mrr"] = Value{.3, .2, .4} },
	} {
		a, b := result("a", .4), result("b", .5)
		change(b)
		var out strings.Builder
		if err := WriteTable(&out, []*Result{a, b}); !errors.Is(err, ErrMixed) || out.Len() > 0 {
			t.Errorf("%s: error %v, output %q", name, err, out.String())
		}
		if err := WriteMarkdown(&out, []*Result{a, b}); !errors.Is(err, ErrMixed) {
			t.Errorf("%s: markdown error %v", name, err)
		}
	}
	if err := WriteTable(&strings.Builder{}, nil); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("no results: %v", err)
	}
}

func TestNumbersAndBeats(t *testing.T) {
	for x, want := range map[float64]string{0: ".0000", .12345: ".1235", -.5: "-.5000", 1: "1.0000", 10.5: "10.5000", -1: "-1.0000"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %q, want %q", x, got, want)
		}
	}
	if (Value{.1, 0, .2}).Beats() || (Value{.1, -.1, .2}).Beats() || !(Value{.1, .01, .2}).Beats() {
		t.Error("Beats is not \"the whole interval is above zero\"")
	}
}
