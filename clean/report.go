package clean

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/whereto/whereto/poi"
)

// Step is one row of the cleansing report, like the paper's Table 2.
type Step struct {
	Name      string `json:"step"`
	Sequences int    `json:"sequences"`
	Actions   int    `json:"actions"`
	// Removed is the share of the previous row's actions that this step took
	// away, in [0, 1]; 0 in the first row.
	Removed float64 `json:"removed"`
}

// Report says what cleansing did. Steps are "coarse data", "action level" and
// "sequence level"; after the first, sequences and actions count interest-based
// ones only, as in the paper.
type Report struct {
	Steps []Step `json:"steps"`
	// Status counts actions by status; SingleRuns and MultiSequences are the
	// sizes of D_single and D_multi.
	Status         StatusCount `json:"status"`
	SingleRuns     int         `json:"single_runs"`
	MultiSequences int         `json:"multi_sequences"`
}

// StatusCount counts actions by status.
type StatusCount struct {
	Local     int `json:"local"`
	PreTravel int `json:"pre_travel"`
	InTravel  int `json:"in_travel"`
}

// Add appends a row and computes its share removed.
func (r *Report) Add(name string, sequences, actions int) {
	s := Step{Name: name, Sequences: sequences, Actions: actions}
	if n := len(r.Steps); n > 0 && r.Steps[n-1].Actions > 0 {
		s.Removed = 1 - float64(actions)/float64(r.Steps[n-1].Actions)
	}
	r.Steps = append(r.Steps, s)
}

// Count adds one sequence's statuses to the report.
func (r *Report) Count(visits []poi.Visit) {
	for _, v := range visits {
		switch v.Status {
		case poi.Local:
			r.Status.Local++
		case poi.PreTravel:
			r.Status.PreTravel++
		case poi.InTravel:
			r.Status.InTravel++
		}
	}
	r.SingleRuns += len(Single(visits))
	if Multi(visits) {
		r.MultiSequences++
	}
}

// WriteText writes the report as a table for people.
func (r Report) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "Filtering step\tSequences\tActions\tRemoved")
	for i, s := range r.Steps {
		removed := "-"
		if i > 0 {
			removed = fmt.Sprintf("%.1f %%", 100*s.Removed)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%s\n", s.Name, s.Sequences, s.Actions, removed)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the cleansing report: %w", err)
	}
	_, err := fmt.Fprintf(w, "Status: %d local, %d pre-travel, %d in-travel; D_single %d runs, D_multi %d sequences\n",
		r.Status.Local, r.Status.PreTravel, r.Status.InTravel, r.SingleRuns, r.MultiSequences)
	if err != nil {
		return fmt.Errorf("write the cleansing report: %w", err)
	}
	return nil
}

// Sequences cleans users in place, with the tally of training visits as the
// only statistic that crosses users: Intent, then richness, then Status. It
// returns the users that stay, their order kept.
func Sequences(cfg Config, users []poi.User, places []poi.Place, types []string) ([]poi.User, Report) {
	var rep Report
	tally := NewTally(cfg, len(places), types)
	actions := 0
	for _, u := range users {
		actions += len(u.Visits)
		for _, v := range u.Visits {
			if v.Tag == poi.Train {
				tally.Add(v)
			}
		}
	}
	rep.Add("coarse data", len(users), actions)

	functional := Functional(cfg, places, tally)
	sequences, actions := 0, 0
	keptSequences, keptActions := 0, 0
	kept := make([]poi.User, 0, len(users))
	for _, u := range users {
		n := Intent(u.Visits, functional)
		if n > 0 {
			sequences++
			actions += n
		}
		if cfg.MinRichness > 0 {
			if r, _ := Richness(u.Visits); r < cfg.MinRichness {
				continue
			}
		}
		Label(cfg, u.Visits, places)
		rep.Count(u.Visits)
		kept = append(kept, u)
		if n > 0 {
			keptSequences++
			keptActions += n
		}
	}
	rep.Add("+ action level", sequences, actions)
	rep.Add("+ sequence level", keptSequences, keptActions)
	return kept, rep
}
