package judge

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/table"
)

// newTable has two lines a judge, in the form of the paper's Table 5.
func newTable(results []*Result) (*table.Table, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("table of judges: %w: no results", poi.ErrEmpty)
	}
	first := results[0]
	t := &table.Table{Left: 2, Head: []string{"judge", "level", "win", "even", "lose", "win - lose", "swayed"}}
	var about []string
	for _, r := range results {
		if r.A != first.A || r.B != first.B {
			return nil, fmt.Errorf("table of judges: %w: %s against %s and %s against %s in one table; print two", poi.ErrBadInput, first.A, first.B, r.A, r.B)
		}
		about = append(about, fmt.Sprintf("%s: n=%d, %d failed, %d identical, suits %s and %s, %d resamples of users, seed %d",
			r.Judge, r.Cases-r.Failed, r.Failed, r.Identical, r.FitsA.Percent(), r.FitsB.Percent(), r.Resamples, r.Seed))
		for _, level := range []struct {
			name   string
			s      Shares
			swayed int
		}{{"system", r.System, r.SwayedSystem}, {"POI", r.POI, r.SwayedPOI}} {
			t.Body = append(t.Body, []string{r.Judge, level.name, level.s.Win.Percent(), level.s.Even.Percent(), level.s.Lose.Percent(), level.s.Net.Percent(), fmt.Sprint(level.swayed)})
		}
	}
	t.Caption = fmt.Sprintf("%s against %s, %% of cases [95 %% intervals]; %s", first.A, first.B, strings.Join(about, "; "))
	return t, nil
}

// WriteTable prints results of several judges on the same two systems as aligned
// text.
func WriteTable(w io.Writer, results ...*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	return t.Text(w)
}

// WriteMarkdown prints what WriteTable does as a Markdown table.
func WriteMarkdown(w io.Writer, results ...*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	return t.Markdown(w)
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
