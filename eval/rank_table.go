package eval

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/whereto/whereto/table"
)

// WriteText prints the result as an aligned text table.
func (r *RankResult) WriteText(w io.Writer) error { return r.table().Text(w) }

// WriteMarkdown prints the result as a Markdown table.
func (r *RankResult) WriteMarkdown(w io.Writer) error { return r.table().Markdown(w) }

// WriteJSON prints the result as indented JSON.
func (r *RankResult) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the ranking result as JSON: %w", err)
	}
	return nil
}

// table lays out the rows. Columns that no row has are left out.
func (r *RankResult) table() *table.Table {
	t := &table.Table{Caption: r.caption(), Head: []string{"ranker", "AUC", "GAUC", "HR@1", "NDCG@5"}}
	var losses, known, unknown bool
	for _, row := range r.Rows {
		losses, known, unknown = losses || row.LogLoss != nil, known || row.Closed != nil, unknown || row.ClosedUnknown != nil
	}
	optional := []struct {
		head  string
		shown bool
		of    func(row RankRow) *Value
	}{
		{"log loss", losses, func(row RankRow) *Value { return row.LogLoss }},
		{"", len(r.Rows) > 1, func(row RankRow) *Value { return &row.Gain }},
		{"gap closed, position known", known, func(row RankRow) *Value { return row.Closed }},
		{"gap closed, position unknown", unknown, func(row RankRow) *Value { return row.ClosedUnknown }},
	}
	if len(r.Rows) > 0 {
		optional[1].head = "AUC over " + r.Rows[0].Name
	}
	if r.Seeds > 1 {
		t.Head = append(t.Head, "AUC sd of seeds")
	}
	for _, o := range optional {
		if o.shown {
			t.Head = append(t.Head, o.head)
		}
	}
	for i, row := range r.Rows {
		cells := []string{row.Name, ranged(row.AUC), ranged(row.GAUC), number(row.HR1.Value), number(row.NDCG.Value)}
		if r.Seeds > 1 {
			sd := number(row.SD)
			if row.Ceiling {
				sd = ""
			}
			cells = append(cells, sd)
		}
		for k, o := range optional {
			if !o.shown {
				continue
			}
			cell := ""
			if v := o.of(row); v != nil && !(k == 1 && i == 0) {
				cell = ranged(*v)
				if k == 0 {
					cell = number(v.Value)
				}
			}
			cells = append(cells, cell)
		}
		t.Body = append(t.Body, cells)
	}
	return t
}

func (r *RankResult) caption() string {
	seeds := "1 training"
	if r.Seeds > 1 {
		seeds = fmt.Sprintf("mean of %d trainings", r.Seeds)
	}
	return fmt.Sprintf("ranking, %s: %d options of %d requests of %d users, %d clicked; [95 %% intervals], %d resamples of users, bootstrap seed %d; %s of each ranker; feed %.12s",
		r.Split, r.Options, r.Requests, r.Users, r.Clicks, r.Resamples, r.Seed, seeds, r.Fingerprint)
}
