package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/sheet"
)

const (
	mapWidth = 640
	mapLeft  = 64
	// metresPerDegree of latitude, on a sphere with the Earth's mean radius.
	metresPerDegree = 6371008.8 * math.Pi / 180
)

// farFrom are the least errors, in metres, of the colours of the map's lines.
var farFrom = []float64{0, 500, 2000, 5000, 15_000}

// mapView is the map of errors.
type mapView struct {
	Lines  []mapLine // one for each colour, farthest first: the near ones stay visible
	Places string    // all dots as one path
	Truths string    // ends of lines at the true place
	Bar    path      // scale bar; Label is its length
	BarMid sheet.Px
	Counts []mapLine // legend, nearest first
	Hidden int       // lines of which an end lies outside
}

// mapLine is all lines of one colour as one path.
type mapLine struct {
	path
	N int
}

// frameOf is an equirectangular projection that is true to scale at the middle.
type frameOf struct {
	x, y sheet.Axis // degrees to units
}

// mapFigure draws wrong answers as lines from the first answer to the truth.
func mapFigure(l *loaded) *figure {
	f := newFigure("map", "Map of errors")
	f.Wide = true
	switch {
	case l.tally == nil:
		return f.without(l.tallyNote)
	case l.tally.wrong == 0:
		return f.without(fmt.Sprintf("All %s first answers are right: there is no error to draw.", sheet.Count(l.tally.n)))
	}
	t := l.tally
	rows := make([]eval.Prediction, len(t.misses.items))
	for i, k := range t.misses.items {
		rows[i] = k.value
	}
	f.W, f.Left, f.Top, f.Right = mapWidth, mapLeft, 10, mapWidth-10
	view := frameAround(rows)
	f.H = sheet.Px(view.y.From) + 34
	f.Bottom = sheet.Px(view.y.From)
	f.XTicks, f.YTicks = view.graticule()
	m := &mapView{}
	f.Map = m
	for _, p := range t.places.items {
		if view.holds(p.value) {
			m.Places += view.point(p.value)
		}
	}
	m.draw(view, rows)
	m.scaleBar(view)
	f.Lead = fmt.Sprintf("%s of %s wrong answers (%s rows, %s split), each a line from the first answer to the true place (dot); grey dots are places", sheet.Count(len(rows)), sheet.Count(t.wrong), sheet.Count(t.n), l.split)
	if t.places.full {
		f.Lead += fmt.Sprintf(", a sample of %s", sheet.Count(len(t.places.items)))
	}
	f.Lead += "."
	if m.Hidden > 0 {
		f.Lead += fmt.Sprintf(" %s lines leave the picture, which holds the middle 98 %% of their ends.", sheet.Count(m.Hidden))
	}
	f.Table = &grid{Head: []string{"error", "lines drawn"}}
	for _, c := range m.Counts {
		f.Table.Rows = append(f.Table.Rows, []string{c.Label, sheet.Count(c.N)})
	}
	return f
}

// frameAround returns a projection that holds the middle 98 % of the ends of
// the lines in either direction, with a margin. The picture is never flatter
// than 0.55 nor steeper than 1.1 times its width.
func frameAround(rows []eval.Prediction) frameOf {
	var lats, lngs []float64
	for _, p := range rows {
		lats, lngs = append(lats, p.Lat, p.TopLat), append(lngs, p.Lng, p.TopLng)
	}
	south, north := middle(lats)
	west, east := middle(lngs)
	const width = mapWidth - mapLeft - 10
	shrink := math.Max(math.Cos((south+north)/2*math.Pi/180), .02)
	high := math.Max(north-south, 2e-3)
	wide := math.Max((east-west)*shrink, 2e-3) // in degrees of latitude
	wide = math.Max(wide, high/1.1)
	high = math.Max(high, wide*.55)
	high, wide = high*1.06, wide*1.06
	lat, lng := (south+north)/2, (west+east)/2
	return frameOf{
		x: sheet.Axis{Lo: lng - wide/shrink/2, Hi: lng + wide/shrink/2, From: mapLeft, To: mapLeft + width},
		y: sheet.Axis{Lo: lat - high/2, Hi: lat + high/2, From: 10 + width*high/wide, To: 10},
	}
}

