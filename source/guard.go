package source

import (
	"fmt"
	"hash/maphash"
	"math"

	"github.com/whereto/whereto/poi"
)

// The time-zone guard. It knows two rules, both about most rows of a file, both
// warnings only:
//
//  1. Offset against longitude. Civil time follows the sun: offset/60 and lng/15
//     differ by at most about 3 h on inhabited land (western China). If more than
//     half of the rows that tell an offset differ by more than maxSolarGap, the
//     offset's sign or unit is wrong, or the coordinates are swapped (said if
//     only a change of places closes the gap, a change of sign does not).
//  2. Sleep. Everywhere the quietest six hours lie around sleepHour local time.
//     If the quietest six hours of the local histogram lie more than maxSleepGap
//     away, the offset was applied to a time that was local already ("local
//     marked as UTC", told by a UTC histogram that is quiet at night) or is wrong
//     in another way. Needs minSleepRows rows, and a real night: the quietest
//     six hours hold less than half of their even share. Offsets within
//     maxSleepGap of UTC cannot be told apart this way.
const (
	maxSolarGap  = 3.5 // hours
	minSolarRows = 20
	sleepHour    = 4.0 // middle of the quietest six hours: 3:30 to 4:00 in New York and Tokyo, 3:00 in California
	maxSleepGap  = 3.25
	nearSleep    = 2.0
	minSleepRows = 500
	quietHours   = 6
	// polarLat bounds where nearly everyone lives; a file mostly beyond it has
	// swapped columns.
	polarLatNorth, polarLatSouth = 75, -60
)

// fileStats gathers what can be doubted about one file.
type fileStats struct {
	path  string
	notes []string // warnings of the parser

	rows, backwards    int
	lastMS             int64
	declared           int // rows with an offset of their own or of Options.Zone
	inconsistent       int // of them, against rule 1
	mended             int // of those, consistent once swapped
	polar              int
	hourLocal, hourUTC [24]int // tallies by local and by UTC hour
}

func newFileStats(path string) *fileStats { return &fileStats{path: path} }

func (s *fileStats) add(r *row, declared bool) {
	if s.rows > 0 && r.TimeMS < s.lastMS && r.shown.id == "" { // impressions need no order
		s.backwards++
	}
	s.rows++
	s.lastMS = r.TimeMS
	if r.Lat > polarLatNorth || r.Lat < polarLatSouth {
		s.polar++
	}
	s.hourUTC[hourOf(r.TimeMS)]++
	s.hourLocal[hourOf(r.TimeMS+int64(r.OffsetMin)*60_000)]++
	if !declared {
		return
	}
	s.declared++
	if solarGap(r.OffsetMin, r.Lng) > maxSolarGap {
		s.inconsistent++
		flipped := solarGap(-r.OffsetMin, r.Lng) <= maxSolarGap // then the sign is the likelier mistake
		if !flipped && math.Abs(r.Lng) <= 90 && solarGap(r.OffsetMin, r.Lat) <= maxSolarGap {
			s.mended++
		}
	}
}

func hourOf(ms int64) int {
	h := ms / 3_600_000 % 24
	if h < 0 {
		h += 24
	}
	return int(h)
}

// solarGap returns |offset - lng/15| in hours on the 24-hour circle.
func solarGap(offsetMin int16, lng float64) float64 {
	return circleGap(float64(offsetMin)/60, lng/15)
}

func circleGap(a, b float64) float64 {
	d := math.Mod(math.Abs(a-b), 24)
	return math.Min(d, 24-d)
}

func (s *fileStats) warnings() []string {
	w := s.notes
	if s.rows == 0 {
		return append(w, "no good row")
	}
	if s.backwards > 0 {
		w = append(w, fmt.Sprintf("%d of %d rows are earlier than the row before them; order is restored later, this matters only if the file should be sorted", s.backwards, s.rows))
	}
	if s.rows >= minSolarRows && 2*s.polar > s.rows {
		w = append(w, fmt.Sprintf("%d of %d rows lie beyond 75 degrees north or 60 south, where hardly anyone lives: latitude and longitude look swapped", s.polar, s.rows))
	}
	solar := s.solarWarning()
	if solar != "" {
		return append(w, solar) // rule 2 would only repeat it
	}
	if sleep := s.sleepWarning(); sleep != "" {
		w = append(w, sleep)
	}
	return w
}

