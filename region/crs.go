package region

import (
	"math"
	"slices"

	"github.com/whereto/whereto/geo"
)

// CRS is a coordinate system of positions.
type CRS uint8

// Coordinate systems. GCJ02 is the system that maps in mainland China must use: WGS84
// moved by 100 to 700 m in a direction that depends on the place. BD09 is Baidu's,
// GCJ02 moved again.
const (
	WGS84 CRS = iota
	GCJ02
	BD09
)

var crsNames = [...]string{"wgs84", "gcj02", "bd09"}

// String returns the name as requests write it.
func (c CRS) String() string {
	if int(c) < len(crsNames) {
		return crsNames[c]
	}
	return "unknown"
}

// ParseCRS reads the field "crs" of a request; the empty name is WGS84.
func ParseCRS(name string) (CRS, error) {
	if name == "" {
		return WGS84, nil
	}
	for i, known := range crsNames {
		if name == known {
			return CRS(i), nil
		}
	}
	return 0, wrong("crs", "%q; use wgs84, gcj02 or bd09", name)
}

// The rectangle within which the published formulas apply, degrees. It is coarse and
// takes in neighbours of China, as the map services themselves do.
const (
	chinaSouth, chinaNorth = 0.8293, 55.8271
	chinaWest, chinaEast   = 72.004, 137.8347
)

// InChina reports whether a WGS84 position lies in the rectangle in which GCJ02 and
// BD09 differ from WGS84.
func InChina(lat, lng float64) bool {
	return lat >= chinaSouth && lat <= chinaNorth && lng >= chinaWest && lng <= chinaEast
}

// FromWGS84 returns a WGS84 position in another system; outside the rectangle of
// InChina all systems are one.
func FromWGS84(c CRS, lat, lng float64) (float64, float64) {
	if c == WGS84 || !InChina(lat, lng) {
		return lat, lng
	}
	return shift(c, lat, lng)
}

// ToWGS84 returns a position of another system in WGS84. It inverts FromWGS84 to
// far less than a metre inside China; within a kilometre of the rectangle's edge a
// position has two meanings, and the one inside is taken.
func ToWGS84(c CRS, lat, lng float64) (float64, float64) {
	if c == WGS84 || math.IsNaN(lat-lat) || math.IsNaN(lng-lng) {
		return lat, lng
	}
	// The shift changes by less than a hundredth of a step, so that each round gains
	// about two digits.
	backLat, backLng := lat, lng
	for range 10 {
		gotLat, gotLng := shift(c, backLat, backLng)
		backLat, backLng = backLat-(gotLat-lat), backLng-(gotLng-lng)
	}
	if !InChina(backLat, backLng) {
		return lat, lng
	}
	return backLat, backLng
}

// shift applies the formulas, wherever the position is.
func shift(c CRS, lat, lng float64) (float64, float64) {
	lat, lng = toGCJ(lat, lng)
	if c == BD09 {
		lat, lng = gcjToBD(lat, lng)
	}
	return lat, lng
}

// Constants of the published GCJ-02 formulas: the ellipsoid of Krasovsky 1940, its
// semi-major axis in metres and the square of its eccentricity.
const (
	krasovskyAxis         = 6378245.0
	krasovskyEccentricity = 0.00669342162296594323
)

// toGCJ moves by polynomials and sines of the position relative to 35 N, 105 E, in
// metres on the ellipsoid.
func toGCJ(lat, lng float64) (float64, float64) {
	x, y := lng-105, lat-35
	wave := func(amplitude, frequency, of float64) float64 {
		return amplitude * math.Sin(frequency*of*math.Pi) * 2 / 3
	}
	common := wave(20, 6, x) + wave(20, 2, x)
	root := math.Sqrt(math.Abs(x))
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*x*y + 0.2*root + common +
		wave(20, 1, y) + wave(40, 1./3, y) + wave(160, 1./12, y) + wave(320, 1./30, y)
	east := 300 + x + 2*y + 0.1*x*x + 0.1*x*y + 0.1*root + common +
		wave(20, 1, x) + wave(40, 1./3, x) + wave(150, 1./12, x) + wave(300, 1./30, x)
	sin := math.Sin(lat * math.Pi / 180)
	w := 1 - krasovskyEccentricity*sin*sin
	meridian := krasovskyAxis * (1 - krasovskyEccentricity) / (w * math.Sqrt(w))
	parallel := krasovskyAxis / math.Sqrt(w) * math.Cos(lat*math.Pi/180)
	return lat + north*180/(meridian*math.Pi), lng + east*180/(parallel*math.Pi)
}

