package report

import (
	"math"
	"strconv"
	"strings"
)

// axis maps values to positions on the drawing, in user units of the SVG.
type axis struct {
	lo, hi   float64 // values at the ends, lo < hi; both above 0 if log
	from, to float64 // positions of the ends
	log      bool
}

// at returns the position of a value; outside lo..hi it lies outside the ends.
func (a axis) at(v float64) px {
	lo, hi := a.lo, a.hi
	if a.log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(v)
	}
	return px(a.from + (v-lo)/(hi-lo)*(a.to-a.from))
}

// px is a position or length on a drawing; a tenth of a unit is below what
// anybody sees.
type px float64

// String prints one decimal, which is how templates see it.
func (p px) String() string {
	s := strconv.FormatFloat(float64(p), 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

// tick is a marked value of an axis.
type tick struct {
	At    px
	Label string
}

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

// step returns the least of 1, 2, 5 times a power of ten that cuts width into at
// most want pieces.
func step(width float64, want int) float64 {
	raw := width / float64(want)
	ten := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*ten >= raw*(1-1e-9) {
			return m * ten
		}
	}
	return 10 * ten
}

// roundOut widens lo..hi to whole steps, about want of them. Equal ends are
// spread first, so that a flat line lies in the middle.
func roundOut(lo, hi float64, want int) (float64, float64) {
	if hi-lo <= 1e-12*math.Max(math.Abs(lo), math.Abs(hi)) {
		spread := math.Max(math.Abs(lo)/10, 1e-3)
		lo, hi = lo-spread, hi+spread
	}
	s := step(hi-lo, want)
	return math.Floor(lo/s+1e-9) * s, math.Ceil(hi/s-1e-9) * s
}

// ticks marks about want round values of a linear axis.
func (a axis) ticks(want int, label func(float64) string) []tick {
	s := step(a.hi-a.lo, want)
	var out []tick
	for i := math.Ceil(a.lo/s - 1e-9); i*s <= a.hi+s*1e-9; i++ {
		out = append(out, tick{a.at(i * s), label(i * s)})
	}
	return out
}

// decades marks the powers of ten of a log axis.
func (a axis) decades(label func(float64) string) []tick {
	var out []tick
	for e := math.Ceil(math.Log10(a.lo) - 1e-9); e <= math.Log10(a.hi)+1e-9; e++ {
		v := math.Pow(10, e)
		out = append(out, tick{a.at(v), label(v)})
	}
	return out
}

// short prints up to four significant digits, large numbers with k and M.
func short(x float64) string {
	switch abs := math.Abs(x); {
	case !isFinite(x):
		return "-"
	case abs >= 1e6:
		return trim(x/1e6, 4) + "M"
	case abs >= 1e4:
		return trim(x/1e3, 4) + "k"
	default:
		return trim(x, 4)
	}
}

// trim prints significant digits without an exponent where a plain number is no
// longer than that.
func trim(x float64, digits int) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64)
	if x == 0 {
		return "0"
	}
	if abs := math.Abs(x); abs < 1e-3 || abs >= 1e7 {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
		e, _ := strconv.Atoi(exponent) // of our own making
		return mantissa + "e" + strconv.Itoa(e)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// percent prints a share of 1 for an axis.
func percent(x float64) string { return trim(x*100, 3) + " %" }

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
		return trim(math.Round(m), 3) + " m"
	case m < 10_000:
		return strconv.FormatFloat(m/1000, 'f', 1, 64) + " km"
	default:
		return trim(math.Round(m/1000), 5) + " km"
	}
}

// roundDistance prints a round distance of an axis: 200 m, 5 km.
func roundDistance(m float64) string {
	if m < 1000 {
		return trim(m, 3) + " m"
	}
	return trim(m/1000, 5) + " km"
}

// count prints a whole number in groups of three.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
