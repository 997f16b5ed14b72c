package store

import (
	"slices"
	"strings"
)

// Box is a rectangle of degrees, its edges included; west above east crosses the
// antimeridian. The meridians -180 and 180 are one. At a pole a position keeps the
// longitude it was given.
type Box struct {
	South float64 `json:"south"`
	West  float64 `json:"west"`
	North float64 `json:"north"`
	East  float64 `json:"east"`
}

// CheckBox returns an *Invalid if the box is not one. No box is fine.
func CheckBox(b *Box) error {
	if b == nil {
		return nil
	}
	return firstInvalid(b.invalid())
}

func (b Box) invalid() *Invalid {
	for _, edge := range []struct {
		field     string
		x, limits float64
	}{{"south", b.South, 90}, {"north", b.North, 90}, {"west", b.West, 180}, {"east", b.East, 180}} {
		if bad := degrees("bbox."+edge.field, edge.x, edge.limits); bad != nil {
			return bad
		}
	}
	if b.South > b.North {
		return invalid("bbox.south", "%v is above north, %v", b.South, b.North)
	}
	return nil
}

// Span is a closed range of longitudes that does not cross the antimeridian.
type Span struct{ West, East float64 }

// Spans returns the one or two disjoint ranges of longitude that make up the box.
func (b Box) Spans() []Span {
	switch {
	case b.West > b.East:
		return []Span{{b.West, 180}, {-180, b.East}}
	case b.West == -180 && b.East < 180:
		return []Span{{b.West, b.East}, {180, 180}}
	case b.East == 180 && b.West > -180:
		return []Span{{b.West, b.East}, {-180, -180}}
	}
	return []Span{{b.West, b.East}}
}

// Contains reports whether a position lies in the box.
func (b Box) Contains(lat, lng float64) bool {
	return lat >= b.South && lat <= b.North &&
		slices.ContainsFunc(b.Spans(), func(s Span) bool { return lng >= s.West && lng <= s.East })
}

// PrefixEnd returns a text that no text with the prefix is above, and that no text
// without it lies between: the prefix followed by the highest characters there are.
func PrefixEnd(prefix string) string {
	return prefix + strings.Repeat("\U0010FFFF", MaxUser)
}

// LastOfEach returns the POIs without those that a later one of the same ID replaces,
// in their order.
func LastOfEach(pois []POI) []POI {
	last := make(map[string]int, len(pois))
	for i, p := range pois {
		last[p.ID] = i
	}
	if len(last) == len(pois) {
		return pois
	}
	kept := make([]POI, 0, len(last))
	for i, p := range pois {
		if last[p.ID] == i {
			kept = append(kept, p)
		}
	}
	return kept
}
