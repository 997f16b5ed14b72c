package atlas

import (
	"math"

	"github.com/whereto/whereto/sheet"
)

// short prints large numbers with k and M.
func short(x float64) string {
	switch abs := math.Abs(x); {
	case abs >= 1e6:
		return sheet.Trim(x/1e6, 3) + "M"
	case abs >= 1e4:
		return sheet.Trim(x/1e3, 3) + "k"
	}
	return sheet.Trim(x, 3)
}

// period prints seconds.
func period(s float64) string {
	switch {
	case s >= 86400:
		return sheet.Trim(s/86400, 2) + " d"
	case s >= 3600:
		return sheet.Trim(s/3600, 2) + " h"
	case s >= 60:
		return sheet.Trim(s/60, 2) + " min"
	}
	return sheet.Trim(s, 2) + " s"
}
