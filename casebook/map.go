package casebook

import (
	"fmt"
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/sheet"
)

// chart is the small map of a case, a square of side units.
type chart struct {
	Side  sheet.Px
	Dots  []dot
	Bar   string   // path of the scale bar
	BarX  sheet.Px // its middle
	BarY  sheet.Px
	Scale string
	User  *dot
	Place *dot
	Notes []string
}

// dot is a place or an action on the map.
type dot struct {
	X, Y, R sheet.Px
	Class   string
	Tip     string
}

const (
	mapSide     = 420 // units of the map
	margin      = 26
	rim         = 8 // no dot nearer to the edge
	kmPerDegree = geo.EarthRadius / 1000 * math.Pi / 180
	leastSpanKM = 0.3
	// A person is drawn on the map only if it stays of use with him: not wider than
	// cityKM, or than stretch times what the places alone need.
	cityKM, stretch = 10, 4
)

// view is an equirectangular projection, true to scale at its middle. Longitudes
// are relative to the middle, so that the antimeridian is no border.
type view struct{ lat, lng, halfKM float64 }

// spot is a point of the Earth.
type spot struct{ lat, lng float64 }

// around is the square that holds the points.
func around(points []spot) view {
	first := points[0]
	south, north, west, east := first.lat, first.lat, 0.0, 0.0
	for _, p := range points {
		lng := turn(p.lng - first.lng)
		south, north, west, east = min(south, p.lat), max(north, p.lat), min(west, lng), max(east, lng)
	}
	v := view{lat: (south + north) / 2, lng: turn(first.lng + (west+east)/2)}
	v.halfKM = max(leastSpanKM, (north-south)*kmPerDegree, (east-west)*kmPerDegree*v.shrink()) / 2
	return v
}

func turn(degrees float64) float64 { return math.Mod(math.Mod(degrees+180, 360)+360, 360) - 180 }

func (v view) shrink() float64 { return max(.01, math.Cos(v.lat*math.Pi/180)) }

// at is the position of a point, ok if it is on the map.
func (v view) at(lat, lng float64) (x, y sheet.Px, ok bool) {
	unit := v.unit()
	kx, ky := turn(lng-v.lng)*kmPerDegree*v.shrink(), (lat-v.lat)*kmPerDegree
	edge := (mapSide/2 - rim) / unit
	return sheet.Px(mapSide/2 + kx*unit), sheet.Px(mapSide/2 - ky*unit), math.Abs(kx) <= edge && math.Abs(ky) <= edge
}

// unit is how many units a kilometre is.
func (v view) unit() float64 { return (mapSide - 2*margin) / (2 * v.halfKM) }

// mapOf draws the person, the candidates and the past actions near them.
func mapOf(c *Case) *chart {
	points := []spot{{c.Place.Lat, c.Place.Lng}}
	for _, o := range c.Options {
		points = append(points, spot{o.Place.Lat, o.Place.Lng})
	}
	m, v, off := &chart{Side: mapSide}, around(points), false
	if c.HasUser {
		wide := around(append(points, spot{c.Lat, c.Lng}))
		if off = 2*wide.halfKM > max(cityKM, 2*stretch*v.halfKM); !off {
			v = wide
		}
	}
	m.actions(c, v)
	for _, o := range c.Options {
		x, y, _ := v.at(o.Place.Lat, o.Place.Lng)
		d := dot{X: x, Y: y, R: 5, Class: "option", Tip: nameOf(o.Place) + "\nshown, not clicked"}
		if o.Clicked {
			d.Class, d.Tip = "option clicked", nameOf(o.Place)+"\nshown and clicked"
		}
		if o.Place.ID != c.Place.ID {
			m.Dots = append(m.Dots, d)
		}
	}
	x, y, _ := v.at(c.Place.Lat, c.Place.Lng)
	m.Place = &dot{X: x, Y: y, R: 9, Tip: nameOf(c.Place) + "\nexplained"}
	switch {
	case !c.HasUser:
		m.Notes = append(m.Notes, "Where the person was is not known.")
	case off:
		m.Notes = append(m.Notes, "The person is "+sheet.Distance(geo.Metres(c.Lat, c.Lng, c.Place.Lat, c.Place.Lng))+" away, off this map.")
	default:
		x, y, _ := v.at(c.Lat, c.Lng)
		m.User = &dot{X: x, Y: y, R: 7, Tip: "the person"}
	}
	length := round(v.halfKM * 2 / 4)
	m.Bar = fmt.Sprintf("M14 %vv6h%vv-6", sheet.Px(mapSide-20), sheet.Px(length*v.unit()))
	m.BarX, m.BarY, m.Scale = sheet.Px(14+length*v.unit()/2), mapSide-22, sheet.Distance(length*1000)
	return m
}

// actions draws past actions, the stronger the larger, and counts those elsewhere.
func (m *chart) actions(c *Case, v view) {
	largest, outside := 0.0, 0
	for _, a := range c.Actions {
		largest = max(largest, math.Abs(a.Delta))
	}
	for i := range c.Actions {
		a := &c.Actions[i]
		x, y, ok := v.at(a.Place.Lat, a.Place.Lng)
		if !ok {
			outside++
			continue
		}
		d := dot{X: x, Y: y, R: 3, Class: "past " + side(a.Delta), Tip: fmt.Sprintf("%s\n%s, %s\n%s", nameOf(a.Place), whenOf(a), a.Type, signed(a.Delta))}
		if largest > 0 {
			d.R += sheet.Px(9 * math.Sqrt(math.Abs(a.Delta)/largest))
		}
		m.Dots = append(m.Dots, d)
	}
	if outside > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("Outside this map: %d of %d past actions.", outside, len(c.Actions)))
	}
}

// round is the greatest of 1, 2, 5 times a power of ten that is not above x.
func round(x float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(x)))
	for _, k := range []float64{5, 2, 1} {
		if k*ten <= x*(1+1e-9) {
			return k * ten
		}
	}
	return ten
}
