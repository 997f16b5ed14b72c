package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/sheet"
)

func loadAll(t *testing.T, dirs ...string) []*loaded {
	t.Helper()
	var out []*loaded
	for _, dir := range dirs {
		r, err := run.Open(dir)
		must(t, err)
		l, err := load(t.Context(), r, "")
		must(t, err)
		must(t, r.Close())
		out = append(out, l)
	}
	nameRuns(out)
	return out
}

func tallyOf(t *testing.T, rows []eval.Prediction) *tally {
	t.Helper()
	tl := newTally()
	for _, p := range rows {
		must(t, tl.add(p))
	}
	return tl
}

// The four rows by hand: hits at 1 are 1, .5, 0, 0 and at 10 are 1, 1, .5, 0.
func TestTallyByHand(t *testing.T) {
	tl := tallyOf(t, fourRows())
	if tl.n != 4 || tl.wrong != 3 || tl.maxErr != 40_000 {
		t.Errorf("n %d, wrong %d, farthest %v", tl.n, tl.wrong, tl.maxErr)
	}
	if got, want := tl.hours[9], (cell{2, 1.5, 2}); got != want {
		t.Errorf("hour 9: %+v, want %+v", got, want)
	}
	if got, want := tl.hours[23], (cell{1, 0, .5}); got != want {
		t.Errorf("hour 23: %+v, want %+v", got, want)
	}
	var got []string
	for _, b := range historyBins(tl) {
		got = append(got, fmt.Sprintf("%s:%d", b.label, b.n))
	}
	if want := "0–9:2 10–19:1 20–49:0 50–99:0 100–199:0 200–499:0 500–999:0 1000+:1"; strings.Join(got, " ") != want {
		t.Errorf("history bins %v", got)
	}
	if !reflect.DeepEqual(tl.hits, []float64{1, .5, 0, 0}) {
		t.Errorf("hits %v", tl.hits)
	}
	shares := map[string]string{}
	for _, row := range cdfTable([]cdfLine{{"x", "", tl.cdf()}}, tl.maxErr).Rows {
		shares[row[0]] = row[1]
	}
	for within, want := range map[string]string{"10 m": "0.2500", "50 m": "0.2500", "100 m": "0.5000", "200 m": "0.7500", "20 km": "0.7500", "50 km": "1.0000"} {
		if shares[within] != want {
			t.Errorf("within %s: %s, want %s", within, shares[within], want)
		}
	}
	if _, beyond := shares["100 km"]; beyond {
		t.Error("the table goes on beyond the farthest error")
	}
}

func TestHistoryBinEdges(t *testing.T) {
	for visits, want := range map[int]int{0: 0, 9: 0, 10: 1, 19: 1, 20: 2, 999: 6, 1000: 7, 1 << 30: 7} {
		if got := historyBin(visits); got != want {
			t.Errorf("%d visits are in bin %d, want %d", visits, got, want)
		}
	}
	middle := tallyOf(t, []eval.Prediction{{Rank: 1, History: 60}})
	if bins := historyBins(middle); len(bins) != 1 || bins[0].label != "50–99" {
		t.Errorf("bins %+v", bins)
	}
}

// The distribution equals its definition at every edge.
func TestCDFLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		errs := rapid.SliceOfN(rapid.Float64Range(0, farthest), 1, 50).Draw(t, "metres")
		tl := newTally()
		for _, m := range errs {
			if err := tl.add(eval.Prediction{Rank: 2, ErrMetres: m}); err != nil {
				t.Fatal(err)
			}
		}
		for i, got := range tl.cdf() {
			within := 0
			for _, m := range errs {
				if m <= errorEdges[i] {
					within++
				}
			}
			if want := float64(within) / float64(len(errs)); got != want {
				t.Fatalf("within %v m: %v, want %v", errorEdges[i], got, want)
			}
		}
	})
}

// 8 of 10: Wilson (1927) gives .4902 to .9433. None and all stay inside.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		hits   float64
		n      int
		lo, hi float64
	}{{8, 10, .4902, .9433}, {0, 10, 0, .2775}, {10, 10, .7225, 1}, {0, 0, 0, 1}} {
		lo, hi := wilson(c.hits, c.n)
		if math.Abs(lo-c.lo) > 5e-5 || math.Abs(hi-c.hi) > 5e-5 {
			t.Errorf("%v of %d: %v to %v, want %v to %v", c.hits, c.n, lo, hi, c.lo, c.hi)
		}
	}
}

