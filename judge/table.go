package judge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// table has two lines a judge, in the form of the paper's Table 5.
type table struct {
	caption string
	head    []string
	body    [][]string
}

func newTable(results []*Result) (*table, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("table of judges: %w: no results", poi.ErrEmpty)
	}
	first := results[0]
	t := &table{head: []string{"judge", "level", "win", "even", "lose", "win - lose", "swayed"}}
	var about []string
	for _, r := range results {
		if r.A != first.A || r.B != first.B {
			return nil, fmt.Errorf("table of judges: %w: %s against %s and %s against %s in one table; print two", poi.ErrBadInput, first.A, first.B, r.A, r.B)
		}
		about = append(about, fmt.Sprintf("%s: n=%d, %d failed, %d identical, suits %s and %s, %d resamples of users, seed %d",
			r.Judge, r.Cases-r.Failed, r.Failed, r.Identical, percent(r.FitsA), percent(r.FitsB), r.Resamples, r.Seed))
		for _, level := range []struct {
			name   string
			s      Shares
			swayed int
		}{{"system", r.System, r.SwayedSystem}, {"POI", r.POI, r.SwayedPOI}} {
			t.body = append(t.body, []string{r.Judge, level.name, percent(level.s.Win), percent(level.s.Even), percent(level.s.Lose), percent(level.s.Net), fmt.Sprint(level.swayed)})
		}
	}
	t.caption = fmt.Sprintf("%s against %s, %% of cases [95 %% intervals]; %s", first.A, first.B, strings.Join(about, "; "))
	return t, nil
}

func percent(v metric.Interval) string {
	return fmt.Sprintf("%.1f [%.1f, %.1f]", 100*v.Value, 100*v.Lo, 100*v.Hi)
}

// WriteTable prints results of several judges on the same two systems as aligned
// text.
func WriteTable(w io.Writer, results ...*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	lines := append([][]string{t.head}, t.body...)
	widths := make([]int, len(t.head))
	for _, line := range lines {
		for c, cell := range line {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, t.caption)
	for _, line := range lines {
		var b strings.Builder
		for c, cell := range line {
			fmt.Fprintf(&b, "%-*s  ", widths[c], cell)
		}
		fmt.Fprintln(out, strings.TrimRight(b.String(), " "))
	}
	return out.Flush()
}

// WriteMarkdown prints what WriteTable does as a Markdown table.
func WriteMarkdown(w io.Writer, results ...*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\n\n", t.caption)
	line := func(cells []string) {
		for _, cell := range cells {
			fmt.Fprintf(out, "| %s ", strings.ReplaceAll(cell, "|", `\|`))
		}
		fmt.Fprintln(out, "|")
	}
	line(t.head)
	fmt.Fprintln(out, "|---|---"+strings.Repeat("|---:", len(t.head)-2)+"|")
	for _, cells := range t.body {
		line(cells)
	}
	return out.Flush()
}

// WriteJSON prints a result with its rows as indented JSON.
func WriteJSON(w io.Writer, r *Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the result of judge %s as JSON: %w", r.Judge, err)
	}
	return nil
}
