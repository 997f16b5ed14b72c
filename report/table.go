package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/sheet"
)

// resultTable is a table of scorers on the same rows.
type resultTable struct {
	Title   string
	Caption string
	Note    string // instead of the table, if not empty
	Folded  bool   // opens on demand: a page leads with one split
	Ahead   string // title of the paired column, "" if there is none
	Rows    []resultRow
	Remarks []string
	Chart   *figure // Acc@1 with intervals
}

// resultRow is a scorer's line.
type resultRow struct {
	Name, Class string // Class is its colour if it is a run
	Floor       bool
	Acc1        ranged
	MRR         ranged
	Plain       []string // acc@5, acc@10, ndcg@10
	Returns     string   // acc@1 where the place was visited before
	Found       ranged   // acc@10 where it was not, among all places
	Fresh       ranged   // the same among the places new to the user
	Distance    []string // quantiles
	Ahead       *ranged  // paired difference of acc@1, main minus this
	acc1        eval.Value
}

// ranged is a figure and its interval as text.
type ranged struct {
	Value, Range string
	Clear        bool // a difference whose interval lies above zero
}

func rangedOf(m eval.Metrics, name string) ranged {
	v, ok := m[name]
	if !ok {
		return ranged{Value: "-"}
	}
	return ranged{Value: places(v.Value), Range: fmt.Sprintf("[%.3f, %.3f]", v.Lo, v.Hi)}
}

// difference prints a paired difference with its sign.
func difference(v eval.Value) *ranged {
	return &ranged{Value: fmt.Sprintf("%+.4f", v.Value), Range: fmt.Sprintf("[%+.3f, %+.3f]", v.Lo, v.Hi), Clear: v.Beats()}
}

func rowOf(name string, r eval.Row) resultRow {
	plain := func(m eval.Metrics, name string) string { return rangedOf(m, name).Value }
	return resultRow{Name: name, Acc1: rangedOf(r.Metrics, "acc@1"), MRR: rangedOf(r.Metrics, "mrr"),
		Plain:   []string{plain(r.Metrics, "acc@5"), plain(r.Metrics, "acc@10"), plain(r.Metrics, "ndcg@10")},
		Returns: plain(r.Returns.Metrics, "acc@1"), Found: rangedOf(r.Discovery.Metrics, "acc@10"), Fresh: rangedOf(r.Fresh.Metrics, "acc@10"),
		Distance: []string{metres(r.Distance.P50), metres(r.Distance.P75), metres(r.Distance.P90)},
		acc1:     r.Metrics["acc@1"]}
}

// tableOf is the table of one run and split with its floors.
func tableOf(l *loaded, split string) *resultTable {
	t := &resultTable{Title: "Result, " + split + " split"}
	r := l.results[split]
	if r == nil {
		t.Note = l.resultNotes[split]
		return t
	}
	t.Caption = captionOf(r)
	if r.Name != "" {
		row := rowOf(r.Name, r.Row)
		row.Class = "s1"
		t.Rows = append(t.Rows, row)
		if len(r.Floors) > 0 {
			t.Ahead = r.Name + " is ahead by"
		}
	}
	for _, name := range floorNames(r.Floors) {
		row := rowOf(name, r.Floors[name])
		row.Floor = true
		if t.Ahead != "" {
			row.Ahead = difference(r.Floors[name].Paired)
		}
		t.Rows = append(t.Rows, row)
	}
	if len(t.Rows) == 0 {
		t.Note = fmt.Sprintf("eval-%s.json names neither a model nor a floor. To write it again, run: %s", split, l.evalCommand(split))
		return t
	}
	if r.Fingerprint != "" && l.meta.DataFingerprint != "" && r.Fingerprint != l.meta.DataFingerprint {
		t.Remarks = append(t.Remarks, fmt.Sprintf("Evaluated on data %.12s, but the run was trained on data %.12s.", r.Fingerprint, l.meta.DataFingerprint))
	}
	t.Chart = forest(t.Rows)
	return t
}

