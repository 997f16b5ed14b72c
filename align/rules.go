package align

import (
	"fmt"
	"strings"
	"time"

	"github.com/golang/geo/s2"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Rules is a rule file that was read and found to agree with itself. Only Parse
// and Load make one.
type Rules struct {
	File string
	// NearM is how far from the person a candidate that he has never visited may
	// lie, in metres.
	NearM float64
	// AnchorShare is the part of all samples that are anchors.
	AnchorShare float64
	Rules       []Rule
}

// Rule asks for some categories at some hours, everywhere or in one area.
type Rule struct {
	Name     string
	Hours    []Window
	Weekdays []time.Weekday // of the local day on which a window begins; nil: all
	Area     *Area          // nil: everywhere
	Prefer   []string       // category paths; a path stands for all below it
	Avoid    []string       // as Prefer; wins over it
	Weight   float64        // of a pair in the loss
	Share    float64        // part of all samples

	line    int            // of the name in the file
	lines   map[string]int // of each category
	minutes [minutesOfWeek]bool
}

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
)

// Window is a range of local time in minutes of the day, From <= t < To; if To is
// not above From it ends on the next day.
type Window struct{ From, To int }

// String returns "11:00-14:00".
func (w Window) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}

// Area is a box in degrees, or a circle if Metres is above 0. A box with West >
// East crosses the antimeridian.
type Area struct {
	South, West, North, East float64
	Lat, Lng, Metres         float64
}

// Contains reports whether the point lies in the area, edges included.
func (a *Area) Contains(lat, lng float64) bool {
	if a.Metres > 0 {
		return geo.Metres(a.Lat, a.Lng, lat, lng) <= a.Metres
	}
	rect, point := a.rect(), geo.Rect(lat, lng, lat, lng)
	return rect.Lat.Contains(point.Lat.Lo) && rect.Lng.Contains(point.Lng.Lo)
}

func (a *Area) rect() s2.Rect { return geo.Rect(a.South, a.West, a.North, a.East) }

// overlaps reports whether two areas share a point; nil is everywhere.
func (a *Area) overlaps(b *Area) bool {
	switch {
	case a == nil || b == nil:
		return true
	case a.Metres > 0 && b.Metres > 0:
		return geo.Metres(a.Lat, a.Lng, b.Lat, b.Lng) <= a.Metres+b.Metres
	case a.Metres > 0:
		return b.overlaps(a)
	case b.Metres > 0:
		away := a.rect().DistanceToLatLng(s2.LatLngFromDegrees(b.Lat, b.Lng))
		return float64(away)*geo.EarthRadius <= b.Metres
	}
	return a.rect().Intersects(b.rect())
}

// setMinutes marks the minutes of the local week, Sunday first, at which the rule
// holds. A window past midnight belongs to the day on which it begins.
func (r *Rule) setMinutes() {
	days := r.Weekdays
	if days == nil {
		days = []time.Weekday{0, 1, 2, 3, 4, 5, 6}
	}
	for _, day := range days {
		for _, w := range r.Hours {
			length := w.To - w.From
			if length <= 0 {
				length += minutesOfDay
			}
			for m := range length {
				r.minutes[(int(day)*minutesOfDay+w.From+m)%minutesOfWeek] = true
			}
		}
	}
}

// At reports whether the rule holds at the local time and place. A rule with an
// area does not hold where the place is not known.
func (r *Rule) At(ms int64, offsetMin int16, lat, lng float64, hasPos bool) bool {
	t := poi.LocalTime(ms, offsetMin)
	if !r.minutes[int(t.Weekday())*minutesOfDay+t.Hour()*60+t.Minute()] {
		return false
	}
	return r.Area == nil || hasPos && r.Area.Contains(lat, lng)
}

// Prefers reports whether the category is preferred and not avoided.
func (r *Rule) Prefers(category string) bool {
	return underAny(category, r.Prefer) && !underAny(category, r.Avoid)
}

// Avoids reports whether the category is avoided.
func (r *Rule) Avoids(category string) bool { return underAny(category, r.Avoid) }

const levelSep = " > "

// under reports whether a category path is the prefix or lies below it.
func under(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || strings.HasPrefix(path[len(prefix):], levelSep))
}

func underAny(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if under(path, p) {
			return true
		}
	}
	return false
}

// at returns the rules that hold at a request, as positions in Rules.
func (r *Rules) at(d *poi.Dataset, q *poi.Request) []int {
	lat, lng, ok := whereIs(d, q)
	var out []int
	for i := range r.Rules {
		if r.Rules[i].At(q.TimeMS, q.OffsetMin, lat, lng, ok) {
			out = append(out, i)
		}
	}
	return out
}

// prefers reports whether any of the listed rules prefers the category.
func (r *Rules) prefers(rules []int, category string) bool {
	for _, i := range rules {
		if r.Rules[i].Prefers(category) {
			return true
		}
	}
	return false
}

// all lists every rule.
func (r *Rules) all() []int {
	out := make([]int, len(r.Rules))
	for i := range out {
		out[i] = i
	}
	return out
}

// whereIs returns the user's position at a request, or that of the last place he
// visited before it.
func whereIs(d *poi.Dataset, q *poi.Request) (lat, lng float64, ok bool) {
	if q.HasUser {
		return float64(q.UserLat), float64(q.UserLng), true
	}
	if q.Pos == 0 {
		return 0, 0, false
	}
	p := d.Places[d.Users[q.User].Visits[q.Pos-1].POI]
	return p.Lat, p.Lng, true
}
