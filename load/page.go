package load

import (
	"embed"
	"fmt"
	"io"
	"time"

	"github.com/whereto/whereto/sheet"
)

//go:embed page.html
var files embed.FS

var templates = sheet.Parse(files)

// Figure is the drawing's size, in user units.
const (
	figureWide, figureHigh = 760, 260
	figureLeft, figureFoot = 56, 30
)

// chart is the service's memory over time.
type chart struct {
	Wide, High  int
	Left, Foot  sheet.Px
	Right, Top  sheet.Px
	Resident    string // points of a polyline
	Heap        string
	X, Y        []sheet.Tick
	Windows     []band
	First, Last string
}

// band is an announced window.
type band struct {
	At, Wide sheet.Px
	Why      string
}

// Page writes the result as one page: what was asked and answered, and how the service's
// memory went.
func (r *Result) Page(w io.Writer) error {
	type row struct{ Kind, Asked, Answered, Failed, Announced, P50, P99, P999, Max, Within string }
	data := struct {
		R       *Result
		Started string
		Rows    []row
		Memory  *chart
	}{R: r, Started: r.Started.UTC().Format(time.RFC3339)}
	for _, k := range append(append([]Row{}, r.Kinds...), r.Total) {
		failed := 0
		for _, n := range k.Errors {
			failed += n
		}
		data.Rows = append(data.Rows, row{k.Kind, sheet.Count(k.Asked), sheet.Count(k.Answered), sheet.Count(failed), sheet.Count(k.Announced),
			short(k.P50.Value), short(k.P99.Value), short(k.P999.Value), short(k.Max), sheet.Percent(k.Within.Value)})
	}
	if r.Memory != nil && len(r.Memory.Samples) > 1 {
		data.Memory = r.memoryChart()
	}
	return templates.ExecuteTemplate(w, "page.html", data)
}

// memoryChart draws the samples of the memory, and the windows in which the service was
// meant to be away.
func (r *Result) memoryChart() *chart {
	s := r.Memory.Samples
	most, end := 0.0, s[len(s)-1].Seconds
	for _, x := range s {
		most = max(most, x.ResidentMiB, x.HeapMiB)
	}
	x := sheet.Axis{Lo: min(0, s[0].Seconds), Hi: max(end, 1), From: figureLeft, To: figureWide - 10}
	y := sheet.Axis{Lo: 0, Hi: max(1, most*1.1), From: figureHigh - figureFoot, To: 10}
	c := &chart{Wide: figureWide, High: figureHigh, Left: figureLeft, Foot: figureHigh - figureFoot, Right: figureWide - 10, Top: 10,
		X: x.Ticks(8, func(v float64) string { return fmt.Sprintf("%g min", v/60) }),
		Y: y.Ticks(5, func(v float64) string { return fmt.Sprintf("%g", v) })}
	if end > 120 { // whole minutes
		minutes := sheet.Axis{Lo: x.Lo / 60, Hi: x.Hi / 60, From: x.From, To: x.To}
		c.X = minutes.Ticks(8, func(v float64) string { return fmt.Sprintf("%g min", v) })
	}
	for _, p := range s {
		c.Resident += fmt.Sprintf("%s,%s ", x.At(p.Seconds), y.At(p.ResidentMiB))
		c.Heap += fmt.Sprintf("%s,%s ", x.At(p.Seconds), y.At(p.HeapMiB))
	}
	for _, w := range r.Windows {
		from, to := x.At(w.From), x.At(w.To)
		c.Windows = append(c.Windows, band{from, max(1, to-from), fmt.Sprintf("%s, %.1f s", w.Why, w.To-w.From)})
	}
	c.First, c.Last = r.settled(), fmt.Sprintf("%.0f MiB", s[len(s)-1].ResidentMiB)
	return c
}

// settled is the resident memory a fifth of the way in, when caches are warm.
func (r *Result) settled() string {
	s := r.Memory.Samples
	return fmt.Sprintf("%.0f MiB", s[len(s)/5].ResidentMiB)
}