// middle returns the 1st and 99th percentile of a list, which it sorts.
func middle(list []float64) (lo, hi float64) {
	slices.Sort(list)
	cut := len(list) / 100
	return list[cut], list[len(list)-1-cut]
}

func (v frameOf) holds(s spot) bool {
	return s.lng >= v.x.Lo && s.lng <= v.x.Hi && s.lat >= v.y.Lo && s.lat <= v.y.Hi
}

// point draws a dot as a line of no length, which round ends make visible: a
// path of thousands is a hundred times smaller than as many circles.
func (v frameOf) point(s spot) string {
	return fmt.Sprintf("M%v %vh0", v.x.At(s.lng), v.y.At(s.lat))
}

// graticule marks round degrees.
func (v frameOf) graticule() (x, y []sheet.Tick) {
	wide := v.x.Hi - v.x.Lo
	digits := int(math.Max(0, math.Ceil(-math.Log10(sheet.Step(math.Min(wide, v.y.Hi-v.y.Lo), 5)))))
	name := func(positive, negative string) func(float64) string {
		return func(d float64) string {
			side := positive
			if d < 0 {
				side = negative
			}
			return fmt.Sprintf("%.*f°%s", digits, math.Abs(d), side)
		}
	}
	return v.x.Ticks(5, name("E", "W")), v.y.Ticks(5, name("N", "S"))
}

// draw adds the lines by colour.
func (m *mapView) draw(v frameOf, rows []eval.Prediction) {
	lines := make([]strings.Builder, len(farFrom))
	m.Counts = make([]mapLine, len(farFrom))
	var truths strings.Builder
	for _, p := range rows {
		at, found := slices.BinarySearch(farFrom, p.ErrMetres)
		if !found {
			at--
		}
		from, to := spot{p.TopLat, p.TopLng}, spot{p.Lat, p.Lng}
		m.Counts[at].N++
		fmt.Fprintf(&lines[at], "M%v %vL%v %v", v.x.At(from.lng), v.y.At(from.lat), v.x.At(to.lng), v.y.At(to.lat))
		if !v.holds(from) || !v.holds(to) {
			m.Hidden++
		}
		if v.holds(to) {
			truths.WriteString(v.point(to))
		}
	}
	m.Truths = truths.String()
	for i := range farFrom {
		label := ""
		switch {
		case i == 0:
			label = "under " + roundDistance(farFrom[1])
		case i+1 < len(farFrom):
			label = roundDistance(farFrom[i]) + " to " + roundDistance(farFrom[i+1])
		default:
			label = roundDistance(farFrom[i]) + " and more"
		}
		m.Counts[i].path = path{Class: fmt.Sprintf("far%d", i+1), D: lines[i].String(), Label: label}
	}
	for i := len(farFrom) - 1; i >= 0; i-- {
		m.Lines = append(m.Lines, m.Counts[i])
	}
}

// scaleBar puts a bar of round length, at most a quarter of the width, at the
// lower left.
func (m *mapView) scaleBar(v frameOf) {
	perMetre := (v.y.From - v.y.To) / ((v.y.Hi - v.y.Lo) * metresPerDegree)
	most := (v.x.To - v.x.From) / 4 / perMetre
	length := sheet.Step(most, 1)
	for length > most {
		length = sheet.Step(length/2.6, 1)
	}
	x0, y0, long := sheet.Px(v.x.From+14), sheet.Px(v.y.From-14), sheet.Px(length*perMetre)
	m.Bar = path{D: fmt.Sprintf("M%v %vv6h%vv-6", x0, y0-6, long), Label: roundDistance(length)}
	m.BarMid = x0 + long/2
}