// gcjToBD applies the published BD-09 formula: a turn and stretch that depend on the
// position, then a fixed move.
func gcjToBD(lat, lng float64) (float64, float64) {
	const k = math.Pi * 3000 / 180
	radius := math.Hypot(lng, lat) + 0.00002*math.Sin(lat*k)
	angle := math.Atan2(lat, lng) + 0.000003*math.Cos(lng*k)
	return radius*math.Sin(angle) + 0.006, radius*math.Cos(angle) + 0.0065
}

// Sighting is a position that a person reported while doing something at a place
// whose position is known, all in WGS84 as far as the sender says.
type Sighting struct {
	Lat, Lng           float64 // reported
	PlaceLat, PlaceLng float64 // known
}

// What LooksShifted asks for before it speaks.
const (
	shiftedBlockKM = 1.0 // places this close have one vote together
	shiftedVotes   = 5   // blocks that must have been visited, at least
	shiftedAgree   = 0.8 // share of votes that must agree
	shiftedNear    = 0.3 // of the shift: how near the predicted displacement a vote must be
)

// LooksShifted reports whether the positions are displaced from the places as those of
// GCJ02 or BD09 are, and which: the sender has probably left "crs" out. It is meant
// for a warning and errs on the side of silence. Someone who always searches from one
// spot, or goes to one quarter only, can be displaced by chance, so each block of a
// kilometre has one vote, the median of its sightings, and at least five blocks must
// vote, four of five of them for a displacement within 30 % of the predicted one.
func LooksShifted(sightings []Sighting) (CRS, bool) {
	grid := geo.Grid{SizeKM: shiftedBlockKM}
	blocks := map[geo.BlockID][]Sighting{}
	for _, s := range sightings {
		if geo.Valid(s.Lat, s.Lng) != nil || geo.Valid(s.PlaceLat, s.PlaceLng) != nil || !InChina(s.PlaceLat, s.PlaceLng) {
			continue
		}
		id := grid.Block(s.PlaceLat, s.PlaceLng)
		blocks[id] = append(blocks[id], s)
	}
	if len(blocks) < shiftedVotes {
		return WGS84, false
	}
	for _, c := range []CRS{GCJ02, BD09} {
		agree := 0
		for _, of := range blocks {
			if votesFor(c, of) {
				agree++
			}
		}
		if float64(agree) >= shiftedAgree*float64(len(blocks)) {
			return c, true
		}
	}
	return WGS84, false
}

// votesFor reports whether the median displacement of a block's sightings is the one
// that c predicts there.
func votesFor(c CRS, of []Sighting) bool {
	north, east := make([]float64, len(of)), make([]float64, len(of))
	for i, s := range of {
		north[i], east[i] = displacement(s.PlaceLat, s.PlaceLng, s.Lat, s.Lng)
	}
	lat, lng := shift(c, of[0].PlaceLat, of[0].PlaceLng)
	wantNorth, wantEast := displacement(of[0].PlaceLat, of[0].PlaceLng, lat, lng)
	off := math.Hypot(median(north)-wantNorth, median(east)-wantEast)
	return off <= shiftedNear*math.Hypot(wantNorth, wantEast)
}

// displacement is how far north and east the second point is of the first, metres.
func displacement(lat1, lng1, lat2, lng2 float64) (north, east float64) {
	const metresPerDegree = geo.EarthRadius * math.Pi / 180
	return (lat2 - lat1) * metresPerDegree, math.Remainder(lng2-lng1, 360) * metresPerDegree * math.Cos(lat1*math.Pi/180)
}

// median of at least one number; it sorts them.
func median(x []float64) float64 {
	slices.Sort(x)
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}
