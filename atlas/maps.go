package atlas

import (
	"fmt"
	"math"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

const (
	mainWidth, smallWidth = 760, 300
	kmPerDegree           = geo.EarthRadius / 1000 * math.Pi / 180
	// partCells is the number of cells along the side of a density map.
	partCells = 40
)

// view is an equirectangular projection, true to scale at its middle. Longitudes
// are taken relative to the middle, so that the antimeridian is no border.
type view struct {
	lat, lng     float64
	halfKM       float64 // from the middle to an edge
	width, inset float64
}

// around returns a square view of a town: the box of its places, or its circle
// if no place is known.
func around(places []poi.Place, t Town, width float64) view {
	v := view{lat: t.Lat, lng: t.Lng, halfKM: math.Max(t.RadiusKM, .2) * 1.4, width: width, inset: 8}
	south, north, west, east := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range places {
		if _, _, ok := v.place(p.Lat, p.Lng); ok {
			lng := math.Mod(p.Lng-t.Lng+540, 360) - 180
			south, north, west, east = min(south, p.Lat), max(north, p.Lat), min(west, lng), max(east, lng)
		}
	}
	if south > north {
		return v
	}
	v.lat, v.lng = (south+north)/2, math.Mod(t.Lng+(west+east)/2+540, 360)-180
	shrink := math.Cos(v.lat * math.Pi / 180)
	v.halfKM = math.Max(math.Max(north-south, (east-west)*shrink)/2*kmPerDegree, .2) * 1.04
	return v
}

// place returns the position of a point, ok if it lies inside.
func (v view) place(lat, lng float64) (x, y sheet.Px, ok bool) {
	east := math.Mod(lng-v.lng+540, 360) - 180
	kx := east * kmPerDegree * math.Max(math.Cos(v.lat*math.Pi/180), .01)
	ky := (lat - v.lat) * kmPerDegree
	unit := (v.width - 2*v.inset) / (2 * v.halfKM)
	return sheet.Px(v.width/2 + kx*unit), sheet.Px(v.width/2 - ky*unit), math.Abs(kx) <= v.halfKM && math.Abs(ky) <= v.halfKM
}

// scaleBar puts a bar of round length at the lower left.
func (v view) scaleBar(f *figure) {
	unit := (v.width - 2*v.inset) / (2 * v.halfKM)
	length := sheet.Step(v.halfKM, 3)
	x, y := sheet.Px(v.inset+12), sheet.Px(v.width-v.inset-12)
	f.Paths = append(f.Paths, path{Class: "scale", D: fmt.Sprintf("M%v %vv6h%vv-6", x, y-6, sheet.Px(length*unit))})
	f.Texts = append(f.Texts, text{X: x + sheet.Px(length*unit/2), Y: y - 10, Anchor: "middle", Class: "strong halo", Text: sheet.Distance(length * 1000)})
}

// newMap returns an empty square map.
func newMap(id, title string, v view) *figure {
	f := &figure{ID: id, Title: title, Map: true, W: sheet.Px(v.width), H: sheet.Px(v.width)}
	f.Left, f.Right, f.Top, f.Bottom = sheet.Px(v.inset), sheet.Px(v.width-v.inset), sheet.Px(v.inset), sheet.Px(v.width-v.inset)
	return f
}

// townName names a town that may have no name.
func townName(t Town, number int) string {
	switch {
	case t.Name != "":
		return t.Name
	case number == 0:
		return "The main town"
	}
	return fmt.Sprintf("Town %d", number+1)
}

// townMap draws the places of a town by group, and its neighbourhoods' names.
func townMap(in *Input, number int, p palette) *figure {
	t := in.Towns[number]
	width := float64(smallWidth)
	if number == 0 {
		width = mainWidth
	}
	v := around(in.Places, t, width)
	f := newMap(fmt.Sprintf("town%d", number+1), townName(t, number), v)
	var inside []poi.Place
	for _, place := range in.Places {
		if _, _, ok := v.place(place.Lat, place.Lng); ok {
			inside = append(inside, place)
		}
	}
	dots := map[string]*strings.Builder{}
	for _, place := range Sample(inside, maxDots) {
		x, y, _ := v.place(place.Lat, place.Lng)
		class := p.of(place.Category)
		if dots[class] == nil {
			dots[class] = &strings.Builder{}
		}
		// A line of no length is a dot where ends are round; thousands of them are
		// a hundred times smaller than as many circles.
		fmt.Fprintf(dots[class], "M%v %vh0", x, y)
	}
	for _, entry := range append(p.legend()[len(p.order):], p.legend()[:len(p.order)]...) {
		if b := dots[entry.Class]; b != nil {
			f.Paths = append(f.Paths, path{Class: "place " + entry.Class, D: b.String(), Label: entry.Label})
		}
	}
	f.Lead = fmt.Sprintf("%s places", sheet.Count(t.Places))
	if number == 0 {
		f.Wide, f.Legend = true, p.legend()
		f.Lead += ", by category group"
		if len(in.Quarters) > 0 {
			f.Lead += "; names are neighbourhoods"
		}
		f.Lead += "."
		f.label(in.Quarters, v)
	} else {
		f.Small = true
		f.Lead += fmt.Sprintf(", %s from the first town.", sheet.Distance(geo.Metres(in.Towns[0].Lat, in.Towns[0].Lng, t.Lat, t.Lng)))
	}
	v.scaleBar(f)
	return f
}

// label names neighbourhoods, the largest first, where names do not overlap.
// Text is larger on a phone: names without room for that are marked minor.
func (f *figure) label(quarters []Quarter, v view) {
	var taken, roomy []box
	for _, q := range quarters {
		x, y, ok := v.place(q.Lat, q.Lng)
		if !ok || y > f.Bottom-40 {
			continue
		}
		boxOf := func(size sheet.Px) box {
			half := size * sheet.Px(len([]rune(q.Name)))
			middle := min(max(x, f.Left+half), f.Right-half)
			return box{X: middle - half, Y: y - 3*size, W: 2 * half, H: 5 * size}
		}
		b, large := boxOf(3.6), boxOf(6.6)
		if !free(b, taken) {
			continue
		}
		class := "halo quarter minor"
		if free(large, roomy) {
			class, roomy = "halo quarter", append(roomy, large)
		}
		taken = append(taken, b)
		f.Texts = append(f.Texts, text{X: b.X + b.W/2, Y: y, Anchor: "middle", Class: class, Text: q.Name})
	}
}

// overview draws all towns to scale; nil for a single one.
func overview(in *Input) *figure {
	if len(in.Towns) < 2 {
		return nil
	}
	v := view{lat: in.Towns[0].Lat, lng: in.Towns[0].Lng, width: smallWidth, inset: 8}
	var north, south, east, west float64 // degrees from the first town
	for _, t := range in.Towns[1:] {
		lng := math.Mod(t.Lng-v.lng+540, 360) - 180
		north, south, east, west = max(north, t.Lat-v.lat), min(south, t.Lat-v.lat), max(east, lng), min(west, lng)
	}
	v.lat, v.lng = v.lat+(north+south)/2, math.Mod(v.lng+(east+west)/2+540, 360)-180
	for _, t := range in.Towns {
		v.halfKM = max(v.halfKM, geo.Metres(v.lat, v.lng, t.Lat, t.Lng)/1000+t.RadiusKM)
	}
	v.halfKM *= 1.1
	f := newMap("overview", "All towns", v)
	f.Small, f.Lead = true, fmt.Sprintf("%d towns, to scale.", len(in.Towns))
	unit := (v.width - 2*v.inset) / (2 * v.halfKM)
	for _, t := range in.Towns {
		x, y, _ := v.place(t.Lat, t.Lng)
		f.Dots = append(f.Dots, dot{X: x, Y: y, R: sheet.Px(math.Max(t.RadiusKM*unit, 2.5)), Class: "s1"})
	}
	f.nameTowns(in.Towns)
	v.scaleBar(f)
	return f
}

// nameTowns writes the names of towns above or below their dots, where there is
// room; the dots are in the order of the towns.
func (f *figure) nameTowns(towns []Town) {
	taken := []box{{X: f.Left, Y: f.Bottom - 40, W: 110, H: 40}} // the scale bar
	for i, t := range towns {
		d, name := f.Dots[i], townName(t, i)
		w := sheet.Px(7.5 * float64(len([]rune(name))))
		x := min(max(d.X-w/2, f.Left+2), f.Right-w-2)
		for _, y := range []sheet.Px{d.Y - d.R - 5, d.Y + d.R + 14} {
			b := box{X: x, Y: y - 12, W: w, H: 16}
			if b.Y >= f.Top && b.Y+b.H <= f.Bottom && free(b, taken) {
				taken = append(taken, b)
				f.Texts = append(f.Texts, text{X: x, Y: y, Anchor: "start", Class: "halo strong", Text: name})
				break
			}
		}
	}
}

// free reports whether a box overlaps none of others.
func free(b box, others []box) bool {
	for _, o := range others {
		if b.X < o.X+o.W && o.X < b.X+b.W && b.Y < o.Y+o.H && o.Y < b.Y+b.H {
			return false
		}
	}
	return true
}

// partFigures draw where people are in the main town by part of the day, all on
// one scale.
func partFigures(in *Input) []*figure {
	if len(in.Towns) == 0 {
		return nil
	}
	v := around(in.Places, in.Towns[0], smallWidth)
	var cells [4][partCells * partCells]float64
	var totals [4]int
	most := 1.0
	size := (v.width - 2*v.inset) / partCells
	for _, s := range in.Spots {
		x, y, ok := v.place(s.Lat, s.Lng)
		if !ok {
			continue
		}
		col := min(int((float64(x)-v.inset)/size), partCells-1)
		row := min(int((float64(y)-v.inset)/size), partCells-1)
		for part, n := range s.Stays {
			totals[part] += n
			cells[part][row*partCells+col] += float64(n)
			most = math.Max(most, cells[part][row*partCells+col])
		}
	}
	var out []*figure
	for part, name := range DayParts {
		f := newMap(fmt.Sprintf("part%d", part+1), strings.ToUpper(name[:1])+name[1:], v)
		f.Small, f.Lead = true, fmt.Sprintf("%s stays on this map.", sheet.Count(totals[part]))
		var levels [5]strings.Builder
		for i, n := range cells[part] {
			if n == 0 {
				continue
			}
			// The root, because a few cells have most of the stays.
			level := min(int(5*math.Sqrt(n/most)), 4)
			fmt.Fprintf(&levels[level], "M%v %vh%vv%vh-%vz", sheet.Px(v.inset+float64(i%partCells)*size), sheet.Px(v.inset+float64(i/partCells)*size), sheet.Px(size), sheet.Px(size), sheet.Px(size))
		}
		for level := range levels {
			if d := levels[level].String(); d != "" {
				f.Areas = append(f.Areas, path{Class: fmt.Sprintf("far%d", level+1), D: d})
			}
		}
		out = append(out, f)
	}
	return out
}
