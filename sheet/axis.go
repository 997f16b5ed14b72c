package sheet

import (
	"math"
	"strconv"
	"strings"
)

// Axis maps values to positions on a drawing, in user units of the SVG.
type Axis struct {
	Lo, Hi   float64 // values at the ends, Lo < Hi; both above 0 if Log
	From, To float64 // positions of the ends
	Log      bool
}

// At returns the position of a value; outside Lo..Hi it lies outside the ends.
func (a Axis) At(v float64) Px {
	lo, hi := a.Lo, a.Hi
	if a.Log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(v)
	}
	return Px(a.From + (v-lo)/(hi-lo)*(a.To-a.From))
}

// Px is a position or length on a drawing.
type Px float64

// String prints one decimal, which is how templates see it: less is below what anybody
// sees.
func (p Px) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(p), 'f', 1, 64), ".0")
}

// Tick is a marked value of an axis.
type Tick struct {
	At    Px
	Label string
}

// Step returns the least of 1, 2, 5 times a power of ten that cuts width into at
// most want pieces.
func Step(width float64, want int) float64 {
	raw := width / float64(want)
	ten := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*ten >= raw*(1-1e-9) {
			return m * ten
		}
	}
	return 10 * ten
}

// Ticks marks about want round values of a linear axis.
func (a Axis) Ticks(want int, label func(float64) string) []Tick {
	s := Step(a.Hi-a.Lo, want)
	var out []Tick
	for i := math.Ceil(a.Lo/s - 1e-9); i*s <= a.Hi+s*1e-9; i++ {
		out = append(out, Tick{a.At(i * s), label(i * s)})
	}
	return out
}

// Decades marks powers of ten of a log axis, every second one where there are
// many, with 2 and 5 between them where there are few.
func (a Axis) Decades(label func(float64) string) []Tick {
	span := math.Log10(a.Hi / a.Lo)
	marks, every := []float64{1}, 1
	if span < 2.2 {
		marks = []float64{1, 2, 5}
	}
	if span > 7 {
		every = 2
	}
	var out []Tick
	for e := math.Floor(math.Log10(a.Lo)); e <= math.Ceil(math.Log10(a.Hi)); e++ {
		for _, m := range marks {
			v := m * math.Pow(10, e)
			if int(e)%every == 0 && v >= a.Lo*(1-1e-9) && v <= a.Hi*(1+1e-9) {
				out = append(out, Tick{a.At(v), label(v)})
			}
		}
	}
	return out
}

// Trim prints significant digits, with an exponent only where that is shorter.
func Trim(x float64, digits int) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64) // of our own making
	if x == 0 {
		return "0"
	}
	if abs := math.Abs(x); abs < 1e-3 || abs >= 1e7 {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
		e, _ := strconv.Atoi(exponent)
		return mantissa + "e" + strconv.Itoa(e)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// Short prints significant digits, large numbers with k and M, and - for no number.
func Short(x float64, digits int) string {
	switch abs := math.Abs(x); {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "-"
	case abs >= 1e6:
		return Trim(x/1e6, digits) + "M"
	case abs >= 1e4:
		return Trim(x/1e3, digits) + "k"
	}
	return Trim(x, digits)
}

// Percent prints a share of 1.
func Percent(x float64) string { return Trim(x*100, 3) + " %" }

// Distance prints metres.
func Distance(m float64) string {
	if m < 1000 {
		return Trim(m, 2) + " m"
	}
	return Trim(m/1000, 3) + " km"
}

// Count prints a whole number in groups of three.
func Count[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
