package geo

import (
	"math"

	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"
)

// Rect is the rectangle between two parallels and two meridians in degrees, from west
// to east; it crosses the antimeridian where west is the larger.
func Rect(south, west, north, east float64) s2.Rect {
	rad := func(degrees float64) float64 { return degrees * (math.Pi / 180) }
	if west == 180 && east == -180 {
		east = 180 // the antimeridian alone, which an s1.Interval would take for empty
	}
	return s2.Rect{Lat: r1.Interval{Lo: rad(south), Hi: rad(north)}, Lng: s1.IntervalFromEndpoints(rad(west), rad(east))}
}
