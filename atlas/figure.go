package atlas

import (
	"fmt"
	"math"
	"strings"

	"github.com/whereto/whereto/sheet"
)

// Size of a chart in user units. Text is 12 units high there, so a chart of this
// width stays readable between a phone's 360 pixels and a screen's 600.
const (
	chartWidth  = 480
	chartHeight = 270
)

// figure is one drawing as the templates see it: marks in drawing order.
type figure struct {
	ID, Title string
	Lead      string // what is drawn
	Note      string // instead of the drawing, if not empty
	Wide      bool   // spans the page
	Small     bool   // one of several in a row
	Map       bool

	W, H                     sheet.Px
	Left, Right, Top, Bottom sheet.Px
	XLabel                   string
	XTicks, YTicks           []sheet.Tick
	Areas                    []path
	Bars                     []box
	Paths                    []path
	Dots                     []dot
	Texts                    []text
	Legend                   []path // class and label only
	Hits                     []box  // with tooltips, on top
	Table                    *grid
}

// path is a line or an area. Class holds its colour.
type path struct{ Class, D, Label string }

// box is a rectangle. Tip is its tooltip, Ink its opacity.
type box struct {
	X, Y, W, H sheet.Px
	Class, Tip string
	Ink        string
}

type dot struct {
	X, Y, R sheet.Px
	Class   string
}

type text struct {
	X, Y                sheet.Px
	Anchor, Class, Text string
}

// grid is a plain table.
type grid struct {
	Head []string
	Rows [][]string
}

// series is one line of a chart.
type series struct {
	name, class string
	x, y        []float64
	dots        bool // points rather than a line
}

// scale says how an axis is drawn.
type scale struct {
	log   bool
	label func(float64) string
	zero  bool      // a linear axis begins at 0
	at    []float64 // marked values; nil: round ones
}

// frame sets the plotting area and returns both axes over the given values.
func (f *figure) frame(width, height, xlo, xhi, ylo, yhi float64) (x, y sheet.Axis) {
	const left, right, top, bottom = 54, 14, 12, 44
	f.W, f.H = sheet.Px(width), sheet.Px(height)
	f.Left, f.Right, f.Top, f.Bottom = left, sheet.Px(width-right), top, sheet.Px(height-bottom)
	x = sheet.Axis{Lo: xlo, Hi: xhi, From: left, To: width - right}
	y = sheet.Axis{Lo: ylo, Hi: yhi, From: height - bottom, To: top}
	return x, y
}

// extent returns the ends of values on a scale, widened where they are equal.
func (s scale) extent(lists ...[]float64) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, list := range lists {
		for _, v := range list {
			if !s.log || v > 0 {
				lo, hi, ok = min(lo, v), max(hi, v), true
			}
		}
	}
	switch {
	case !ok:
		return 0, 1, false
	case s.log && hi < lo*1.5:
		lo, hi = lo/1.5, hi*1.5
	case s.zero:
		lo, hi = min(lo, 0), max(hi*1.05, 1e-6)
	case hi-lo < 1e-9:
		lo, hi = lo-1, hi+1
	}
	return lo, hi, true
}

// lines draws series over common axes, with their numbers as a table.
func lines(id, title, lead, xlabel string, sx, sy scale, all []series) *figure {
	f := &figure{ID: id, Title: title, Lead: lead, XLabel: xlabel}
	var xs, ys [][]float64
	for _, s := range all {
		xs, ys = append(xs, s.x), append(ys, s.y)
	}
	xlo, xhi, ok := sx.extent(xs...)
	ylo, yhi, okY := sy.extent(ys...)
	if !ok || !okY {
		f.Note = "The log has no value to draw."
		return f
	}
	x, y := f.frame(chartWidth, chartHeight, xlo, xhi, ylo, yhi)
	x.Log, y.Log = sx.log, sy.log
	f.XTicks, f.YTicks = sx.marks(x, 6), sy.marks(y, 5)
	f.Table = &grid{Head: []string{"", xlabel, "value"}}
	for _, s := range all {
		if len(all) > 1 {
			f.Legend = append(f.Legend, path{Class: s.class, Label: s.name})
		}
		var d strings.Builder
		pen := "M"
		for i := range s.x {
			if sx.log && s.x[i] <= 0 || sy.log && s.y[i] <= 0 {
				continue
			}
			at, to := x.At(s.x[i]), y.At(s.y[i])
			fmt.Fprintf(&d, "%s%v %v", pen, at, to)
			pen = "L"
			if s.dots {
				f.Dots = append(f.Dots, dot{at, to, 3.5, s.class})
			}
			f.Table.Rows = append(f.Table.Rows, []string{s.name, sx.label(s.x[i]), sy.label(s.y[i])})
			f.Hits = append(f.Hits, box{X: at - 7, Y: to - 7, W: 14, H: 14, Tip: fmt.Sprintf("%s\n%s: %s", s.name, sx.label(s.x[i]), sy.label(s.y[i]))})
		}
		if !s.dots {
			f.Paths = append(f.Paths, path{Class: s.class, D: d.String()})
		}
	}
	return f
}

func (s scale) marks(a sheet.Axis, want int) []sheet.Tick {
	if s.at != nil {
		var out []sheet.Tick
		for _, v := range s.at {
			if v >= a.Lo && v <= a.Hi {
				out = append(out, sheet.Tick{At: a.At(v), Label: s.label(v)})
			}
		}
		return out
	}
	if s.log {
		return a.Decades(s.label)
	}
	return a.Ticks(want, s.label)
}

// thin keeps at most n points of a curve, the first and the last among them,
// spread evenly over the logarithm of x.
func thin(x, y []float64, n int) (tx, ty []float64) {
	if len(x) <= n {
		return x, y
	}
	ratio := math.Pow(x[len(x)-1]/x[0], 1/float64(n))
	next := x[0]
	for i := range x {
		if x[i] >= next || i == len(x)-1 {
			tx, ty = append(tx, x[i]), append(ty, y[i])
			next = x[i] * ratio
		}
	}
	return tx, ty
}
