package casebook

import (
	"math"
	"strconv"
	"strings"
)

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
