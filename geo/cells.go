package geo

import (
	"math"
	"math/bits"

	"github.com/golang/geo/s2"
)

// GridLevels is the number of nested grid levels of a geo embedding, the
// paper's "12 geo-activated hashing indexes" (section 4.1.2).
const GridLevels = 12

// s2Levels spreads the levels evenly in the logarithm of the cell size. Average
// edge of a cell on the sphere, 1.459 R / 2^level:
//
//	grid   0     1    2    3     4    5     6    7    8    9   10   11
//	S2     3     5    6    8     9   11    12   14   15   17   18   20
//	edge 1162   291  145   36    18   4.5   2.3 567  284  71   35  8.9
//	      km    km   km   km    km   km    km    m    m    m    m    m
var s2Levels = [GridLevels]int{3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20}

// S2Levels returns the S2 level of each grid level, coarse to fine.
func S2Levels() [GridLevels]int { return s2Levels }

// CellEdge returns the average edge, in metres, of a cell of a grid level
// (0 to GridLevels-1), or 0 for another level.
func CellEdge(level int) float64 {
	if level < 0 || level >= GridLevels {
		return 0
	}
	return s2.AvgEdgeMetric.Value(s2Levels[level]) * EarthRadius
}

// Cells returns the S2 cell ids that hold the point, one for each grid level,
// coarse to fine; each contains the next. Coordinates outside the Earth give
// ids without meaning: check them with Valid.
func Cells(lat, lng float64) [GridLevels]uint64 {
	leaf := s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng))
	var out [GridLevels]uint64
	for i, level := range s2Levels {
		out[i] = uint64(leaf.Parent(level))
	}
	return out
}

// HashCell maps a cell of a grid level to a row of an embedding table, in
// [0, tableSize). The function never changes: trained tables depend on it. It is
// the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over the cell id
// offset by the level, then a multiply-shift into the range. A tableSize
// below 1 or above 2^31-1 gives -1, which no table accepts.
func HashCell(level int, cell uint64, tableSize int) int32 {
	if tableSize < 1 || tableSize > math.MaxInt32 {
		return -1
	}
	z := cell + uint64(level+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	hi, _ := bits.Mul64(z, uint64(tableSize))
	return int32(hi)
}
