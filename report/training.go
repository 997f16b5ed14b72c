package report

import (
	"fmt"
	"math"

	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/sheet"
)

// A line of more than maxPoints is thinned to thinPoints: about a point for two
// units of width, each of at least two records.
const (
	maxPoints  = 400
	thinPoints = 200
)

// curve is a line of values with the spread of what each point stands for.
type curve struct {
	xs, ys, lo, hi []float64
	records        int // finite values before thinning
}

// curveOf picks value name of the records of a kind. Values that are not finite
// are left out. Many are thinned to means of equal runs of records, with least
// and greatest value beside them.
func curveOf(records []run.Record, kind, name string, x func(run.Record) float64) curve {
	var c curve
	for _, r := range records {
		if v, ok := r.Values[name]; r.Kind == kind && ok && isFinite(v) {
			c.xs, c.ys = append(c.xs, x(r)), append(c.ys, v)
		}
	}
	c.records = len(c.xs)
	return c.thin()
}

// thin bounds the points of a curve.
func (c curve) thin() curve {
	n := len(c.xs)
	if n <= maxPoints {
		c.lo, c.hi = c.ys, c.ys
		return c
	}
	out := curve{records: c.records}
	for i := range thinPoints {
		from, to := i*n/thinPoints, (i+1)*n/thinPoints
		sum, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
		for _, v := range c.ys[from:to] {
			sum, lo, hi = sum+v/float64(to-from), min(lo, v), max(hi, v)
		}
		out.xs, out.ys = append(out.xs, c.xs[to-1]), append(out.ys, sum)
		out.lo, out.hi = append(out.lo, lo), append(out.hi, hi)
	}
	return out
}

func byStep(r run.Record) float64  { return float64(r.Step) }
func byEpoch(r run.Record) float64 { return float64(r.Epoch + 1) }

// lossFigure draws the training loss by step, and the validation loss if there
// is one.
func lossFigure(l *loaded) *figure {
	f := newFigure("loss", "Training loss by step")
	train := curveOf(l.records, "train", "loss", byStep)
	valid := curveOf(l.records, "validation", "loss", byStep)
	if len(train.xs) == 0 {
		return f.without(noRecords(l, "training loss"))
	}
	f.Lead = fmt.Sprintf("%s records.", sheet.Count(train.records))
	if train.records > len(train.xs) {
		f.Lead = fmt.Sprintf("%s records, drawn as %d means with the range of each.", sheet.Count(train.records), len(train.xs))
	}
	lo, hi, _ := span(train.lo, train.hi, valid.ys)
	lo, hi = roundOut(lo, hi, 5)
	x, y := f.frame(chartHeight, 0, max(train.xs[len(train.xs)-1], 1), lo, hi)
	f.XLabel = "optimiser step"
	f.XTicks, f.YTicks = x.Ticks(5, short), y.Ticks(5, short)
	if d := bandOf(x, y, train.xs, train.lo, train.hi); d != "" && train.records > len(train.xs) {
		f.Bands = append(f.Bands, path{Class: "s1", D: d})
	}
	f.Paths = append(f.Paths, path{Class: "s1", D: lineOf(x, y, train.xs, train.ys)})
	if len(valid.xs) > 0 {
		f.Paths = append(f.Paths, path{Class: "s2", D: lineOf(x, y, valid.xs, valid.ys)})
		f.Legend = []path{{Class: "s1", Label: "training"}, {Class: "s2", Label: "validation"}}
	}
	f.hover(x, train.xs, func(i int) string {
		return fmt.Sprintf("step %s: loss %s", short(train.xs[i]), short(train.ys[i]))
	})
	f.Table = curveTable("loss", train)
	return f
}

