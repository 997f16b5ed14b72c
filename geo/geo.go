// Package geo measures and divides the surface of the Earth: great-circle
// distances, a check of coordinates, twelve nested grid levels for embeddings
// and the grid of near-square blocks the POI index is built on.
//
// Vocabulary. lat and lng are degrees, WGS84, lat in [-90, 90] and lng in
// [-180, 180]; distances are metres on a sphere of EarthRadius. A cell is an S2
// cell; a block is one rectangle of a Grid.
//
// Promises. Everything here is a pure function, and every number that leaves
// the process (cell ids, HashCell, BlockID) is the same forever: saved indexes
// and checkpoints rely on it.
//
// Failure. Only Valid and Grid.Validate return errors, plain ones that the
// caller wraps; call them once at the border. The other functions do not check
// their input again, each says what it returns for nonsense.
package geo

import (
	"fmt"
	"math"
)

// EarthRadius is the mean radius of the Earth in metres (IUGG R1, 6371.0088 km).
const EarthRadius = 6371008.8

const radians = math.Pi / 180

// Metres returns the haversine great-circle distance between two points in
// degrees. It is symmetric, zero for equal points and exact to rounding at any
// distance, antipodes and the antimeridian included. NaN in, NaN out.
func Metres(lat1, lng1, lat2, lng2 float64) float64 {
	sLat := math.Sin((lat2 - lat1) * radians / 2)
	sLng := math.Sin((lng2 - lng1) * radians / 2)
	h := sLat*sLat + math.Cos(lat1*radians)*math.Cos(lat2*radians)*sLng*sLng
	return 2 * EarthRadius * math.Asin(math.Sqrt(math.Min(1, h)))
}

// MetresApprox is Metres on a plane that touches the Earth at the mean latitude
// (equirectangular projection), about five times as fast. Against Metres
// the relative error stays below 1e-4 up to 100 km for |lat| <= 60, below 1e-3 up
// to 300 km for |lat| <= 60 and below 1e-3 up to 100 km for |lat| <= 80. Nearer a
// pole or further apart use Metres.
func MetresApprox(lat1, lng1, lat2, lng2 float64) float64 {
	dLng := lng2 - lng1
	if dLng > 180 {
		dLng -= 360
	} else if dLng < -180 {
		dLng += 360
	}
	x := dLng * math.Cos((lat1+lat2)*radians/2)
	y := lat2 - lat1
	return EarthRadius * radians * math.Sqrt(x*x+y*y)
}

// Valid reports whether a point is on Earth: both numbers finite, lat within
// [-90, 90] and lng within [-180, 180]. The error says which number is wrong
// and whether swapping the two would mend it. 0,0 is valid here; a reader that
// takes it for "unknown" must say so itself.
func Valid(lat, lng float64) error {
	switch {
	case math.IsNaN(lat) || math.IsInf(lat, 0):
		return fmt.Errorf("latitude %v is not a finite number", lat)
	case math.IsNaN(lng) || math.IsInf(lng, 0):
		return fmt.Errorf("longitude %v is not a finite number", lng)
	case math.Abs(lat) > 90 && math.Abs(lat) <= 180 && math.Abs(lng) <= 90:
		return fmt.Errorf("latitude %v is outside [-90, 90]; latitude and longitude %v look swapped", lat, lng)
	case math.Abs(lat) > 90:
		return fmt.Errorf("latitude %v is outside [-90, 90] degrees", lat)
	case math.Abs(lng) > 180:
		return fmt.Errorf("longitude %v is outside [-180, 180] degrees", lng)
	}
	return nil
}
