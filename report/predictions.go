package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/sheet"
)

// bin is one place on the axis of a binned chart.
type bin struct {
	label string
	tick  string // on the axis, shorter
	cell
}

// hourFigure draws accuracy by the local hour of the target.
func hourFigure(l *loaded) *figure {
	f := newFigure("hours", "Accuracy by local hour of day")
	if l.tally == nil {
		return f.without(l.tallyNote)
	}
	bins := make([]bin, 24)
	for h, c := range l.tally.hours {
		bins[h] = bin{strconv.Itoa(h), strconv.Itoa(h), c}
	}
	f.binned(l, bins, 3, "hour", "hour of day, local time")
	return f
}

// historyFigure draws accuracy by the visits before the request.
func historyFigure(l *loaded) *figure {
	f := newFigure("history", "Accuracy by length of history")
	if l.tally == nil {
		return f.without(l.tallyNote)
	}
	f.binned(l, historyBins(l.tally), 1, "visits", "visits before the request, at least")
	return f
}

// historyBins labels the bins of history and drops empty ones at both ends.
func historyBins(t *tally) []bin {
	var bins []bin
	for i, c := range t.history {
		label := fmt.Sprintf("%d+", historyFrom[i])
		if i+1 < len(historyFrom) {
			label = fmt.Sprintf("%d–%d", historyFrom[i], historyFrom[i+1]-1)
		}
		bins = append(bins, bin{label, strconv.Itoa(historyFrom[i]), c})
	}
	empty := func(b bin) bool { return b.n == 0 }
	first := slices.IndexFunc(bins, func(b bin) bool { return !empty(b) })
	for len(bins) > 0 && empty(bins[len(bins)-1]) {
		bins = bins[:len(bins)-1]
	}
	return bins[max(first, 0):]
}

// binned draws Acc@1 with intervals and Acc@10 over bins, above a strip with the
// number of rows. Every n-th bin is labelled.
func (f *figure) binned(l *loaded, bins []bin, every int, unit, xlabel string) {
	const strip = 40
	top, most := 0.0, 1
	xs, acc1, acc10 := make([]float64, len(bins)), make([]float64, len(bins)), make([]float64, len(bins))
	los, his := make([]float64, len(bins)), make([]float64, len(bins))
	f.Table = &grid{Head: []string{unit, "n", "Acc@1", "95 % interval", "Acc@10"}}
	for i, b := range bins {
		rows := float64(b.n) // none gives NaN, which is not drawn
		xs[i], acc1[i], acc10[i] = float64(i), b.hit1/rows, b.hit10/rows
		los[i], his[i] = wilson(b.hit1, b.n)
		if b.n > 0 {
			top, most = max(top, his[i], acc10[i]), max(most, b.n)
		}
		f.Table.Rows = append(f.Table.Rows, binRow(b, acc1[i], los[i], his[i], acc10[i]))
	}
	f.Lead = fmt.Sprintf("%s rows of the %s split; bars are 95 %% Wilson intervals, the strip below counts rows (most: %s).",
		sheet.Count(l.tally.n), l.split, sheet.Count(most))
	_, top = roundOut(0, top, 5)
	x, y := f.frame(chartHeight+strip, -.6, float64(len(bins))-.4, 0, top)
	y.From -= strip
	f.XLabel = xlabel
	f.YTicks = y.Ticks(5, trim3)
	f.Texts = append(f.Texts, text{X: f.Left - 8, Y: f.Bottom - 2, Anchor: "end", Text: "n"})
	width := (x.To - x.From) / (float64(len(bins)) + .2)
	for i, b := range bins {
		if i%every == 0 {
			f.XTicks = append(f.XTicks, sheet.Tick{At: x.At(xs[i]), Label: b.tick})
		}
		if b.n == 0 {
			continue
		}
		h := sheet.Px(max(1, float64(strip-8)*float64(b.n)/float64(most)))
		f.Bars = append(f.Bars, box{X: x.At(xs[i]) - sheet.Px(width*.36), Y: f.Bottom - h, W: sheet.Px(width * .72), H: h, Class: "rows"})
		f.Whiskers = append(f.Whiskers, whisker{x.At(xs[i]), y.At(los[i]), y.At(his[i]), "s1"})
		f.Dots = append(f.Dots, dot{x.At(xs[i]), y.At(acc1[i]), 3.5, "s1"})
	}
	f.Paths = append(f.Paths, path{Class: "s2", D: lineOf(x, y, xs, acc10)}, path{Class: "s1 faint", D: lineOf(x, y, xs, acc1)})
	f.Legend = []path{{Class: "s1", Label: "Acc@1"}, {Class: "s2", Label: "Acc@10"}}
	f.hover(x, xs, func(i int) string {
		b := bins[i]
		if b.n == 0 {
			return fmt.Sprintf("%s %s: no rows", unit, b.label)
		}
		return fmt.Sprintf("%s %s, n=%s\nAcc@1 %s [%s, %s]\nAcc@10 %s", unit, b.label, sheet.Count(b.n), places(acc1[i]), places(los[i]), places(his[i]), places(acc10[i]))
	})
}