// rateFigure draws the learning rate by step.
func rateFigure(l *loaded) *figure {
	f := newFigure("lr", "Learning rate by step")
	c := curveOf(l.records, "train", "lr", byStep)
	if len(c.xs) == 0 {
		return f.without(noRecords(l, "learning rate"))
	}
	_, hi, _ := span(c.ys)
	_, hi = roundOut(0, hi, 4)
	if hi <= 0 {
		hi = 1e-3
	}
	peak := 0
	for i, v := range c.ys {
		if v > c.ys[peak] {
			peak = i
		}
	}
	f.Lead = fmt.Sprintf("Highest %s at step %s, last %s.", short(c.ys[peak]), short(c.xs[peak]), short(c.ys[len(c.ys)-1]))
	x, y := f.frame(chartHeight, 0, max(c.xs[len(c.xs)-1], 1), 0, hi)
	f.XLabel = "optimiser step"
	f.XTicks, f.YTicks = x.Ticks(5, short), y.Ticks(4, short)
	f.Paths = append(f.Paths, path{Class: "s1", D: lineOf(x, y, c.xs, c.ys)})
	f.hover(x, c.xs, func(i int) string {
		return fmt.Sprintf("step %s: learning rate %s", short(c.xs[i]), short(c.ys[i]))
	})
	f.Table = curveTable("learning rate", c)
	return f
}

// noRecords says why a line of training is absent.
func noRecords(l *loaded, what string) string {
	if l.recordsNote != "" {
		return l.recordsNote
	}
	return fmt.Sprintf("%s holds no %s yet.", run.MetricsFile, what)
}

// curveTable lists at most 24 points of a line, the last among them.
func curveTable(name string, c curve) *grid {
	g := &grid{Head: []string{"step", name}}
	rows := min(24, len(c.xs))
	for i := range rows {
		at := (i+1)*len(c.xs)/rows - 1
		g.Rows = append(g.Rows, []string{short(c.xs[at]), short(c.ys[at])})
	}
	return g
}

// best returns the position of the greatest value, the earliest among equals,
// as training chooses; -1 if there is none.
func best(ys []float64) int {
	at := -1
	for i, v := range ys {
		if isFinite(v) && (at < 0 || v > ys[at]) {
			at = i
		}
	}
	return at
}

// epochFigure draws accuracy on validation by epoch with the best one marked.
func epochFigure(l *loaded) *figure {
	f := newFigure("epochs", "Validation accuracy by epoch")
	acc := curveOf(l.records, "validation", "acc@1", byEpoch)
	mrr := curveOf(l.records, "validation", "mrr", byEpoch)
	if len(acc.xs) == 0 {
		return f.without(noRecords(l, "validation accuracy"))
	}
	lines := []namedCurve{{"Acc@1", acc}}
	if len(mrr.xs) > 0 {
		lines = append(lines, namedCurve{"MRR", mrr})
	}
	f.epochs(lines)
	at := best(acc.ys)
	f.Lead = fmt.Sprintf("Best Acc@1 %s after epoch %s of %d recorded; the axis does not begin at zero.", places(acc.ys[at]), short(acc.xs[at]), acc.records)
	f.Table = epochTable(l.records)
	return f
}

// compareEpochs draws Acc@1 by epoch of several runs.
func compareEpochs(id string, runs []*loaded, class map[*loaded]string) *figure {
	f := newFigure(id, "Validation Acc@1 by epoch")
	var lines []namedCurve
	var classes []string
	for _, l := range runs {
		if c := curveOf(l.records, "validation", "acc@1", byEpoch); len(c.xs) > 0 {
			lines, classes = append(lines, namedCurve{l.label, c}), append(classes, class[l])
		}
	}
	if len(lines) == 0 {
		return f.without("None of these runs has recorded a validation accuracy yet.")
	}
	f.epochs(lines, classes...)
	f.Lead = "The best epoch of each run is marked; the axis does not begin at zero."
	f.Table = &grid{Head: []string{"run", "epochs", "best epoch", "best Acc@1", "last Acc@1"}}
	for _, line := range lines {
		at := best(line.ys)
		f.Table.Rows = append(f.Table.Rows, []string{line.name, fmt.Sprint(line.records), short(line.xs[at]), places(line.ys[at]), places(line.ys[len(line.ys)-1])})
	}
	return f
}