// A sample does not depend on the order of rows, holds no key twice, and is the
// whole if it fits.
func TestLowestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringN(0, 3, -1), 0, 60).Draw(t, "keys")
		other := rapid.Permutation(keys).Draw(t, "order")
		a, b := lowest[string]{limit: 10}, lowest[string]{limit: 10}
		distinct := map[string]bool{}
		for i := range keys {
			a.add(hashOf(keys[i]), keys[i])
			b.add(hashOf(other[i]), other[i])
			distinct[keys[i]] = true
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%v and %v", a, b)
		}
		if len(a.items) != min(10, len(distinct)) || a.full != (len(distinct) > 10) {
			t.Fatalf("kept %d of %d, full %v", len(a.items), len(distinct), a.full)
		}
	})
}

func TestMapIsBounded(t *testing.T) {
	tl := newTally()
	for i := range maxMapLines * 3 {
		must(t, tl.add(eval.Prediction{User: fmt.Sprint(i), POI: "a", Top: fmt.Sprint("b", i), Rank: 2, Lat: 40.7, Lng: -74, TopLat: 40.7 + float64(i)/5e4, TopLng: -74, ErrMetres: float64(i) * 2.2}))
	}
	f := mapFigure(&loaded{tally: tl, split: Test})
	drawn := 0
	for _, line := range f.Map.Lines {
		drawn += strings.Count(line.D, "M")
	}
	if drawn != maxMapLines || !strings.HasPrefix(f.Lead, "400 of 1,200 wrong answers") {
		t.Errorf("%d lines drawn, lead %q", drawn, f.Lead)
	}
}

// The scale bar by hand: on a picture 1 degree of latitude high and 500 units
// tall, 5 km are 500*5/111.195 units.
func TestScaleBar(t *testing.T) {
	v := frameOf{x: sheet.Axis{Lo: -.5, Hi: .5, From: 0, To: 500}, y: sheet.Axis{Lo: -.5, Hi: .5, From: 510, To: 10}}
	m := &mapView{}
	m.scaleBar(v)
	if m.Bar.Label != "20 km" {
		t.Fatalf("bar of %s", m.Bar.Label)
	}
	want := fmt.Sprintf("M14 490v6h%vv-6", sheet.Px(500*20/111.19508))
	if m.Bar.D != want {
		t.Errorf("bar %s, want %s", m.Bar.D, want)
	}
}

// A kilometre is as long to the east as to the north, which the bar relies on.
func TestMapIsTrueToScale(t *testing.T) {
	v := frameAround([]eval.Prediction{{Lat: 59, Lng: 10, TopLat: 61, TopLng: 10}, {Lat: 60, Lng: 8, TopLat: 60, TopLng: 12}})
	north := v.y.At(60) - v.y.At(60.5)
	east := v.x.At(11) - v.x.At(10) // a degree of longitude is half as long at 60 N
	if math.Abs(float64(north-east)) > 1e-6 || north <= 0 {
		t.Errorf("half a degree north is %v units, the same way east %v", float64(north), float64(east))
	}
	if mid := v.x.At(10); math.Abs(float64(mid)-(mapLeft+mapWidth-10)/2) > 1e-6 {
		t.Errorf("the middle lies at %v", mid)
	}
}

func TestFrameAroundOnePoint(t *testing.T) {
	for _, lat := range []float64{0, 40.7, -89.99, 90} {
		v := frameAround([]eval.Prediction{{Lat: lat, TopLat: lat}})
		x, y := v.graticule()
		if !(v.y.From > v.y.To) || !(v.x.Hi > v.x.Lo) || v.y.From > 1000 || len(x) == 0 || len(y) == 0 {
			t.Errorf("at %v: frame %+v, %d and %d ticks", lat, v, len(x), len(y))
		}
	}
}

func TestCurvesLeaveOutWhatIsNotFinite(t *testing.T) {
	var records []run.Record
	for i, v := range []float64{3, math.NaN(), math.Inf(1), 1} {
		records = append(records, run.Record{Step: i, Kind: "train", Values: map[string]float64{"loss": v}})
	}
	c := curveOf(records, "train", "loss", byStep)
	if !reflect.DeepEqual(c.xs, []float64{0, 3}) || !reflect.DeepEqual(c.ys, []float64{3, 1}) {
		t.Errorf("curve %+v", c)
	}
	x, y := sheet.Axis{Lo: 0, Hi: 2, From: 0, To: 20}, sheet.Axis{Lo: 0, Hi: 1, From: 10, To: 0}
	if got := lineOf(x, y, []float64{0, 1, 2, 2}, []float64{1, math.NaN(), 0, math.Inf(-1)}); got != "M0 0h0M20 10h0" {
		t.Errorf("line %q", got)
	}
	if got := bandOf(x, y, []float64{0, 1, 2}, []float64{0, math.NaN(), 0}, []float64{1, 1, .5}); got != "M0 0L20 5L20 10L0 10Z" {
		t.Errorf("band %q", got)
	}
	if best([]float64{math.NaN(), .2, .3, .3}) != 2 || best([]float64{math.NaN()}) != -1 {
		t.Error("best is not the first of the greatest")
	}
}

