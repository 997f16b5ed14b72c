package eval

import (
	"fmt"
	"io"

	"github.com/whereto/whereto/table"
)

// WriteText prints the hit rates as an aligned text table.
func (t *HitTable) WriteText(w io.Writer) error { return t.table().Text(w) }

// WriteMarkdown prints the hit rates as a Markdown table.
func (t *HitTable) WriteMarkdown(w io.Writer) error { return t.table().Markdown(w) }

// table lays out a line for each system: its hit rates, then the differences to the
// first system, if there are others.
func (t *HitTable) table() *table.Table {
	out := &table.Table{Head: []string{"system"}, Caption: fmt.Sprintf("hits, %s: n=%d of %d users; [95 %% intervals], %d resamples of users, bootstrap seed %d",
		t.Hunt, t.N, t.Users, t.Resamples, t.Seed)}
	for _, k := range t.Ks {
		out.Head = append(out.Head, fmt.Sprintf("HR@%d", k))
	}
	if len(t.Rows) > 1 {
		for _, k := range t.Ks {
			out.Head = append(out.Head, fmt.Sprintf("HR@%d minus %s", k, t.Rows[0].Name))
		}
	}
	for i, row := range t.Rows {
		cells := []string{row.Name}
		for _, k := range t.Ks {
			cells = append(cells, ranged(row.HR[fmt.Sprintf("hr@%d", k)]))
		}
		for _, k := range t.Ks[:len(out.Head)-1-len(t.Ks)] {
			cell := ""
			if i > 0 {
				cell = ranged(row.Paired[fmt.Sprintf("hr@%d", k)])
			}
			cells = append(cells, cell)
		}
		out.Body = append(out.Body, cells)
	}
	return out
}
