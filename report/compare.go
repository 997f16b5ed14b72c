package report

import (
	"cmp"
	"fmt"
	"strings"
)

// group is a set of runs whose figures may stand side by side.
type group struct {
	ID      string
	Title   string
	Names   string
	Tables  []*resultTable
	Figures []*figure
}

// rowsKey says on which rows a run's figures of a split were taken.
type rowsKey struct {
	data, protocol string
	n              int
}

// keyOf is the key of a split, or of the training data if the run has not been
// evaluated on it; ok is false in the second case.
func keyOf(l *loaded, split string) (rowsKey, bool) {
	if r := l.results[split]; r != nil {
		return rowsKey{r.Fingerprint, r.Protocol, r.N}, true
	}
	return rowsKey{data: l.meta.DataFingerprint}, false
}

// groupsOf parts the runs by data and protocol, in order of appearance. A run
// that was not evaluated goes by the data it was trained on.
func groupsOf(runs []*loaded, class map[*loaded]string) []group {
	type key struct{ data, protocol string }
	protocols := map[string]string{} // data -> protocol, from the runs that tell it
	keyOfRun := func(l *loaded) key {
		for _, split := range []string{Test, Validation} {
			if k, ok := keyOf(l, split); ok {
				return key{k.data, k.protocol}
			}
		}
		return key{l.meta.DataFingerprint, protocols[l.meta.DataFingerprint]}
	}
	for _, l := range runs {
		if k := keyOfRun(l); k.protocol != "" {
			protocols[k.data] = k.protocol
		}
	}
	var order []key
	members := map[key][]*loaded{}
	for _, l := range runs {
		k := keyOfRun(l)
		if members[k] == nil {
			order = append(order, k)
		}
		members[k] = append(members[k], l)
	}
	var out []group
	for i, k := range order {
		g := groupOf(fmt.Sprintf("group%d", i+1), members[k], class)
		g.Title = "Comparison"
		if len(order) > 1 {
			g.Title = fmt.Sprintf("Data %.12s, %s", known(k.data), cmp.Or(k.protocol, "not evaluated"))
		}
		out = append(out, g)
	}
	return out
}

func groupOf(id string, runs []*loaded, class map[*loaded]string) group {
	g := group{ID: id}
	var names []string
	for _, l := range runs {
		names = append(names, l.label)
	}
	g.Names = strings.Join(names, ", ")
	for _, split := range []string{Test, Validation} {
		g.Tables = append(g.Tables, compareTables(runs, split, class)...)
	}
	if len(g.Tables) == 2 { // with more, no table leads: each is of other rows
		fold(g.Tables)
	}
	g.Figures = append(g.Figures, compareEpochs(id+"-epochs", runs, class))
	for i, same := range sameRows(runs) {
		g.Figures = append(g.Figures, compareCDF(fmt.Sprintf("%s-cdf%d", id, i+1), same, class))
	}
	return g
}

// sameRows parts runs by the rows their predictions are of; runs without
// predictions are left out unless nobody has any.
func sameRows(runs []*loaded) [][]*loaded {
	type key struct {
		split string
		n     int
		order uint64
	}
	var order []key
	parts := map[key][]*loaded{}
	for _, l := range runs {
		if l.tally == nil {
			continue
		}
		k := key{l.split, l.tally.n, l.tally.order}
		if parts[k] == nil {
			order = append(order, k)
		}
		parts[k] = append(parts[k], l)
	}
	var out [][]*loaded
	for _, k := range order {
		out = append(out, parts[k])
	}
	if out == nil {
		return [][]*loaded{runs}
	}
	return out
}

// compareTables puts the runs evaluated on the same rows of a split into one
// table, and says which runs have no figures.
func compareTables(runs []*loaded, split string, class map[*loaded]string) []*resultTable {
	var order []rowsKey
	members := map[rowsKey][]*loaded{}
	var missing []string
	for _, l := range runs {
		k, ok := keyOf(l, split)
		if !ok {
			missing = append(missing, fmt.Sprintf("%s: %s", l.label, l.resultNotes[split]))
			continue
		}
		if members[k] == nil {
			order = append(order, k)
		}
		members[k] = append(members[k], l)
	}
	title := strings.ToUpper(split[:1]) + split[1:] + " split"
	if len(order) == 0 {
		return []*resultTable{{Title: title, Note: fmt.Sprintf("None of these runs has readable results on the %s split. %s", split, strings.Join(missing, " "))}}
	}
	var out []*resultTable
	for _, k := range order {
		t := compareTable(members[k], split, class)
		t.Title = title
		if len(order) > 1 {
			t.Remarks = append(t.Remarks, "Other runs were measured on other rows of this split and stand in a table of their own.")
		}
		out = append(out, t)
	}
	last := out[len(out)-1]
	last.Remarks = append(last.Remarks, missing...)
	return out
}

// compareTable is one row a run and each floor once.
func compareTable(runs []*loaded, split string, class map[*loaded]string) *resultTable {
	first := runs[0]
	t := &resultTable{Caption: captionOf(first.results[split])}
	for _, l := range runs {
		r := l.results[split]
		if r.Name == "" {
			t.Remarks = append(t.Remarks, l.label+": only floors were evaluated.")
			continue
		}
		row := rowOf(l.label, r.Row)
		row.Class = class[l]
		if l != first && l.split == split && first.split == split {
			var why string
			if row.Ahead, why = pairedDifference(first, l, r); why != "" {
				t.Remarks = append(t.Remarks, why)
			}
			if row.Ahead != nil {
				t.Ahead = "ahead of " + first.label + " by"
			}
		}
		t.Rows = append(t.Rows, row)
	}
	t.addFloors(runs, split)
	if len(t.Rows) == 0 {
		t.Note = "These results name neither a model nor a floor."
		return t
	}
	t.Chart = forest(t.Rows)
	return t
}

// addFloors lists every floor once. The same floor on the same rows has one
// value; a second one means the code changed, and gets a row of its own.
func (t *resultTable) addFloors(runs []*loaded, split string) {
	shown := map[string]float64{}
	for _, l := range runs {
		floors := l.results[split].Floors
		for _, name := range floorNames(floors) {
			value := floors[name].Metrics["acc@1"].Value
			old, twice := shown[name]
			if twice && old == value {
				continue
			}
			row := rowOf(name, floors[name])
			row.Floor = true
			if twice {
				row.Name = fmt.Sprintf("%s (of %s)", name, l.label)
				t.Remarks = append(t.Remarks, fmt.Sprintf("The floor %s differs between runs on the same rows: they were evaluated by different versions. Evaluate all of them again.", name))
			}
			shown[name] = value
			t.Rows = append(t.Rows, row)
		}
	}
}