type namedCurve struct {
	name string
	curve
}

// epochs draws lines over epochs; classes default to the series colours. The
// best point of each line is marked, except for lines after the first of a
// single run, which the choice does not look at.
func (f *figure) epochs(lines []namedCurve, classes ...string) {
	var all, epochs [][]float64
	for _, line := range lines {
		all, epochs = append(all, line.ys), append(epochs, line.xs)
	}
	lo, hi, _ := span(all...)
	lo, hi = roundOut(lo, hi, 5)
	first, last, _ := span(epochs...)
	x, y := f.frame(chartHeight, first-.3, last+.3, lo, hi)
	f.XLabel = "epoch"
	f.XTicks, f.YTicks = wholeTicks(x, first, last), y.Ticks(5, trim3)
	single := len(classes) == 0
	for i, line := range lines {
		class := seriesClass(i)
		if !single {
			class = classes[i]
		}
		f.Paths = append(f.Paths, path{Class: class, D: lineOf(x, y, line.xs, line.ys)})
		f.Legend = append(f.Legend, path{Class: class, Label: line.name})
		for j := range line.xs {
			if len(line.xs) <= 40 {
				f.Dots = append(f.Dots, dot{x.At(line.xs[j]), y.At(line.ys[j]), 2.5, class})
			}
		}
		if at := best(line.ys); i == 0 || !single {
			f.Dots = append(f.Dots, dot{x.At(line.xs[at]), y.At(line.ys[at]), 6, class + " ring"})
			if single {
				f.Texts = append(f.Texts, bestLabel(f, x.At(line.xs[at]), y.At(line.ys[at]), line.ys[at]))
			}
		}
	}
	longest := lines[0]
	for _, line := range lines {
		if len(line.xs) > len(longest.xs) {
			longest = line
		}
	}
	f.hover(x, longest.xs, func(i int) string {
		tip := "epoch " + short(longest.xs[i])
		for _, line := range lines {
			for j, e := range line.xs {
				if e == longest.xs[i] {
					tip += fmt.Sprintf("\n%s %s", line.name, places(line.ys[j]))
				}
			}
		}
		return tip
	})
}

func trim3(x float64) string { return sheet.Trim(x, 3) }

// bestLabel writes the best value beside its ring, inside the plotting area.
func bestLabel(f *figure, x, y sheet.Px, value float64) text {
	t := text{X: x, Y: y - 11, Anchor: "middle", Class: "strong", Text: "best " + places(value)}
	if t.X > f.Right-40 {
		t.X, t.Anchor = f.Right, "end"
	} else if t.X < f.Left+40 {
		t.X, t.Anchor = f.Left+4, "start"
	}
	if t.Y < f.Top+10 {
		t.Y = y + 20
	}
	return t
}

// wholeTicks marks whole numbers from first to last.
func wholeTicks(x sheet.Axis, first, last float64) []sheet.Tick {
	by := max(1, sheet.Step(max(last-first, 1), 8))
	var out []sheet.Tick
	for v := math.Ceil(first/by) * by; v <= last; v += by {
		out = append(out, sheet.Tick{At: x.At(v), Label: short(v)})
	}
	return out
}

// epochTable lists every metric of every evaluation, the last 200 of them.
func epochTable(records []run.Record) *grid {
	names := []string{"acc@1", "acc@5", "acc@10", "acc@20", "mrr", "ndcg@10", "loss"}
	g := &grid{Head: append([]string{"epoch", "step"}, names...)}
	for _, r := range records {
		if r.Kind != "validation" {
			continue
		}
		row := []string{fmt.Sprint(r.Epoch + 1), sheet.Count(r.Step)}
		for _, name := range names {
			cell := "-"
			if v, ok := r.Values[name]; ok {
				cell = places(v)
			}
			row = append(row, cell)
		}
		g.Rows = append(g.Rows, row)
	}
	if n := len(g.Rows); n > 200 {
		g.Rows = g.Rows[n-200:]
	}
	return g
}
