package atlas

import (
	"math"
	"strconv"
	"strings"
)

// axis maps values to positions on a drawing, in user units of the SVG.
type axis struct {
	lo, hi   float64 // values at the ends, lo < hi; both above 0 if log
	from, to float64 // positions of the ends
	log      bool
}

// at returns the position of a value.
func (a axis) at(v float64) px {
	lo, hi := a.lo, a.hi
	if a.log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(v)
	}
	return px(a.from + (v-lo)/(hi-lo)*(a.to-a.from))
}

// px is a position or length on a drawing.
type px float64

// String prints one decimal, which is how templates see it.
func (p px) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(p), 'f', 1, 64), ".0")
}

// tick is a marked value of an axis.
type tick struct {
	At    px
	Label string
}

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

// ticks marks about want round values of a linear axis.
func (a axis) ticks(want int, label func(float64) string) []tick {
	s := step(a.hi-a.lo, want)
	var out []tick
	for i := math.Ceil(a.lo/s - 1e-9); i*s <= a.hi+s*1e-9; i++ {
		out = append(out, tick{a.at(i * s), label(i * s)})
	}
	return out
}

// decades marks powers of ten of a log axis, every second one where there are
// many, with 2 and 5 between them where there are few.
func (a axis) decades(label func(float64) string) []tick {
	span := math.Log10(a.hi / a.lo)
	marks, every := []float64{1}, 1
	if span < 2.2 {
		marks = []float64{1, 2, 5}
	}
	if span > 7 {
		every = 2
	}
	var out []tick
	for e := math.Floor(math.Log10(a.lo)); e <= math.Ceil(math.Log10(a.hi)); e++ {
		for _, m := range marks {
			v := m * math.Pow(10, e)
			if int(e)%every == 0 && v >= a.lo*(1-1e-9) && v <= a.hi*(1+1e-9) {
				out = append(out, tick{a.at(v), label(v)})
			}
		}
	}
	return out
}

// trim prints significant digits, with an exponent only where that is shorter.
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

// short prints large numbers with k and M.
func short(x float64) string {
	switch abs := math.Abs(x); {
	case abs >= 1e6:
		return trim(x/1e6, 3) + "M"
	case abs >= 1e4:
		return trim(x/1e3, 3) + "k"
	}
	return trim(x, 3)
}

// percent prints a share of 1.
func percent(x float64) string { return trim(x*100, 3) + " %" }

// distance prints metres.
func distance(m float64) string {
	if m < 1000 {
		return trim(m, 2) + " m"
	}
	return trim(m/1000, 3) + " km"
}

// period prints seconds.
func period(s float64) string {
	switch {
	case s >= 86400:
		return trim(s/86400, 2) + " d"
	case s >= 3600:
		return trim(s/3600, 2) + " h"
	case s >= 60:
		return trim(s/60, 2) + " min"
	}
	return trim(s, 2) + " s"
}

// count prints a whole number in groups of three.
func count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