func (s *fileStats) solarWarning() string {
	if s.declared < minSolarRows || 2*s.inconsistent <= s.declared {
		return ""
	}
	msg := fmt.Sprintf("the offset from UTC is more than %g h from the longitude's sun time in %d of %d rows: ", maxSolarGap, s.inconsistent, s.declared)
	if 2*s.mended > s.inconsistent {
		return msg + "latitude and longitude look swapped, since it fits the other way round"
	}
	return msg + "check the offset's sign and unit (minutes east of UTC), or the zone"
}

func (s *fileStats) sleepWarning() string {
	if s.rows < minSleepRows {
		return ""
	}
	local, share := quietest(s.hourLocal)
	if share > 0.5*quietHours/24 || circleGap(local, sleepHour) <= maxSleepGap {
		return ""
	}
	msg := fmt.Sprintf("the quietest six hours are around %s local time, people sleep around 04:00: ", clock(local))
	if utc, _ := quietest(s.hourUTC); circleGap(utc, sleepHour) <= nearSleep {
		return msg + fmt.Sprintf("the times look local and marked as UTC (quietest around %s as they are written)", clock(utc))
	}
	return msg + "check the offset or the zone"
}

func clock(hour float64) string {
	h := math.Mod(hour, 24)
	return fmt.Sprintf("%02d:%02d", int(h), int(h*60)%60)
}

// quietest returns the middle of the six neighbouring hours with the fewest
// rows, in hours from midnight, and their share of all rows.
func quietest(hours [24]int) (middle, share float64) {
	total, best, at := 0, math.MaxInt, 0
	for _, n := range hours {
		total += n
	}
	for start := range hours {
		sum := 0
		for i := range quietHours {
			sum += hours[(start+i)%24]
		}
		if sum < best {
			best, at = sum, start
		}
	}
	return math.Mod(float64(at)+quietHours/2.0, 24), float64(best) / float64(max(total, 1))
}

// duplicates counts rows equal to an earlier one in everything but Seq. It keeps
// 8-byte hashes of at least the last windowSize rows, so memory is bounded
// and copies farther apart than that are not seen.
type duplicates struct {
	window
	seed         maphash.Seed
	count, total int // copies and rows seen
}

func (d *duplicates) add(a *poi.Action) {
	if d.total == 0 {
		d.seed = maphash.MakeSeed()
	}
	h := d.hash(a)
	d.total++
	if d.has(h) {
		d.count++
	}
	d.note(h)
}

// window is a set of hashes that forgets: it keeps at least the last size.
type window struct {
	young, old map[uint64]struct{}
	size       int // of a generation; 0 is windowSize
}

const windowSize = 1 << 20

func (w *window) has(h uint64) bool {
	_, inYoung := w.young[h]
	_, inOld := w.old[h]
	return inYoung || inOld
}

func (w *window) note(h uint64) {
	if w.young == nil {
		w.young = make(map[uint64]struct{})
		if w.size == 0 {
			w.size = windowSize
		}
	}
	w.young[h] = struct{}{}
	if len(w.young) >= w.size {
		w.old, w.young = w.young, make(map[uint64]struct{})
	}
}

func (d *duplicates) hash(a *poi.Action) uint64 {
	h := uint64(14695981039346656037)
	mix := func(v uint64) {
		h = (h ^ v) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	for _, s := range [...]string{a.User, a.POI, a.Name, a.Category, a.Type} {
		mix(maphash.String(d.seed, s))
	}
	mix(math.Float64bits(a.Lat))
	mix(math.Float64bits(a.Lng))
	if a.HasUser {
		mix(math.Float64bits(a.UserLat))
		mix(math.Float64bits(a.UserLng))
	}
	mix(uint64(a.TimeMS))
	mix(uint64(a.OffsetMin))
	return h
}

func (d *duplicates) warning() string {
	if d.count == 0 {
		return ""
	}
	seen := ""
	if d.total > d.size {
		seen = fmt.Sprintf(" (copies more than %d rows apart are not seen)", d.size)
	}
	return fmt.Sprintf("%d rows are exact copies of an earlier row%s; they are kept, the protocols count them", d.count, seen)
}
