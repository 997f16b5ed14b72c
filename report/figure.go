package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/whereto/whereto/sheet"
)

// Size of a chart in user units. Text is 12 units high there, so a chart of
// this width stays readable between a phone's 360 pixels and a screen's 600.
const (
	chartWidth  = 480
	chartHeight = 280
)

// figure is one chart as the templates draw it: marks in drawing order.
type figure struct {
	ID, Title string
	Lead      string // what is drawn, of how many rows
	Note      string // instead of the chart, if not empty
	Wide      bool   // spans the page

	W, H                     sheet.Px
	Left, Right, Top, Bottom sheet.Px // edges of the plotting area
	XLabel                   string
	XTicks, YTicks           []sheet.Tick
	Bars                     []box
	Bands                    []path
	Whiskers                 []whisker
	Paths                    []path
	Dots                     []dot
	Texts                    []text
	Legend                   []path // class and label only
	Hits                     []box  // columns with tooltips, on top
	Table                    *grid
	Map                      *mapView // drawn in place of a chart
}

// path is a line or an area. Class holds its colour (s1 to s8) and dash.
type path struct{ Class, D, Label string }

// box is a rectangle; Tip is its tooltip.
type box struct {
	X, Y, W, H sheet.Px
	Class, Tip string
}

type whisker struct {
	X, Y1, Y2 sheet.Px
	Class     string
}

type dot struct {
	X, Y, R sheet.Px
	Class   string
}

type text struct {
	X, Y          sheet.Px
	Anchor, Class string
	Text          string
}

// grid is a plain table of numbers.
type grid struct {
	Head []string
	Rows [][]string
}

// seriesClass is the colour of the i-th line; from the ninth on lines are dashed.
func seriesClass(i int) string {
	class := fmt.Sprintf("s%d", i%8+1)
	if i/8 > 0 {
		class += fmt.Sprintf(" dash%d", min(i/8, 2))
	}
	return class
}

// newFigure returns an empty chart; the axes are made by its frame.
func newFigure(id, title string) *figure { return &figure{ID: id, Title: title} }

// without makes f a note.
func (f *figure) without(note string) *figure {
	f.Note = note
	return f
}

// frame sets the plotting area and returns both axes over the given values.
func (f *figure) frame(height float64, xlo, xhi, ylo, yhi float64) (x, y sheet.Axis) {
	const left, right, top, bottom = 52, 12, 12, 44
	f.W, f.H = chartWidth, sheet.Px(height)
	f.Left, f.Right, f.Top, f.Bottom = left, chartWidth-right, top, sheet.Px(height-bottom)
	x = sheet.Axis{Lo: xlo, Hi: xhi, From: left, To: chartWidth - right}
	y = sheet.Axis{Lo: ylo, Hi: yhi, From: height - bottom, To: top}
	return x, y
}

// lineOf draws a line through the finite points; others leave a gap. A point
// with a gap on both sides is drawn as a dot of no length.
func lineOf(x, y sheet.Axis, xs, ys []float64) string {
	var b strings.Builder
	pen := "M"
	for i, v := range ys {
		if !isFinite(v) || !isFinite(xs[i]) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%v %v", pen, x.At(xs[i]), y.At(v))
		if pen == "M" && (i+1 == len(ys) || !isFinite(ys[i+1]) || !isFinite(xs[i+1])) {
			b.WriteString("h0")
		}
		pen = "L"
	}
	return b.String()
}

// stepsOf draws a line that stays at a value until the next one begins.
func stepsOf(x, y sheet.Axis, xs, ys []float64) string {
	var b strings.Builder
	for i, v := range ys {
		if i == 0 {
			fmt.Fprintf(&b, "M%v %v", x.At(xs[i]), y.At(v))
			continue
		}
		fmt.Fprintf(&b, "H%vV%v", x.At(xs[i]), y.At(v))
	}
	return b.String()
}

// bandOf draws the area between two lines; points with a number missing are
// left out.
func bandOf(x, y sheet.Axis, xs, lo, hi []float64) string {
	var there, back []string
	for i := range xs {
		if isFinite(xs[i]) && isFinite(lo[i]) && isFinite(hi[i]) {
			there = append(there, fmt.Sprintf("%v %v", x.At(xs[i]), y.At(hi[i])))
			back = append(back, fmt.Sprintf("%v %v", x.At(xs[i]), y.At(lo[i])))
		}
	}
	if len(there) < 2 {
		return ""
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return "M" + strings.Join(there, "L") + "L" + strings.Join(back, "L") + "Z"
}

// hover covers the plotting area with one column for each x, as wide as reaches
// half way to its neighbours.
func (f *figure) hover(x sheet.Axis, xs []float64, tip func(i int) string) {
	var at []float64
	var index []int
	for i, v := range xs {
		if isFinite(v) {
			at, index = append(at, math.Min(math.Max(float64(x.At(v)), x.From), x.To)), append(index, i)
		}
	}
	for i, here := range at {
		from, to := x.From, x.To
		if i > 0 {
			from = (at[i-1] + here) / 2
		}
		if i+1 < len(at) {
			to = (here + at[i+1]) / 2
		}
		if to > from {
			f.Hits = append(f.Hits, box{X: sheet.Px(from), Y: f.Top, W: sheet.Px(to - from), H: f.Bottom - f.Top, Tip: tip(index[i])})
		}
	}
}