// fold folds every table but the first one that has rows; notes stay open.
func fold(tables []*resultTable) {
	lead := false
	for _, t := range tables {
		t.Folded = lead && t.Note == ""
		lead = lead || t.Note == ""
	}
}

// floorNames lists floors, the best Acc@1 first.
func floorNames(floors map[string]eval.Row) []string {
	var names []string
	for name := range floors {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(floors[b].Metrics["acc@1"].Value, floors[a].Metrics["acc@1"].Value), cmp.Compare(a, b))
	})
	return names
}

func captionOf(r *eval.Result) string {
	unit := "rows"
	if r.ByUser {
		unit = "users"
	}
	row := r.Row
	for _, f := range r.Floors {
		if r.Name == "" {
			row = f // the split of rows is the same for every scorer
		}
	}
	return fmt.Sprintf("%s, %s split, n = %s (returns %s, discovery %s). Brackets are 95 %% bootstrap intervals: %s resamples of %s, seed %d. Data %.12s.",
		r.Protocol, r.Split, sheet.Count(r.N), sheet.Count(row.Returns.N), sheet.Count(row.Discovery.N), sheet.Count(r.Resamples), unit, r.Seed, r.Fingerprint)
}

// forest draws Acc@1 of every row with its interval, one below the other.
func forest(rows []resultRow) *figure {
	const step, left, right = 26, 148, chartWidth - 16
	f := &figure{W: chartWidth, Left: left, Right: right, Top: 8}
	hi := 0.0
	for _, r := range rows {
		hi = max(hi, r.acc1.Hi, r.acc1.Value)
	}
	_, hi = roundOut(0, hi, 5)
	f.Bottom = sheet.Px(8 + step*len(rows))
	f.H = f.Bottom + 42
	x := sheet.Axis{Lo: 0, Hi: hi, From: left, To: right}
	f.XTicks, f.XLabel = x.Ticks(5, trim3), "Acc@1 with its 95 % interval"
	for i, r := range rows {
		y := sheet.Px(8 + step*i + step/2)
		class := r.Class
		if r.Floor {
			class = "floor"
		}
		f.Paths = append(f.Paths, path{Class: class, D: fmt.Sprintf("M%v %vH%v", x.At(r.acc1.Lo), y, x.At(r.acc1.Hi))})
		f.Dots = append(f.Dots, dot{x.At(r.acc1.Value), y, 4.5, class})
		f.Texts = append(f.Texts, text{X: left - 10, Y: y + 4, Anchor: "end", Text: ellipsis(r.Name, 20)})
	}
	return f
}

// ellipsis cuts a text to at most so many characters.
func ellipsis(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// pairedDifference is the difference of Acc@1, b minus a, on shared rows with
// its interval, drawn as those of result r are, or a sentence why there is none.
func pairedDifference(a, b *loaded, r *eval.Result) (*ranged, string) {
	switch {
	case a.tally == nil || b.tally == nil:
		return nil, fmt.Sprintf("%s is not paired with %s: predictions of one of them are missing.", b.label, a.label)
	case a.tally.n != b.tally.n || a.tally.order != b.tally.order:
		return nil, fmt.Sprintf("%s is not paired with %s: their files of predictions list different rows.", b.label, a.label)
	case a.tally.hits == nil:
		return nil, fmt.Sprintf("%s is not paired with %s: more than %s rows.", b.label, a.label, sheet.Count(maxPairedRows))
	}
	boot := metric.Bootstrap{Seed: r.Seed, Resamples: min(r.Resamples, maxResamples)}
	if r.ByUser {
		boot.Cluster = a.tally.users
	}
	v, err := boot.Difference(b.tally.hits, a.tally.hits)
	if err != nil {
		return nil, fmt.Sprintf("%s is not paired with %s: %v.", b.label, a.label, err)
	}
	return difference(eval.Value(v)), ""
}
