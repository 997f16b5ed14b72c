// Package region says where answers may lie and in which coordinates a request
// speaks: areas made of a circle, a box and a polygon, the places inside them or
// nearest to a point, and the coordinate systems of Chinese maps.
//
// Vocabulary. A ring is the outline of a polygon as GeoJSON writes it, [lng, lat]
// pairs with the last equal to the first. Everything else names lat and lng, in
// degrees; distances are metres along the sphere (geo.Metres). Coordinates are
// WGS84 but for the arguments and results of the functions of CRS.
//
// An edge of a ring is the shortest way between its ends on the sphere, not a
// straight line on a flat map: over 10 km at latitude 45 the two differ by 2 m at
// most, over 1000 km by 20 km. So a ring may cross the antimeridian without any
// care, and may go around a pole, which is then inside. The inside is the smaller
// of the two parts a ring makes of the sphere, whichever way it turns; to ask for
// more than half of the Earth, or for all longitudes, use a box.
//
// Promises. Areas and Places never change after they are made, so any number of
// goroutines may ask them. A point that an area holds lies in one of its Bounds.
//
// Failure. A part of a request that makes no sense gives a *FieldError, which wraps
// poi.ErrBadInput and names the field of the request by its path.
package region

import (
	"fmt"
	"math"

	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// FieldError says what is wrong with one field of a request.
type FieldError struct {
	Field  string // path, for example "area.polygon[3]"
	Reason string // the value and why it cannot be
}

// Error returns the field and the reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Unwrap returns poi.ErrBadInput.
func (e *FieldError) Unwrap() error { return poi.ErrBadInput }

func wrong(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Parts are what an area is made of; all that are given must hold, none is the whole
// Earth.
type Parts struct {
	Circle  *Circle
	Box     *Box
	Polygon [][]float64 // a ring
}

// Circle is every point up to Metres from a centre, poles and antimeridian included.
type Circle struct {
	Lat, Lng, Metres float64
}

// Box is the rectangle between two parallels and two meridians, edges included. West
// above East crosses the antimeridian; -180 to 180 is every longitude. A pole has
// every longitude.
type Box struct {
	South, West, North, East float64
}

// Area is a checked set of parts.
type Area struct {
	circle *Circle
	box    *Box
	loop   *s2.Loop
	bounds []geo.Bounds
}

// New checks the parts and makes an area of them. The fields of its errors are
// "area.radius_m", "lat" and "lng" of the circle, "area.bbox..." and
// "area.polygon...".
func New(p Parts) (*Area, error) {
	a := &Area{}
	bound := s2.FullRect()
	if p.Circle != nil {
		c := *p.Circle
		if err := c.check(); err != nil {
			return nil, err
		}
		a.circle = &c
		bound = bound.Intersection(c.bound())
	}
	if p.Box != nil {
		b := *p.Box
		if err := b.check(); err != nil {
			return nil, err
		}
		a.box = &b
		bound = bound.Intersection(widen(geo.Rect(b.South, b.West, b.North, b.East)))
	}
	if p.Polygon != nil {
		loop, err := parseRing(p.Polygon)
		if err != nil {
			return nil, err
		}
		a.loop = loop
		bound = bound.Intersection(widen(loop.RectBound()))
	}
	a.bounds = split(bound)
	return a, nil
}

// Contains reports whether the area holds the point. A point off the Earth is in no
// area.
func (a *Area) Contains(lat, lng float64) bool {
	switch {
	case geo.Valid(lat, lng) != nil,
		a.box != nil && !a.box.holds(lat, lng),
		a.circle != nil && geo.Metres(a.circle.Lat, a.circle.Lng, lat, lng) > a.circle.Metres:
		return false
	}
	return a.loop == nil || a.loop.ContainsPoint(s2.PointFromLatLng(s2.LatLngFromDegrees(lat, lng)))
}

// Bounds returns one or two boxes that together hold all of the area, neither across
// the antimeridian, for look-ups in an index. None means that no point can lie in
// all parts. The caller must not change them.
func (a *Area) Bounds() []geo.Bounds { return a.bounds }

func (c Circle) check() error {
	if err := position("lat", "lng", c.Lat, c.Lng); err != nil {
		return err
	}
	if !(c.Metres > 0) || math.IsInf(c.Metres, 0) {
		return wrong("area.radius_m", "%v is not a radius; give metres above 0", c.Metres)
	}
	return nil
}

func (b Box) check() error {
	if err := position("area.bbox.south", "area.bbox.west", b.South, b.West); err != nil {
		return err
	}
	if err := position("area.bbox.north", "area.bbox.east", b.North, b.East); err != nil {
		return err
	}
	if b.South > b.North {
		return wrong("area.bbox", "south %v is above north %v", b.South, b.North)
	}
	return nil
}

// holds compares degrees, so that the edges are inside to the last bit.
func (b *Box) holds(lat, lng float64) bool {
	if lat < b.South || lat > b.North {
		return false
	}
	return math.Abs(lat) == 90 || b.holdsLng(lng) || math.Abs(lng) == 180 && b.holdsLng(-lng)
}

func (b *Box) holdsLng(lng float64) bool {
	if b.West <= b.East {
		return b.West <= lng && lng <= b.East
	}
	return lng >= b.West || lng <= b.East
}

// position checks a point and names the field that is wrong.
func position(latField, lngField string, lat, lng float64) error {
	err := geo.Valid(lat, lng)
	if err == nil {
		return nil
	}
	if math.Abs(lat) <= 90 { // false for NaN
		return wrong(lngField, "%v", err)
	}
	return wrong(latField, "%v", err)
}

// margin widens bounds, in radians: far above rounding, about 6 mm on the ground.
const margin = 1e-9

// widen makes room for rounding. At a pole longitude means nothing, so a rectangle
// that touches one gets every longitude.
func widen(r s2.Rect) s2.Rect {
	r = s2.Rect{Lat: r1.Interval{Lo: math.Max(r.Lat.Lo-margin, -math.Pi/2), Hi: math.Min(r.Lat.Hi+margin, math.Pi/2)}, Lng: r.Lng.Expanded(margin)}
	if r.Lat.Lo == -math.Pi/2 || r.Lat.Hi == math.Pi/2 {
		r.Lng = s1.FullInterval()
	}
	return r
}

// bound returns a rectangle around the circle. Beyond a quarter of the way around the
// Earth it is everything: s2 measures caps by their chord, which loses digits there.
func (c Circle) bound() s2.Rect {
	angle := c.Metres/geo.EarthRadius*(1+margin) + margin
	if angle > math.Pi/2 {
		return s2.FullRect()
	}
	centre := s2.PointFromLatLng(s2.LatLngFromDegrees(c.Lat, c.Lng))
	return widen(s2.CapFromCenterAngle(centre, s1.Angle(angle)).RectBound())
}

// split turns a rectangle into boxes that do not cross the antimeridian. What reaches
// longitude 180 also gets a sliver at -180, which is the same meridian.
func split(r s2.Rect) []geo.Bounds {
	if r.IsEmpty() {
		return nil
	}
	const degrees = 180 / math.Pi
	box := func(west, east float64) geo.Bounds {
		return geo.Bounds{South: math.Max(-90, r.Lat.Lo*degrees), North: math.Min(90, r.Lat.Hi*degrees),
			West: math.Max(-180, west), East: math.Min(180, east)}
	}
	west, east := r.Lng.Lo*degrees, r.Lng.Hi*degrees
	switch {
	case r.Lng.IsFull():
		return []geo.Bounds{box(-180, 180)}
	case r.Lng.IsInverted():
		return []geo.Bounds{box(west, 180), box(-180, east)}
	case east >= 180:
		return []geo.Bounds{box(west, 180), box(-180, -180+margin*degrees)}
	}
	return []geo.Bounds{box(west, east)}
}
