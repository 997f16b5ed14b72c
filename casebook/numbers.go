package casebook

import (
	"math"
	"strconv"
	"strings"
)

// px is a position or length on a drawing, or a share of one in per cent.
type px float64

// String prints one decimal, which is how templates see it.
func (p px) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(p), 'f', 1, 64), ".0")
}

// signed prints a delta with its sign, three decimals at most.
func signed(x float64) string {
	s := strconv.FormatFloat(math.Abs(x), 'f', 3, 64)
	switch {
	case strings.Trim(s, "0.") == "":
		return "0"
	case x < 0:
		return "\u2212" + s // a minus as wide as the plus
	}
	return "+" + s
}

// side is the class of a delta: what spoke for the place, against it, or neither.
func side(x float64) string {
	switch s := signed(x); {
	case s == "0":
		return "none"
	case x > 0:
		return "for"
	}
	return "against"
}

func percent(x float64) string { return trim(x*100, 3) + " %" }

// trim prints so many significant digits without trailing zeros.
func trim(x float64, digits int) string {
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', digits, 64), 64) // of our own making
	if abs := math.Abs(x); abs != 0 && (abs < 1e-3 || abs >= 1e7) {
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// distance prints metres.
func distance(m float64) string {
	if m < 1000 {
		return trim(m, 2) + " m"
	}
	return trim(m/1000, 3) + " km"
}

// sentence joins words.
func sentence(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// cut shortens a text that is too long to read.
func cut(s string) string {
	n := 0
	for i := range s {
		if n == maxText {
			return s[:i] + " ..."
		}
		n++
	}
	return s
}
