package atlas

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/sheet"
)

// gapMarks are the seconds marked on an axis of time; hourMarks the hours.
var (
	gapMarks  = []float64{1, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 70 * 86400}
	hourMarks = []float64{0, 3, 6, 9, 12, 15, 18, 21}
)

// curvePoints is how many points of a long curve are drawn.
const curvePoints = 60

var dayNames = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// lawFigures draws the laws of the log, and of the reference beside them.
func lawFigures(in *Input) []*figure {
	curve := func(of func(*mobility.Laws) []mobility.Point) []series {
		var all []series
		for i, l := range []*mobility.Laws{in.Laws, in.Reference} {
			if l == nil {
				continue
			}
			s := series{name: l.Name, class: []string{"s1", "s2 dash1"}[i]}
			for _, p := range of(l) {
				s.x, s.y = append(s.x, p.X), append(s.y, p.Y)
			}
			s.x, s.y = thin(s.x, s.y, curvePoints)
			all = append(all, s)
		}
		return all
	}
	numbers := func(x float64) string { return sheet.Trim(x, 3) }
	logs := func(label func(float64) string) scale { return scale{log: true, label: label} }
	km := func(d func(*mobility.Laws) *mobility.Dist) func(*mobility.Laws) []mobility.Point {
		return func(l *mobility.Laws) []mobility.Point {
			points := d(l).Density()
			out := points[:0]
			for _, p := range points {
				if p.X >= 10 { // nearer, coordinates are not known
					out = append(out, mobility.Point{X: p.X, Y: p.Y * 1000})
				}
			}
			return out
		}
	}
	return []*figure{
		lines("trips", "Trip lengths", "Share of trips per kilometre of length. "+fitWords(in), "distance", logs(sheet.Distance), logs(numbers),
			curve(km(func(l *mobility.Laws) *mobility.Dist { return l.Trip }))),
		lines("gyration", "Radius of gyration", "Share of people per kilometre.", "radius", logs(sheet.Distance), logs(numbers),
			curve(km(func(l *mobility.Laws) *mobility.Dist { return l.Gyration }))),
		lines("visits", "Stays per person", "Share of people with at least so many.", "stays", logs(short), scale{label: sheet.Percent, zero: true},
			curve(func(l *mobility.Laws) []mobility.Point { return l.Visits.Tail() })),
		lines("popularity", "Popularity of places", popularityWords(in), "rank of the place", logs(short), logs(short),
			curve(func(l *mobility.Laws) []mobility.Point { return l.Ranked })),
		lines("rank", "A person's places", "Mean share of stays at a person's first, second and further place.", "rank of the place", logs(short), logs(sheet.Percent),
			curve(rankPoints)),
		lines("explore", "Exploration", "Mean number of different places after so many stays.", "stays", logs(short), logs(short),
			curve(func(l *mobility.Laws) []mobility.Point { return l.Explore })),
		lines("gaps", "Time between stays", "Share of gaps at least so long.", "time", scale{log: true, label: period, at: gapMarks}, scale{label: sheet.Percent, zero: true},
			curve(func(l *mobility.Laws) []mobility.Point { return l.Gap.Tail() })),
		lines("entropy", "Entropy", "Share of people with at least so many bits in how they divide their stays over places.", "bits", scale{label: numbers, zero: true}, scale{label: sheet.Percent, zero: true},
			curve(func(l *mobility.Laws) []mobility.Point { return l.Entropy.Tail() })),
	}
}

func fitWords(in *Input) string {
	f := in.Laws.TripFit
	if f.N == 0 {
		return "Too few trips for a fit."
	}
	return fmt.Sprintf("Fitted to (x + %s) to the power of %s with a cut-off at %s.", sheet.Distance(f.X0), sheet.Trim(-f.Beta, 3), sheet.Distance(f.Cut))
}

func popularityWords(in *Input) string {
	return fmt.Sprintf("Stays by rank; the top 1 %% of places have %s of the stays, and stays fall as rank to the power of %s.",
		sheet.Percent(in.Laws.TopShare), sheet.Trim(in.Laws.PopularitySlope, 2))
}

func rankPoints(l *mobility.Laws) []mobility.Point {
	var out []mobility.Point
	for k, share := range l.Rank {
		out = append(out, mobility.Point{X: float64(k + 1), Y: share})
	}
	return out
}

