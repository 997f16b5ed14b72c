package evidence

import (
	"math"

	"github.com/whereto/whereto/geo"
)

// Closest returns the open place nearest to a position, -1 if there is none.
// It scans: callers that serve many requests restrict by cell first.
func (s *Stats) Closest(lat, lng float64) int32 {
	best, at := math.Inf(1), int32(-1)
	for i, p := range s.places {
		if p.Closed || math.Abs(p.Lat-lat)*geo.EarthRadius*math.Pi/180 > best {
			continue // farther than the best along the meridian alone
		}
		if d := geo.Metres(lat, lng, p.Lat, p.Lng); d < best {
			best, at = d, int32(i)
		}
	}
	return at
}