func binRow(b bin, acc1, lo, hi, acc10 float64) []string {
	interval := "-"
	if b.n > 0 {
		interval = "[" + places(lo) + ", " + places(hi) + "]"
	}
	return []string{b.label, sheet.Count(b.n), places(acc1), interval, places(acc10)}
}

// cdfFigure draws the distribution of the distance from first answer to truth.
func cdfFigure(l *loaded) *figure {
	f := newFigure("cdf", "Distance error, cumulative")
	if l.tally == nil {
		return f.without(l.tallyNote)
	}
	cdf := l.tally.cdf()
	f.Lead = fmt.Sprintf("From first answer to truth, %s rows of the %s split.", sheet.Count(l.tally.n), l.split)
	if r := l.results[l.split]; r != nil {
		f.Lead += " " + quantiles(r.Distance)
	}
	f.distances([]cdfLine{{"", "s1", cdf}}, l.tally.maxErr)
	return f
}

func quantiles(d eval.Distances) string {
	return fmt.Sprintf("Half within %s, 75 %% within %s, 90 %% within %s.", metres(d.P50), metres(d.P75), metres(d.P90))
}

// compareCDF draws the distributions of several runs that share their rows.
func compareCDF(id string, runs []*loaded, class map[*loaded]string) *figure {
	f := newFigure(id, "Distance error, cumulative")
	var lines []cdfLine
	far := 0.0
	for _, l := range runs {
		if l.tally != nil {
			lines, far = append(lines, cdfLine{l.label, class[l], l.tally.cdf()}), max(far, l.tally.maxErr)
			f.Lead = fmt.Sprintf("From first answer to truth, %s split.", l.split)
		}
	}
	if len(lines) == 0 {
		return f.without("None of these runs has predictions to draw. To write them, run whereto eval on each.")
	}
	f.distances(lines, far)
	return f
}

type cdfLine struct {
	name, class string
	cdf         []float64 // at errorEdges
}

// distances draws cumulative shares over log distance from 10 m to the farthest
// error.
func (f *figure) distances(lines []cdfLine, far float64) {
	const from = 10
	lo, _ := slices.BinarySearch(errorEdges, from)
	hi, _ := slices.BinarySearch(errorEdges, max(far, 1000))
	x, y := f.frame(chartHeight, from, errorEdges[hi], 0, 1)
	x.Log = true
	f.XLabel = "distance error, log scale"
	f.XTicks, f.YTicks = x.Decades(roundDistance), y.Ticks(5, sheet.Percent)
	xs := errorEdges[lo : hi+1]
	for _, line := range lines {
		f.Paths = append(f.Paths, path{Class: line.class, D: stepsOf(x, y, xs, line.cdf[lo:hi+1])})
		if line.name != "" {
			f.Legend = append(f.Legend, path{Class: line.class, Label: line.name})
		}
	}
	f.hover(x, xs, func(i int) string {
		tip := "within " + metres(xs[i])
		for _, line := range lines {
			tip += fmt.Sprintf("\n%s %s", line.name, sheet.Percent(line.cdf[lo+i]))
		}
		return tip
	})
	f.Table = cdfTable(lines, far)
}

// cdfTable lists the shares at round distances up to the first beyond far.
func cdfTable(lines []cdfLine, far float64) *grid {
	g := &grid{Head: []string{"within"}}
	for _, line := range lines {
		name := line.name
		if name == "" {
			name = "share of rows"
		}
		g.Head = append(g.Head, name)
	}
	for i, m := range roundMetres {
		if i > 0 && roundMetres[i-1] > far {
			break
		}
		at, _ := slices.BinarySearch(errorEdges, m)
		row := []string{roundDistance(m)}
		for _, line := range lines {
			row = append(row, places(line.cdf[at]))
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}
