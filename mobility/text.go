package mobility

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// dayNames are the weekdays in the order of Rhythm.
var dayNames = [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// WriteText writes the laws of one log as plain tables.
func WriteText(w io.Writer, l *Laws) error {
	out := &printer{w: w}
	out.line("%s: %d stays of %d people at %d places in %s days", l.Name, l.Stays, l.People, l.Places, number(l.Days))
	out.line("")
	rows := [][]string{{"law", "n", "p05", "p25", "median", "p75", "p95", "mean"}}
	for _, r := range []struct {
		name  string
		d     *Dist
		print func(float64) string
	}{
		{"trip length", l.Trip, metres}, {"radius of gyration", l.Gyration, metres}, {"time between stays", l.Gap, seconds},
		{"stays per person", l.Visits, number}, {"places per person", l.Distinct, number},
		{"entropy of a person, bits", l.Entropy, number}, {"stays per place", l.Popularity, number},
	} {
		row := []string{r.name, strconv.FormatInt(r.d.N(), 10)}
		for _, p := range []float64{.05, .25, .5, .75, .95} {
			row = append(row, r.print(r.d.Quantile(p)))
		}
		rows = append(rows, append(row, r.print(r.d.Mean())))
	}
	out.table(rows)
	out.line("")
	if f := l.TripFit; f.N > 0 {
		out.line("trips: P(x) ~ (x + %s)^-%.2f exp(-x / %s), fitted to %d trips of %d m and more, KS %.3f", metres(f.X0), f.Beta, metres(f.Cut), f.N, fitFrom, f.KS)
	} else {
		out.line("trips: too few of %d m and more for a fit", fitFrom)
	}
	out.line("return share %.3f; exploration ~ stays^%.2f, ~ days^%.2f", l.ReturnShare, l.ExploreSlope, l.ExploreDaysSlope)
	var shares []string
	for _, s := range l.Rank[:min(5, len(l.Rank))] {
		shares = append(shares, fmt.Sprintf("%.3f", s))
	}
	out.line("a person's places by rank: shares %s, ~ rank^%.2f", strings.Join(shares, " "), l.RankSlope)
	out.line("popularity of places ~ rank^%.2f; the top 1 %% have %.1f %% of the stays", l.PopularitySlope, 100*l.TopShare)
	out.line("")
	out.table(l.rhythmRows())
	return out.err
}

// rhythmRows is the week as shares of all stays in thousandths.
func (l *Laws) rhythmRows() [][]string {
	rows := [][]string{{"stays per 1000, local hour"}}
	for hour := 0; hour < 24; hour += 2 {
		rows[0] = append(rows[0], fmt.Sprintf("%02d", hour))
	}
	for i := range 7 {
		day := (i + 1) % 7 // Monday first
		row := []string{dayNames[day]}
		for hour := 0; hour < 24; hour += 2 {
			n := l.Rhythm[day][hour] + l.Rhythm[day][hour+1]
			row = append(row, strconv.FormatFloat(1000*float64(n)/float64(l.Stays), 'f', 1, 64))
		}
		rows = append(rows, row)
	}
	return rows
}

// WriteDifferences writes a table of what Compare returns, the logs named a and
// b.
func WriteDifferences(w io.Writer, a, b string, diffs []Difference) error {
	out := &printer{w: w}
	rows := [][]string{{"law", a, b, "JS", "KS", "shape", "agrees", "bound", "note"}}
	agree, bound := 0, 0
	for _, d := range diffs {
		verdict := ""
		if d.Bound != "" {
			bound++
			if verdict = "NO"; d.Agrees {
				verdict = "yes"
				agree++
			}
		}
		rows = append(rows, []string{d.Law, number(d.A), number(d.B), share(d.JS), share(d.KS), share(d.Shape), verdict, d.Bound, d.Note})
	}
	out.table(rows)
	out.line("")
	out.line("%d of %d laws with a bound agree", agree, bound)
	return out.err
}

// share prints a distance, nothing if it is not defined.
func share(x float64) string {
	if x == Undefined {
		return ""
	}
	return strconv.FormatFloat(x, 'f', 3, 64)
}

// number prints three significant digits, or the whole part if that is longer.
func number(x float64) string {
	if math.Abs(x) >= 1000 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 3, 64), 64)
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func metres(m float64) string {
	if m >= 1000 {
		return number(m/1000) + " km"
	}
	return strconv.FormatFloat(m, 'f', 0, 64) + " m"
}

func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d >= 48*time.Hour:
		return number(s/86400) + " d"
	case d >= time.Hour:
		return number(s/3600) + " h"
	case d >= time.Minute:
		return number(s/60) + " min"
	}
	return number(s) + " s"
}

// printer keeps the first error of a writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		if _, err := fmt.Fprintf(p.w, format+"\n", args...); err != nil {
			p.err = fmt.Errorf("mobility: write the laws: %w", err)
		}
	}
}

// table aligns columns to the left, as notes want it.
func (p *printer) table(rows [][]string) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(t, strings.TrimRight(strings.Join(r, "\t"), "\t")); err != nil {
			p.err = fmt.Errorf("mobility: write the laws: %w", err)
			return
		}
	}
	if err := t.Flush(); err != nil {
		p.err = fmt.Errorf("mobility: write the laws: %w", err)
	}
}