// weekFigure draws stays by weekday and hour as a heat map.
func weekFigure(id string, l *mobility.Laws) *figure {
	const left, top, wide, high = 40, 8, 24, 22
	f := &figure{ID: id, Title: "The week of " + l.Name, Lead: "Stays by weekday and local hour.",
		W: left + 24*wide + 4, H: top + 7*high + 26, Wide: true}
	most := int64(1)
	for _, hours := range l.Rhythm {
		most = max(most, slices.Max(hours[:]))
	}
	f.Table = &grid{Head: []string{"", "night", "morning", "afternoon", "evening"}}
	for row := range 7 {
		day := (row + 1) % 7 // Monday first
		y := sheet.Px(top + row*high)
		f.Texts = append(f.Texts, text{X: left - 8, Y: y + 15, Anchor: "end", Text: dayNames[day]})
		var parts [4]int64
		for hour, n := range l.Rhythm[day] {
			parts[partOf(hour)] += n
			ink := fmt.Sprintf("%.2f", .04+.96*float64(n)/float64(most))
			f.Bars = append(f.Bars, box{X: sheet.Px(left + hour*wide + 1), Y: y + 1, W: wide - 2, H: high - 2, Class: "heat", Ink: ink})
			f.Hits = append(f.Hits, box{X: sheet.Px(left + hour*wide), Y: y, W: wide, H: high,
				Tip: fmt.Sprintf("%s %d to %d: %s stays, %s", dayNames[day], hour, hour+1, sheet.Count(n), sheet.Percent(float64(n)/float64(l.Stays)))})
		}
		line := []string{dayNames[day]}
		for _, n := range parts {
			line = append(line, sheet.Count(n))
		}
		f.Table.Rows = append(f.Table.Rows, line)
	}
	for hour := 0; hour < 24; hour += 3 {
		f.Texts = append(f.Texts, text{X: sheet.Px(left + hour*wide + wide/2), Y: sheet.Px(top + 7*high + 18), Anchor: "middle", Text: fmt.Sprintf("%02d", hour)})
	}
	return f
}

// hoursFigure draws the day, of working days and weekends together.
func hoursFigure(in *Input) *figure {
	var all []series
	for i, l := range []*mobility.Laws{in.Laws, in.Reference} {
		if l == nil {
			continue
		}
		s := series{name: l.Name, class: []string{"s1", "s2 dash1"}[i]}
		for hour := range 24 {
			n := int64(0)
			for _, hours := range l.Rhythm {
				n += hours[hour]
			}
			s.x, s.y = append(s.x, float64(hour)), append(s.y, float64(n)/float64(l.Stays))
		}
		all = append(all, s)
	}
	return lines("hours", "Hours of the day", "Share of all stays by local hour.", "local hour",
		scale{label: whole, at: hourMarks}, scale{label: sheet.Percent, zero: true}, all)
}

// palette gives category groups their colours: s1 to s8 for those with the most
// stays, s0 (grey) for homes and the rest.
type palette struct {
	class map[string]string
	order []string // coloured groups
}

func paletteOf(l *mobility.Laws) palette {
	stays := map[string]int{}
	for group, hours := range l.Mix {
		for _, n := range hours {
			stays[group] += int(n)
		}
	}
	p := palette{class: map[string]string{}}
	for _, group := range byCount(stays) {
		// Homes are everywhere: in colour they would hide the town.
		if group != mobility.Other && !strings.HasPrefix(group, "Home") && len(p.order) < 8 {
			p.order = append(p.order, group)
			p.class[group] = fmt.Sprintf("s%d", len(p.order))
		}
	}
	return p
}

// of returns the class of a category path.
func (p palette) of(category string) string { return cmp.Or(p.class[mobility.Group(category)], "s0") }

func (p palette) legend() []path {
	var out []path
	for _, group := range p.order {
		out = append(out, path{Class: p.class[group], Label: group})
	}
	return append(out, path{Class: "s0", Label: "home and other"})
}

// mixFigure stacks the shares of groups by hour.
func mixFigure(in *Input, p palette) *figure {
	f := &figure{ID: "mix", Title: "What people do by hour", Lead: "Share of the stays of an hour by category group.", Legend: p.legend()}
	x, y := f.frame(chartWidth, chartHeight, 0, 23, 0, 1)
	f.XTicks, f.YTicks, f.XLabel = scale{label: whole, at: hourMarks}.marks(x, 8), y.Ticks(4, sheet.Percent), "local hour"
	var hourly [24]float64
	shares := map[string][24]float64{} // by class
	for _, group := range slices.Sorted(maps.Keys(in.Laws.Mix)) {
		class := cmp.Or(p.class[group], "s0")
		row := shares[class]
		for hour, n := range in.Laws.Mix[group] {
			row[hour] += float64(n)
			hourly[hour] += float64(n)
		}
		shares[class] = row
	}
	f.Table = &grid{Head: []string{"group", "at 3", "at 8", "at 12", "at 16", "at 20"}}
	var below [24]float64
	for _, entry := range append(p.legend()[len(p.order):], p.legend()[:len(p.order)]...) {
		var there, back []string
		var share [24]float64
		for hour := range 24 {
			share[hour] = shares[entry.Class][hour] / max(hourly[hour], 1)
			back = append(back, fmt.Sprintf("%v %v", x.At(float64(hour)), y.At(below[hour])))
			below[hour] += share[hour]
			there = append(there, fmt.Sprintf("%v %v", x.At(float64(hour)), y.At(below[hour])))
		}
		slices.Reverse(back)
		f.Areas = append(f.Areas, path{Class: entry.Class, D: "M" + strings.Join(append(there, back...), "L") + "Z"})
		f.Table.Rows = append(f.Table.Rows, []string{entry.Label, sheet.Percent(share[3]), sheet.Percent(share[8]), sheet.Percent(share[12]), sheet.Percent(share[16]), sheet.Percent(share[20])})
	}
	return f
}
