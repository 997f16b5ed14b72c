package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/whereto/whereto/align"
	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/judge"
	"github.com/whereto/whereto/metric"
)

// listReport is what `eval --on lists -o json` prints.
type listReport struct {
	Split       string           `json:"split"`
	Fingerprint string           `json:"fingerprint"`    // of the data
	Feed        string           `json:"feed,omitempty"` // fingerprint of the impressions
	Rows        int              `json:"rows"`           // moments of a kind, at most
	Top         int              `json:"top"`            // length of the lists
	Seeds       int              `json:"seeds"`          // trainings of each system
	Systems     []listSystem     `json:"systems"`
	Moments     []listMoments    `json:"moments"`
	Hits        []*eval.HitTable `json:"hits"`
	Discovery   []listDiscovery  `json:"discovery"`
	Moved       []listMoved      `json:"moved,omitempty"`
	Judged      []*judge.Result  `json:"judged,omitempty"`
}

// listSystem is a recipe with its runs, one a seed.
type listSystem struct {
	Name string   `json:"name"`
	Runs []string `json:"runs"`
}

// listMoments says how many moments of a kind there are and how many were asked.
type listMoments struct {
	Name string `json:"name"`
	N    int    `json:"n"`
	Of   int    `json:"of"`
}

// listDiscovery is the discovery rates at moments of one kind.
type listDiscovery struct {
	Moments string `json:"moments"`
	*eval.DiscoveryTable
}

// listMoved is what the rules say of two systems.
type listMoved struct {
	Name    string `json:"name"`
	Against string `json:"against"`
	Moments string `json:"moments"`
	*align.Movement
}

// write prints the report.
func (r *listReport) write(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, r)
	}
	if _, err := fmt.Fprintln(w, r.caption()); err != nil {
		return err
	}
	markdown := format == "markdown"
	for _, t := range r.tables(markdown) {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := t(w); err != nil {
			return err
		}
	}
	return nil
}

// tables are the writers of all tables in order.
func (r *listReport) tables(markdown bool) []func(io.Writer) error {
	var out []func(io.Writer) error
	add := func(title string, text, marked func(io.Writer) error) {
		write := text
		if markdown {
			write = marked
		}
		out = append(out, func(w io.Writer) error {
			if title != "" {
				if _, err := fmt.Fprint(w, title+": "); err != nil {
					return err
				}
			}
			return write(w)
		})
	}
	for _, t := range r.Hits {
		add("", t.WriteText, t.WriteMarkdown)
	}
	for _, t := range r.Discovery {
		add(t.Moments, t.WriteText, t.WriteMarkdown)
	}
	for _, t := range r.Moved {
		add(fmt.Sprintf("%s after %s, %s", t.Name, t.Against, t.Moments), t.WriteText, t.WriteMarkdown)
	}
	for _, j := range r.Judged {
		add("", func(w io.Writer) error { return judge.WriteTable(w, j) }, func(w io.Writer) error { return judge.WriteMarkdown(w, j) })
	}
	return out
}

func (r *listReport) caption() string {
	var kinds []string
	for _, m := range r.Moments {
		kinds = append(kinds, fmt.Sprintf("%s: %d of %d moments, evenly spaced", m.Name, m.N, m.Of))
	}
	seeds := "1 training"
	if r.Seeds > 1 {
		seeds = fmt.Sprintf("mean of %d trainings", r.Seeds)
	}
	return fmt.Sprintf("lists of %d places, %s: %s; %s of each system; intervals draw users, %d resamples; data %.12s",
		r.Top, r.Split, strings.Join(kinds, "; "), seeds, metric.DefaultResamples, r.Fingerprint)
}
