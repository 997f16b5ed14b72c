package atlas

import "github.com/whereto/whereto/sheet"

// short prints up to three significant digits.
func short(x float64) string { return sheet.Short(x, 3) }

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
