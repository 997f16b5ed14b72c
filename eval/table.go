package eval

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/table"
)

// ErrMixed is returned for results that must not share a table.
var ErrMixed = errors.New("results are not comparable")

// WriteTable prints the results as one aligned text table: the main rows, then
// each floor once, under a line with the split, n, the bootstrap and the data's
// fingerprint. It refuses results of different data, protocol, split or n, and
// floors that differ between results, with ErrMixed.
func WriteTable(w io.Writer, results []*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	return t.Text(w)
}

// WriteMarkdown prints what WriteTable does as a Markdown table.
func WriteMarkdown(w io.Writer, results []*Result) error {
	t, err := newTable(results)
	if err != nil {
		return err
	}
	return t.Markdown(w)
}

// WriteJSON prints one result as indented JSON (docs: `eval -o json`).
func WriteJSON(w io.Writer, r *Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the result of %s as JSON: %w", r.Name, err)
	}
	return nil
}

// WritePredictions prints one JSON object a line, the format of
// predictions-<split>.jsonl.
func WritePredictions(w io.Writer, preds []Prediction) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for i, p := range preds {
		if err := enc.Encode(p); err != nil {
			return fmt.Errorf("write prediction %d of user %s: %w", i, p.User, err)
		}
	}
	return out.Flush()
}

func newTable(results []*Result) (*table.Table, error) {
	if len(results) == 0 {
		return nil, fmt.Errorf("table: %w: no results", poi.ErrEmpty)
	}
	mains := 0
	for _, r := range results {
		if err := mixed(results[0], r); err != nil {
			return nil, err
		}
		if r.Name != "" {
			mains++
		}
	}
	floors, err := mergeFloors(results)
	if err != nil {
		return nil, err
	}
	t := &table.Table{Caption: caption(results, floors), Head: []string{"scorer", "Acc@1", "Acc@5", "Acc@10", "MRR", "return Acc@1", "discovery Acc@10", "among new Acc@10", "km P50"}}
	paired := mains == 1 && len(floors) > 0
	if paired {
		t.Head = append(t.Head, "behind by, Acc@1", "behind by, among new Acc@10")
	}
	for _, r := range results {
		if r.Name == "" {
			continue
		}
		name := r.Name
		if mains > 1 && r.Run != "" {
			name = r.Run
		}
		cells := cellsOf(name, r.Row)
		if paired {
			cells = append(cells, "", "")
		}
		t.Body = append(t.Body, cells)
	}
	for _, f := range floors {
		cells := cellsOf(f.name, f.row)
		if paired {
			cells = append(cells, ranged(f.row.Paired), pairedFresh(f.row))
		}
		t.Body = append(t.Body, cells)
	}
	return t, nil
}

// mixed reports why two results must not share a table.
func mixed(a, b *Result) error {
	for _, f := range []struct{ what, a, b string }{
		{"data fingerprint", a.Fingerprint, b.Fingerprint}, {"protocol", a.Protocol, b.Protocol},
		{"split", a.Split, b.Split}, {"n", fmt.Sprint(a.N), fmt.Sprint(b.N)}} {
		if f.a != f.b {
			return fmt.Errorf("table of %q and %q: %w: %s is %q and %q; evaluate both on the same data and split, or print two tables",
				cmp.Or(a.Run, a.Name), cmp.Or(b.Run, b.Name), ErrMixed, f.what, f.a, f.b)
		}
	}
	return nil
}

type namedRow struct {
	name string
	row  Row
}

// mergeFloors lists every floor once, best Acc@1 first. The same floor on the
// same rows has one value; two mean that the code changed between the runs.
func mergeFloors(results []*Result) ([]namedRow, error) {
	merged := map[string]Row{}
	for _, r := range results {
		for name, row := range r.Floors {
			old, ok := merged[name]
			for metric, v := range row.Metrics {
				if ok && old.Metrics[metric].Value != v.Value {
					return nil, fmt.Errorf("table: %w: floor %s has %s %v in one result and %v in another; evaluate all of them again with one version",
						ErrMixed, name, metric, old.Metrics[metric].Value, v.Value)
				}
			}
			if !ok {
				merged[name] = row
			}
		}
	}
	var out []namedRow
	for name, row := range merged {
		out = append(out, namedRow{name, row})
	}
	slices.SortFunc(out, func(a, b namedRow) int {
		return cmp.Or(cmp.Compare(b.row.Metrics["acc@1"].Value, a.row.Metrics["acc@1"].Value), cmp.Compare(a.name, b.name))
	})
	return out, nil
}

func caption(results []*Result, floors []namedRow) string {
	r := results[0]
	row := r.Row
	if r.Name == "" && len(floors) > 0 {
		row = floors[0].row
	}
	var seeds, draws []string
	for _, r := range results {
		unit := "rows"
		if r.ByUser {
			unit = "users"
		}
		seeds = append(seeds, fmt.Sprint(r.Seed))
		draws = append(draws, fmt.Sprintf("%d resamples of %s", r.Resamples, unit))
	}
	return fmt.Sprintf("%s, %s: n=%d (returns %d, discovery %d); [95 %% intervals], %s, bootstrap seed %s; data %.12s",
		r.Protocol, r.Split, r.N, row.Returns.N, row.Discovery.N, distinct(draws), distinct(seeds), r.Fingerprint)
}

func distinct(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func cellsOf(name string, r Row) []string {
	return []string{name, cell(r.Metrics, "acc@1"), short(r.Metrics, "acc@5"), short(r.Metrics, "acc@10"), cell(r.Metrics, "mrr"),
		short(r.Returns.Metrics, "acc@1"), cell(r.Discovery.Metrics, "acc@10"), cell(r.Fresh.Metrics, "acc@10"), fmt.Sprintf("%.2f", r.Distance.P50/1000)}
}

// cell prints a metric with its interval, "-" if the part has no rows.
func cell(m Metrics, name string) string {
	if v, ok := m[name]; ok {
		return ranged(v)
	}
	return "-"
}

// pairedFresh prints the paired difference of discoveries among new places, "-"
// if there are none or the result is older than the figure.
func pairedFresh(r Row) string {
	if len(r.Fresh.Metrics) == 0 {
		return "-"
	}
	return ranged(r.PairedFresh)
}

// short prints a metric without its interval.
func short(m Metrics, name string) string {
	if v, ok := m[name]; ok {
		return number(v.Value)
	}
	return "-"
}

func ranged(v Value) string {
	return fmt.Sprintf("%s [%s, %s]", number(v.Value), number(v.Lo), number(v.Hi))
}

// number prints four places without the leading zero, as the field's tables do.
func number(x float64) string {
	s := fmt.Sprintf("%.4f", x)
	if rest, ok := strings.CutPrefix(s, "-0."); ok {
		return "-." + rest
	}
	if rest, ok := strings.CutPrefix(s, "0."); ok {
		return "." + rest
	}
	return s
}
