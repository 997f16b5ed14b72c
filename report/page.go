package report

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/sheet"
)

// page is all that the templates show.
type page struct {
	Title     string
	Generated string
	Groups    []group // comparisons, if there are several runs
	Warning   string  // why there is more than one group
	Runs      []*section
}

// section is one run.
type section struct {
	ID, Name   string
	Dir        string
	State      string
	Color      string // class of its lines in comparisons, "" if alone
	Facts      []fact
	More       []fact
	Tiles      []tile
	Tables     []*resultTable
	Figures    []*figure
	Recipe     string
	RecipeNote string
}

type fact struct{ Name, Value string }

// tile is a headline figure.
type tile struct{ Name, Value, Below string }

// layOut makes the page of runs that are loaded and labelled.
func layOut(runs []*loaded, now time.Time) *page {
	p := &page{Title: runs[0].label, Generated: now.UTC().Format("2006-01-02 15:04 UTC")}
	class := map[*loaded]string{}
	for i, l := range runs {
		class[l] = seriesClass(i)
	}
	if len(runs) > 1 {
		p.Title = fmt.Sprintf("%d runs compared", len(runs))
		p.Groups = groupsOf(runs, class)
		if len(p.Groups) > 1 {
			p.Warning = fmt.Sprintf("These runs cannot all be compared: they were made from %d different data sets, protocols or settings of the split. Figures stand apart below; do not compare them across the parts.", len(p.Groups))
		}
	}
	for i, l := range runs {
		s := sectionOf(l)
		s.ID = fmt.Sprintf("run%d", i+1)
		if len(runs) > 1 {
			s.Color = class[l]
		}
		for _, f := range s.Figures {
			f.ID = s.ID + "-" + f.ID
		}
		p.Runs = append(p.Runs, s)
	}
	return p
}

func sectionOf(l *loaded) *section {
	m := l.meta
	s := &section{Name: l.label, Dir: l.dir, State: "finished", Recipe: l.recipe, RecipeNote: l.recipeNote}
	if !l.done {
		s.State = "not finished"
	}
	created := "unknown"
	if !m.CreatedAt.IsZero() {
		created = m.CreatedAt.UTC().Format("2006-01-02 15:04 UTC")
	}
	s.Facts = []fact{
		{"folder", filepath.ToSlash(l.dir)},
		{"made", created},
		{"seed", fmt.Sprint(m.Seed)},
		{"engine", known(m.Backend)},
		{"host", hostName(m.Host)},
		{"training time", trainingTime(l.records)},
	}
	s.More = []fact{
		{"command", known(commandLine(m.Command))},
		{"data fingerprint", known(m.DataFingerprint)},
		{"index fingerprint", known(m.IndexFingerprint)},
		{"recipe hash", known(m.RecipeHash)},
		{"whereto", known(m.WheretoVersion)},
		{"GoMLX", known(m.GoMLXVersion)},
		{"Go", known(m.GoVersion)},
	}
	s.Tiles = tilesOf(l)
	for _, split := range []string{Test, Validation} {
		s.Tables = append(s.Tables, tableOf(l, split))
	}
	fold(s.Tables)
	s.Figures = []*figure{lossFigure(l), rateFigure(l), epochFigure(l), cdfFigure(l), hourFigure(l), historyFigure(l), mapFigure(l)}
	return s
}

func hostName(h run.Host) string {
	if h == (run.Host{}) {
		return "unknown"
	}
	return strings.TrimPrefix(fmt.Sprintf("%s, %d cores, %s/%s", h.CPU, h.Cores, h.OS, h.Arch), ", ")
}

func known(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// trainingTime is the time between the first and the last record, pauses
// between interruptions included.
func trainingTime(records []run.Record) string {
	if len(records) < 2 {
		return "unknown"
	}
	d := records[len(records)-1].Time.Sub(records[0].Time)
	if d < 0 || d > 10*365*24*time.Hour {
		return "unknown"
	}
	return d.Round(time.Second).String() + ", first to last record"
}

// commandLine joins arguments so that a shell would part them again.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[](){}<>|&;#~!") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// tilesOf are the headline figures of the test split, or of validation where
// there is no test.
func tilesOf(l *loaded) []tile {
	r := l.results[Test]
	if r == nil {
		r = l.results[Validation]
	}
	if r == nil || len(r.Metrics) == 0 {
		return nil
	}
	of := func(name, label string) tile {
		v := r.Metrics[name]
		return tile{label, places(v.Value), fmt.Sprintf("%s to %s", places(v.Lo), places(v.Hi))}
	}
	first := of("acc@1", "Acc@1, "+r.Split)
	found := tile{"Acc@10 of discoveries among new places", "-", "no first visits"}
	if v, ok := r.Fresh.Metrics["acc@10"]; ok {
		found.Value, found.Below = places(v.Value), fmt.Sprintf("%s of rows", sheet.Percent(r.Fresh.Share))
	} else if r.Discovery.N > 0 {
		found.Below = "an older result; evaluate again"
	}
	half := tile{"median error", metres(r.Distance.P50), "90 % within " + metres(r.Distance.P90)}
	return []tile{first, of("acc@10", "Acc@10"), of("mrr", "MRR"), found, half}
}
