package eval

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/table"
)

// Limits of Discovery: beyond them a table says nothing more.
const (
	maxListed = 10_000 // places of a list
	maxDays   = 36_500
	maxCells  = 64 // of ks and of ms
)

// DiscoveryRow is one system's discovery rates.
type DiscoveryRow struct {
	Name string `json:"name"`
	// Rates[i][j] is D(Ks[i], Ms[j]), Paired[i][j] the paired difference of this row
	// minus the first; nil in the first row.
	Rates  [][]Value `json:"rates"`
	Paired [][]Value `json:"paired,omitempty"`
	Short  int       `json:"short"` // lists with fewer places than the largest k
}

// DiscoveryTable is the discovery rates of several systems on the same queries.
type DiscoveryTable struct {
	N         int            `json:"n"`     // queries
	Users     int            `json:"users"` // who asked; one for each query without a known user
	Ks        []int          `json:"ks"`    // lengths of lists
	Ms        []int          `json:"ms"`    // active days looked back
	Seed      int64          `json:"seed"`  // of the bootstrap
	Resamples int            `json:"resamples"`
	Rows      []DiscoveryRow `json:"rows"`
}

// Discovery measures how new to their users the recommended places are (section
// 5.2, RQ2): D(k, m) is the share of the first k places of a list that the user did
// not act on in the past m active days, averaged over queries.
//
// An active day is a local calendar day on which the query's history has an action
// of any kind; the m latest count, that of the query too if the history reaches into
// it. A list shorter than k is judged by the places it has; an empty one shows
// nothing new and counts as 0 (Short tells how many are short).
//
// lists[s][i] answers queries[i] by the system names[s], best first, without
// duplicates; the first system is the one others are compared with. Intervals
// resample users. Options.Seed and Resamples apply.
//
// Errors: poi.ErrEmpty without queries or systems; poi.ErrBadInput for unequal
// lengths, a k or m out of range, a duplicate in a list or a history out of order.
func Discovery(names []string, lists [][][]int32, queries []poi.Query, ks, ms []int, opt Options) (*DiscoveryTable, error) {
	if err := checkDiscovery(names, lists, queries, ks, ms); err != nil {
		return nil, fmt.Errorf("discovery rates: %w", err)
	}
	boot := metric.Bootstrap{Seed: opt.Seed, Resamples: opt.Resamples, Cluster: make([]int32, len(queries))}
	users := map[int32]bool{}
	ages := make([]map[int32]int, len(queries))
	for i := range queries {
		u := queries[i].User
		if u < 0 {
			u = int32(-1 - i) // nobody else's rows are his
		}
		boot.Cluster[i], users[u] = u, true
		var err error
		if ages[i], err = activeDaysSince(queries[i].History, slices.Max(ms)); err != nil {
			return nil, fmt.Errorf("discovery rates, query %d: %w", i, err)
		}
	}
	t := &DiscoveryTable{N: len(queries), Users: len(users), Ks: ks, Ms: ms, Seed: opt.Seed,
		Resamples: cmp.Or(opt.Resamples, metric.DefaultResamples)}
	var first [][]float64
	for s, name := range names {
		cols, err := shares(lists[s], ages, ks, ms)
		if err != nil {
			return nil, fmt.Errorf("discovery rates of %s: %w", name, err)
		}
		row := DiscoveryRow{Name: name}
		if row.Rates, err = grid(boot, cols, len(ms)); err != nil {
			return nil, fmt.Errorf("discovery rates of %s: %w", name, err)
		}
		for _, list := range lists[s] {
			if len(list) < slices.Max(ks) {
				row.Short++
			}
		}
		if s == 0 {
			first = cols
		} else if row.Paired, err = grid(boot, minus(cols, first), len(ms)); err != nil {
			return nil, fmt.Errorf("discovery rates of %s against %s: %w", name, names[0], err)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func checkDiscovery(names []string, lists [][][]int32, queries []poi.Query, ks, ms []int) error {
	switch {
	case len(queries) == 0:
		return fmt.Errorf("%w: no queries", poi.ErrEmpty)
	case len(names) == 0:
		return fmt.Errorf("%w: no systems", poi.ErrEmpty)
	case len(lists) != len(names):
		return fmt.Errorf("%w: lists of %d systems, %d names", poi.ErrBadInput, len(lists), len(names))
	}
	for s := range lists {
		if len(lists[s]) != len(queries) {
			return fmt.Errorf("%w: %s has %d lists for %d queries", poi.ErrBadInput, names[s], len(lists[s]), len(queries))
		}
	}
	for _, c := range []struct {
		what string
		v    []int
		most int
	}{{"lengths of lists", ks, maxListed}, {"numbers of days", ms, maxDays}} {
		if len(c.v) == 0 || len(c.v) > maxCells {
			return fmt.Errorf("%w: %d %s, want 1 to %d", poi.ErrBadInput, len(c.v), c.what, maxCells)
		}
		for _, x := range c.v {
			if x < 1 || x > c.most {
				return fmt.Errorf("%w: %d among the %s, want 1 to %d", poi.ErrBadInput, x, c.what, c.most)
			}
		}
	}
	return nil
}

const dayMS = 86_400_000

// activeDaysSince numbers the user's active days backwards from 1, as far as most,
// and gives each place of them the number of the latest day it was acted on.
func activeDaysSince(history []poi.Visit, most int) (map[int32]int, error) {
	ages := map[int32]int{}
	number, last := 0, int64(0)
	for i := len(history) - 1; i >= 0; i-- {
		v := &history[i]
		local := v.TimeMS + int64(v.OffsetMin)*60_000
		day := local / dayMS
		if local%dayMS < 0 {
			day-- // before 1970: days end at midnight there too
		}
		switch {
		case number > 0 && day > last:
			return nil, fmt.Errorf("%w: visit %d of the history is on a later local day than the one after it; sort histories by local time", poi.ErrBadInput, i)
		case number == 0 || day < last:
			if number++; number > most {
				return ages, nil
			}
			last = day
		}
		if _, known := ages[v.POI]; !known {
			ages[v.POI] = number
		}
	}
	return ages, nil
}

// shares returns, for each k and then each m, the share of new places by query.
func shares(lists [][]int32, ages []map[int32]int, ks, ms []int) ([][]float64, error) {
	cols := make([][]float64, len(ks)*len(ms))
	for c := range cols {
		cols[c] = make([]float64, len(lists))
	}
	for i, list := range lists {
		seen := make(map[int32]bool, len(list))
		for rank, p := range list {
			if seen[p] {
				return nil, fmt.Errorf("query %d: %w: POI %d twice in its list, again at rank %d", i, poi.ErrBadInput, p, rank+1)
			}
			seen[p] = true
		}
		for a, k := range ks {
			top := list[:min(k, len(list))]
			for b, m := range ms {
				fresh := 0
				for _, p := range top {
					if age, known := ages[i][p]; !known || age > m {
						fresh++
					}
				}
				cols[a*len(ms)+b][i] = float64(fresh) / float64(max(len(top), 1))
			}
		}
	}
	return cols, nil
}

// grid returns the intervals of columns as rows of the given width.
func grid(boot metric.Bootstrap, cols [][]float64, width int) ([][]Value, error) {
	intervals, err := boot.Means(cols)
	if err != nil {
		return nil, err
	}
	values := make([]Value, len(intervals))
	for i, v := range intervals {
		values[i] = Value(v)
	}
	return slices.Collect(slices.Chunk(values, width)), nil
}

func minus(a, b [][]float64) [][]float64 {
	out := make([][]float64, len(a))
	for c := range a {
		out[c] = make([]float64, len(a[c]))
		for i := range a[c] {
			out[c][i] = a[c][i] - b[c][i]
		}
	}
	return out
}

// lines returns the head and the body of the table as cells.
func (t *DiscoveryTable) table() *table.Table {
	head := []string{"system", "k"}
	for _, m := range t.Ms {
		head = append(head, fmt.Sprintf("D(k, %d)", m))
	}
	out := &table.Table{Caption: t.caption(), Head: head}
	add := func(name string, values [][]Value) {
		for i, row := range values {
			cells := []string{name, fmt.Sprint(t.Ks[i])}
			for _, v := range row {
				cells = append(cells, ranged(v))
			}
			out.Body = append(out.Body, cells)
		}
	}
	for _, r := range t.Rows {
		add(r.Name, r.Rates)
		add(r.Name+" minus "+t.Rows[0].Name, r.Paired)
	}
	return out
}

func (t *DiscoveryTable) caption() string {
	s := fmt.Sprintf("discovery rate D(k, m), the share of the first k places not visited in the past m active days: n=%d of %d users; "+
		"[95 %% intervals], %d resamples of users, bootstrap seed %d", t.N, t.Users, t.Resamples, t.Seed)
	for _, r := range t.Rows {
		if r.Short > 0 {
			s += fmt.Sprintf("; %d lists of %s are shorter than %d", r.Short, r.Name, slices.Max(t.Ks))
		}
	}
	return s
}

// WriteText prints the table aligned, for a terminal.
func (t *DiscoveryTable) WriteText(w io.Writer) error { return t.table().Text(w) }

// WriteMarkdown prints the table as Markdown.
func (t *DiscoveryTable) WriteMarkdown(w io.Writer) error { return t.table().Markdown(w) }

// WriteJSON prints the table as indented JSON.
func (t *DiscoveryTable) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(t); err != nil {
		return fmt.Errorf("write discovery rates as JSON: %w", err)
	}
	return nil
}
