package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/eval"
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
	BarMid px
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
	x, y axis // degrees to units
}

// mapFigure draws wrong answers as lines from the first answer to the truth.
func mapFigure(l *loaded) *figure {
	f := newFigure("map", "Map of errors")
	f.Wide = true
	switch {
	case l.tally == nil:
		return f.without(l.tallyNote)
	case l.tally.wrong == 0:
		return f.without(fmt.Sprintf("All %s first answers are right: there is no error to draw.", count(l.tally.n)))
	}
	t := l.tally
	rows := make([]eval.Prediction, len(t.misses.items))
	for i, k := range t.misses.items {
		rows[i] = k.value
	}
	f.W, f.Left, f.Top, f.Right = mapWidth, mapLeft, 10, mapWidth-10
	view := frameAround(rows)
	f.H = px(view.y.from) + 34
	f.Bottom = px(view.y.from)
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
	f.Lead = fmt.Sprintf("%s of %s wrong answers (%s rows, %s split), each a line from the first answer to the true place (dot); grey dots are places", count(len(rows)), count(t.wrong), count(t.n), l.split)
	if t.places.full {
		f.Lead += fmt.Sprintf(", a sample of %s", count(len(t.places.items)))
	}
	f.Lead += "."
	if m.Hidden > 0 {
		f.Lead += fmt.Sprintf(" %s lines leave the picture, which holds the middle 98 %% of their ends.", count(m.Hidden))
	}
	f.Table = &grid{Head: []string{"error", "lines drawn"}}
	for _, c := range m.Counts {
		f.Table.Rows = append(f.Table.Rows, []string{c.Label, count(c.N)})
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
		x: axis{lo: lng - wide/shrink/2, hi: lng + wide/shrink/2, from: mapLeft, to: mapLeft + width},
		y: axis{lo: lat - high/2, hi: lat + high/2, from: 10 + width*high/wide, to: 10},
	}
}

// middle returns the 1st and 99th percentile of a list, which it sorts.
func middle(list []float64) (lo, hi float64) {
	slices.Sort(list)
	cut := len(list) / 100
	return list[cut], list[len(list)-1-cut]
}

func (v frameOf) holds(s spot) bool {
	return s.lng >= v.x.lo && s.lng <= v.x.hi && s.lat >= v.y.lo && s.lat <= v.y.hi
}

// point draws a dot as a line of no length, which round ends make visible: a
// path of thousands is a hundred times smaller than as many circles.
func (v frameOf) point(s spot) string {
	return fmt.Sprintf("M%v %vh0", v.x.at(s.lng), v.y.at(s.lat))
}

// graticule marks round degrees.
func (v frameOf) graticule() (x, y []tick) {
	wide := v.x.hi - v.x.lo
	digits := int(math.Max(0, math.Ceil(-math.Log10(step(math.Min(wide, v.y.hi-v.y.lo), 5)))))
	name := func(positive, negative string) func(float64) string {
		return func(d float64) string {
			side := positive
			if d < 0 {
				side = negative
			}
			return fmt.Sprintf("%.*f°%s", digits, math.Abs(d), side)
		}
	}
	return v.x.ticks(5, name("E", "W")), v.y.ticks(5, name("N", "S"))
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
		fmt.Fprintf(&lines[at], "M%v %vL%v %v", v.x.at(from.lng), v.y.at(from.lat), v.x.at(to.lng), v.y.at(to.lat))
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
	perMetre := (v.y.from - v.y.to) / ((v.y.hi - v.y.lo) * metresPerDegree)
	most := (v.x.to - v.x.from) / 4 / perMetre
	length := step(most, 1)
	for length > most {
		length = step(length/2.6, 1)
	}
	x0, y0, long := px(v.x.from+14), px(v.y.from-14), px(length*perMetre)
	m.Bar = path{D: fmt.Sprintf("M%v %vv6h%vv-6", x0, y0-6, long), Label: roundDistance(length)}
	m.BarMid = x0 + long/2
}
