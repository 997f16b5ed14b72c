package report

import (
	"math"
	"strconv"

	"github.com/whereto/whereto/sheet"
)

// span returns the least and greatest finite value of the lists.
func span(lists ...[]float64) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, list := range lists {
		for _, x := range list {
			if isFinite(x) {
				lo, hi, ok = min(lo, x), max(hi, x), true
			}
		}
	}
	return lo, hi, ok
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// roundOut widens lo..hi to whole steps, about want of them. Equal ends are
// spread first, so that a flat line lies in the middle.
func roundOut(lo, hi float64, want int) (float64, float64) {
	if hi-lo <= 1e-12*math.Max(math.Abs(lo), math.Abs(hi)) {
		spread := math.Max(math.Abs(lo)/10, 1e-3)
		lo, hi = lo-spread, hi+spread
	}
	s := sheet.Step(hi-lo, want)
	return math.Floor(lo/s+1e-9) * s, math.Ceil(hi/s-1e-9) * s
}

// short prints up to four significant digits.
func short(x float64) string { return sheet.Short(x, 4) }

// places prints four places, as the result tables of the field do.
func places(x float64) string {
	if !isFinite(x) {
		return "-"
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

// metres prints a distance with its unit.
func metres(m float64) string {
	switch {
	case !isFinite(m):
		return "-"
	case m < 1000:
		return sheet.Trim(math.Round(m), 3) + " m"
	case m < 10_000:
		return strconv.FormatFloat(m/1000, 'f', 1, 64) + " km"
	default:
		return sheet.Trim(math.Round(m/1000), 5) + " km"
	}
}

// roundDistance prints a round distance of an axis: 200 m, 5 km.
func roundDistance(m float64) string {
	if m < 1000 {
		return sheet.Trim(m, 3) + " m"
	}
	return sheet.Trim(m/1000, 5) + " km"
}
