package geo

import (
	"fmt"
	"math"
	"slices"
)

// Grid divides the Earth into rows of equal height in latitude, and each row
// into equal blocks, as many as make a block SizeKM wide at the row's middle.
// So a block is close to SizeKM x SizeKM at any latitude, unlike S2 or geohash
// cells, and a place never needs a projection of its own.
//
// Rows: round(half circumference / size), so at 5 km the height of every block is
// 5.00003 km. Columns of a row: round(circumference at its middle / size), so the
// width at the middle differs from size by at most a part in 2*columns: 0.0125 %
// at the equator and 0.04 % at 80 degrees for 5 km. Within a block the
// poleward edge is shorter than the equatorward one, by tan(lat)*size/R:
// 0.08 % at 45 and 0.45 % at 80 degrees for 5 km. Only the last rows before a
// pole, with fewer than ten blocks, are ragged: the polar row has 3 blocks.
type Grid struct {
	SizeKM float64 // edge of a block in kilometres, MinSizeKM to MaxSizeKM
}

// Limits of Grid.SizeKM: below, the row key would outgrow its bits in bad
// cases and blocks hold one building; above, "near-square" stops being true.
const (
	MinSizeKM = 0.01
	MaxSizeKM = 2000
)

// BlockID is the stable key of a block: its row (0 at the south pole) in the
// upper 32 bits, its column (0 east of the antimeridian) in the lower 32. Ids of
// grids of different size do not compare.
type BlockID int64

// NoBlock is what a point without finite coordinates, or a grid whose size is
// out of range, gets.
const NoBlock BlockID = -1

// Row returns the row of the block, counted from the south pole.
func (b BlockID) Row() int { return int(b >> 32) }

// Col returns the column of the block, counted east from the antimeridian.
func (b BlockID) Col() int { return int(b & math.MaxUint32) }

// String returns "row/col".
func (b BlockID) String() string { return fmt.Sprintf("%d/%d", b.Row(), b.Col()) }

func blockID(row, col int) BlockID { return BlockID(int64(row)<<32 | int64(col)) }

// Bounds is a rectangle in degrees. West < East always: no block of a Grid
// crosses the antimeridian.
type Bounds struct {
	South, West, North, East float64
}

// WidthKM returns the east-west extent at the middle latitude, in kilometres.
func (b Bounds) WidthKM() float64 {
	return (b.East - b.West) * radians * math.Cos((b.South+b.North)/2*radians) * EarthRadius / 1000
}

// HeightKM returns the north-south extent in kilometres.
func (b Bounds) HeightKM() float64 { return (b.North - b.South) * radians * EarthRadius / 1000 }

// Validate returns an error unless SizeKM is within its limits.
func (g Grid) Validate() error {
	if !(g.SizeKM >= MinSizeKM && g.SizeKM <= MaxSizeKM) {
		return fmt.Errorf("block size %v km is outside [%v, %v] km", g.SizeKM, MinSizeKM, float64(MaxSizeKM))
	}
	return nil
}

// Rows returns the number of rows, or 0 for a size out of range.
func (g Grid) Rows() int {
	if g.Validate() != nil {
		return 0
	}
	return max(1, int(math.Round(math.Pi*EarthRadius/1000/g.SizeKM)))
}

// Cols returns the number of blocks of a row, or 0 for a row that is not there.
func (g Grid) Cols(row int) int {
	rows := g.Rows()
	if row < 0 || row >= rows {
		return 0
	}
	return g.cols(row, rows)
}

func (g Grid) cols(row, rows int) int {
	mid := (-90 + 180*(float64(row)+0.5)/float64(rows)) * radians
	return max(1, int(math.Round(2*math.Pi*EarthRadius/1000*math.Cos(mid)/g.SizeKM)))
}

// edge is the one formula for grid lines, so that Block and Bounds cannot
// disagree by a rounding.
func edge(span float64, i, n int) float64 {
	if i == n {
		return span / 2
	}
	return -span/2 + span*float64(i)/float64(n)
}

// slot returns i with edge(i) <= x < edge(i+1); the last slot includes its end.
func slot(span, x float64, n int) int {
	i := min(max(int((x+span/2)/span*float64(n)), 0), n-1)
	for i > 0 && x < edge(span, i, n) {
		i--
	}
	for i < n-1 && x >= edge(span, i+1, n) {
		i++
	}
	return i
}

// Block returns the block that holds the point. South and west edges belong to
// a block, north and east ones to its neighbour, except that latitude 90 belongs
// to the last row; longitude 180 is -180. Latitude is clamped and longitude
// wrapped, NaN and infinities give NoBlock.
func (g Grid) Block(lat, lng float64) BlockID {
	rows := g.Rows()
	if rows == 0 || math.IsNaN(lat-lat) || math.IsNaN(lng-lng) {
		return NoBlock
	}
	if lng < -180 || lng >= 180 {
		lng -= 360 * math.Floor((lng+180)/360)
		if lng >= 180 { // rounding of a tiny negative remainder
			lng = -180
		}
	}
	row := slot(180, min(max(lat, -90), 90), rows)
	return blockID(row, slot(360, lng, g.cols(row, rows)))
}

// Has reports whether the id names a block of this grid.
func (g Grid) Has(id BlockID) bool { return id >= 0 && id.Col() < g.Cols(id.Row()) }

// Bounds returns the rectangle of a block; the zero Bounds if Has is false.
func (g Grid) Bounds(id BlockID) Bounds {
	if !g.Has(id) {
		return Bounds{}
	}
	rows := g.Rows()
	row, col, n := id.Row(), id.Col(), g.cols(id.Row(), rows)
	return Bounds{South: edge(180, row, rows), North: edge(180, row+1, rows),
		West: edge(360, col, n), East: edge(360, col+1, n)}
}

// Centre returns the middle of a block's rectangle in degrees.
func (g Grid) Centre(id BlockID) (lat, lng float64) {
	b := g.Bounds(id)
	return (b.South + b.North) / 2, (b.West + b.East) / 2
}

// Neighbours returns the other blocks that share at least a point with this
// one, in ascending order: 6 to 8 nearly everywhere, since rows differ in their
// number of columns; across the antimeridian too. A polar row always has three
// blocks, which meet at the pole and are neighbours anyway. Nil if Has is false.
func (g Grid) Neighbours(id BlockID) []BlockID {
	if !g.Has(id) {
		return nil
	}
	rows := g.Rows()
	row, col, n := id.Row(), id.Col(), g.cols(id.Row(), rows)
	out := make([]BlockID, 0, 9)
	for r := max(0, row-1); r <= min(rows-1, row+1); r++ {
		m := g.cols(r, rows)
		// Columns k of m with [k/m, (k+1)/m] touching [col/n, (col+1)/n], in
		// whole numbers so that touching corners are exact and symmetric; -1 and
		// m are the columns across the antimeridian.
		first, last := (col*m+n-1)/n-1, (col+1)*m/n
		for k := first; k <= last; k++ {
			out = append(out, blockID(r, (k+m)%m))
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	at, _ := slices.BinarySearch(out, id)
	return slices.Delete(out, at, at+1)
}
