package region

import (
	"fmt"
	"math"

	"github.com/golang/geo/r3"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"

	"github.com/whereto/whereto/geo"
)

// MaxVertices is the most points of a ring, the closing one included.
const MaxVertices = 1000

// longestEdge keeps ends away from being antipodes, between which every way is the
// shortest.
const longestEdge = 179 * s1.Degree

// smallestArea is what a ring must enclose, in square metres: less is a line or a
// point written by mistake.
const smallestArea = 1

const ringField = "area.polygon"

// flatHint is for rings that enclose nothing because they were drawn on a flat map.
const flatHint = "edges are shortest ways, so for a band of longitudes use area.bbox"

// ring is an outline without its closing point and without repeated neighbours.
type ring struct {
	points []s2.Point
	at     []int // position of each point in the request
}

// parseRing checks a GeoJSON ring and returns the loop around its inside.
func parseRing(raw [][]float64) (*s2.Loop, error) {
	r, err := readRing(raw)
	if err != nil {
		return nil, err
	}
	if err := r.checkEdges(); err != nil {
		return nil, err
	}
	loop := s2.LoopFromPoints(r.points)
	loop.Normalize() // the smaller side; a reader of GeoJSON must take both directions
	if area := loop.Area() * geo.EarthRadius * geo.EarthRadius; !(area >= smallestArea) {
		return nil, wrong(ringField, "it encloses %.3g square metres, at least %v are wanted; %s", area, smallestArea, flatHint)
	}
	// A loop builds its index at the first question; asked here, it only reads later.
	loop.ContainsPoint(r.points[0])
	return loop, nil
}

// readRing checks each point by itself and the ring's closing.
func readRing(raw [][]float64) (*ring, error) {
	n := len(raw)
	switch {
	case n < 4:
		return nil, wrong(ringField, "%d points; a ring has at least 4, the last equal to the first", n)
	case n > MaxVertices:
		return nil, wrong(ringField, "%d points, at most %d are taken; simplify the outline", n, MaxVertices)
	}
	r := &ring{}
	for i, p := range raw {
		if len(p) != 2 {
			return nil, wrong(indexed(i), "%d numbers; a point is [lng, lat]", len(p))
		}
		if err := geo.Valid(p[1], p[0]); err != nil {
			return nil, wrong(indexed(i), "%v; a point is [lng, lat]", err)
		}
		if i == n-1 {
			if p[0] != raw[0][0] || p[1] != raw[0][1] {
				return nil, wrong(indexed(i), "[%v, %v] does not close the ring; the last point must equal the first, [%v, %v]", p[0], p[1], raw[0][0], raw[0][1])
			}
			break
		}
		if x := pointOf(p[1], p[0]); len(r.points) == 0 || r.points[len(r.points)-1] != x {
			r.points, r.at = append(r.points, x), append(r.at, i)
		}
	}
	// The first point again before the closing one.
	for len(r.points) > 1 && r.points[len(r.points)-1] == r.points[0] {
		r.points, r.at = r.points[:len(r.points)-1], r.at[:len(r.at)-1]
	}
	if len(r.points) < 3 {
		return nil, wrong(ringField, "only %d different points; a ring needs 3 besides the closing one; %s", len(r.points), flatHint)
	}
	return r, nil
}

// pointOf is the point on the sphere, one and the same for all names of a pole and for
// both of the antimeridian.
func pointOf(lat, lng float64) s2.Point {
	if math.Abs(lat) == 90 {
		return s2.Point{Vector: r3.Vector{Z: math.Copysign(1, lat)}}
	}
	if lng == -180 {
		lng = 180
	}
	return s2.PointFromLatLng(s2.LatLngFromDegrees(lat, lng))
}

// checkEdges refuses an edge without a shortest way, a point passed twice and two
// edges that cross.
func (r *ring) checkEdges() error {
	n := len(r.points)
	passed := make(map[s2.Point]int, n)
	normals := make([]r3.Vector, n)
	for i, p := range r.points {
		if first, twice := passed[p]; twice {
			return wrong(indexed(r.at[i]), "the ring passes here already at point %d; cut it into rings that do not touch", r.at[first])
		}
		passed[p] = i
		next := r.points[(i+1)%n]
		if p.Angle(next.Vector) > longestEdge {
			return wrong(indexed(r.at[i]), "the edge to the next point is longer than %v degrees and has no shortest way; put a point between", longestEdge.Degrees())
		}
		normals[i] = p.Cross(next.Vector)
	}
	for i := range n {
		for j := i + 2; j < n; j++ {
			if i == 0 && j == n-1 { // neighbours across the closing point
				continue
			}
			a, b, c, d := r.points[i], r.points[i+1], r.points[j], r.points[(j+1)%n]
			if cross(a, b, c, d, normals[i], normals[j]) {
				return wrong(ringField, "it crosses itself: the edge from point %d to %d meets the edge from point %d to %d", r.at[i], r.at[i]+1, r.at[j], r.at[j]+1)
			}
		}
	}
	return nil
}

// cross reports whether the edges ab and cd have a point in common that is inside
// both; ab and cd are given with their cross products. Going a, c, b, d around that
// point turns one way throughout. Exact arithmetic would tell a touch from a crossing,
// but costs a thousand times as much on points chosen to be nearly in line, which a
// server must not be made to pay.
func cross(a, b, c, d s2.Point, ab, cd r3.Vector) bool {
	acb := -ab.Dot(c.Vector)
	bda := ab.Dot(d.Vector)
	if acb*bda <= 0 {
		return false
	}
	cbd := -cd.Dot(b.Vector)
	dac := cd.Dot(a.Vector)
	return acb*cbd > 0 && acb*dac > 0
}

// indexed is the path of a point of the ring.
func indexed(i int) string { return fmt.Sprintf("%s[%d]", ringField, i) }