func TestThinning(t *testing.T) {
	var records []run.Record
	for i := range 1000 {
		records = append(records, run.Record{Step: i + 1, Kind: "train", Values: map[string]float64{"loss": float64(i % 5)}})
	}
	c := curveOf(records, "train", "loss", byStep)
	if len(c.xs) != thinPoints || c.records != 1000 || c.xs[thinPoints-1] != 1000 {
		t.Fatalf("%d points of %d records", len(c.xs), c.records)
	}
	for i := range c.xs { // each stands for 0, 1, 2, 3, 4
		if math.Abs(c.ys[i]-2) > 1e-12 || c.lo[i] != 0 || c.hi[i] != 4 {
			t.Fatalf("point %d: %v in %v to %v", i, c.ys[i], c.lo[i], c.hi[i])
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(ticks []sheet.Tick) string {
		var out []string
		for _, tk := range ticks {
			out = append(out, fmt.Sprintf("%s@%v", tk.Label, tk.At))
		}
		return strings.Join(out, " ")
	}
	a := sheet.Axis{Lo: 0, Hi: 1, From: 100, To: 0}
	if got := labels(a.Ticks(5, sheet.Percent)); got != "0 %@100 20 %@80 40 %@60 60 %@40 80 %@20 100 %@0" {
		t.Error(got)
	}
	d := sheet.Axis{Lo: 10, Hi: 10_000, From: 0, To: 30, Log: true}
	if got := labels(d.Decades(roundDistance)); got != "10 m@0 100 m@10 1 km@20 10 km@30" {
		t.Error(got)
	}
	if got := labels(wholeTicks(sheet.Axis{Lo: .7, Hi: 1.3, From: 0, To: 10}, 1, 1)); got != "1@5" {
		t.Error(got)
	}
}

func TestRoundOutLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lo := rapid.Float64Range(-1e6, 1e6).Draw(t, "lo")
		hi := lo + rapid.Float64Range(0, 1e6).Draw(t, "width")
		a, b := roundOut(lo, hi, 5)
		slack := 1e-6 * (b - a)
		if !(a < b) || a > lo+slack || b < hi-slack {
			t.Fatalf("%v to %v became %v to %v", lo, hi, a, b)
		}
		if n := len((sheet.Axis{Lo: a, Hi: b, From: 0, To: 1}).Ticks(5, short)); n < 2 || n > 8 {
			t.Fatalf("%d ticks from %v to %v", n, a, b)
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{short(0), "0"}, {short(1e-3), "0.001"}, {short(5e-5), "5e-5"}, {short(14400), "14.4k"}, {short(2.5e6), "2.5M"}, {short(math.NaN()), "-"}, {short(-.25), "-0.25"},
		{metres(0), "0 m"}, {metres(999.4), "999 m"}, {metres(1234), "1.2 km"}, {metres(12_345), "12 km"}, {metres(math.Inf(1)), "-"},
		{sheet.Count(0), "0"}, {sheet.Count(999), "999"}, {sheet.Count(1000), "1,000"}, {sheet.Count(-1234567), "-1,234,567"}, {places(.5), "0.5000"}, {places(math.NaN()), "-"},
		{ellipsis("héllo", 5), "héllo"}, {ellipsis("héllo!", 5), "héll…"}, {seriesClass(0), "s1"}, {seriesClass(8), "s1 dash1"}, {seriesClass(23), "s8 dash2"},
		{commandLine([]string{"a", "b c", "", "it's"}), `a 'b c' '' 'it'\''s'`},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// No line of predictions, however odd, is counted outside its range or panics.
func FuzzTally(f *testing.F) {
	for _, p := range fourRows() {
		line, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"rank":1e999}`))
	f.Add([]byte("{}\n\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tl, err := scanTally(t.Context(), bytes.NewReader(text))
		if err != nil || tl.n == 0 {
			return
		}
		if cdf := tl.cdf(); cdf[len(cdf)-1] > 1 {
			t.Fatalf("shares %v", cdf)
		}
		l := &loaded{tally: tl, split: Test}
		for _, fig := range []*figure{hourFigure(l), historyFigure(l), cdfFigure(l), mapFigure(l)} {
			if s := fmt.Sprintf("%+v", fig); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
				t.Fatalf("%s holds what is no number: %s", fig.ID, s)
			}
		}
	})
}
