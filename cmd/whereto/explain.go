package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/casebook"
	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/tune"
)

var _ = register(newExplainCmd)

// asking is what the flags of `whereto explain` ask.
type asking struct {
	request, place, against, out string
	tag                          poi.Tag
	from                         runFlags
}

// newExplainCmd returns `whereto explain`: which past actions and which text moved
// the score of a place.
func newExplainCmd() *cobra.Command {
	var ask asking
	part, output := &enum{poi.Test.String(), []string{poi.Validation.String(), poi.Test.String()}}, newOutputFlag()
	cmd := &cobra.Command{
		Use:   "explain RUN",
		Short: "Show which past actions and which text of a place moved its score",
		Long: "Show why a run of the rank stage gave a place its score: every past action and every\n" +
			"piece of the place's text, and its image, is taken away once, and the delta is what the\n" +
			"logit of the click loses. Prints a table and writes a self-contained HTML page.\n\n" +
			"Without --request it takes a telling case: a clicked place that RUN ranks much higher\n" +
			"than RUN2 does, or than popularity does, and among such cases the one in which a\n" +
			"single piece of text, or without text a single action, spoke the loudest. Clicks that\n" +
			"a simulated log knows to be mere chance are passed over.",
		Example: "  whereto explain runs/city-rank-s1\n" +
			"  whereto explain runs/city-rank-s1 --request r00012-3 --poi p000815 --against runs/city-plain-s1 --out case.html",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask.out == "" {
				ask.out = filepath.Join(args[0], "case.html")
			}
			ask.tag = tagOf(part.value)
			if err := checkRanks(args[0]); err != nil {
				return err
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			found, err := explain(cmd, backend, args[0], &ask)
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), found)
			}
			return found.write(cmd.OutOrStdout())
		},
	}
	ask.from.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&ask.request, "request", "", "id of an impression, of any part (default: a telling case)")
	f.StringVar(&ask.place, "poi", "", "id of the place to explain; with --request it need not have been shown (default: the clicked one that RUN ranks highest)")
	f.StringVar(&ask.against, "against", "", "run of any stage whose scores stand beside (default: popularity)")
	f.Var(part, "split", "where to look for a telling case: validation or test")
	f.StringVar(&ask.out, "out", "", "page to write (default RUN/case.html)")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// checkRanks refuses a run of another stage before anything is loaded.
func checkRanks(dir string) error {
	r, err := run.Open(dir)
	if err != nil {
		return err
	}
	rec, err := fit.Recipe(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if stage := rec.Tune.Stage; stage != spacetime.StageRank {
		what := "of stage " + stage
		if stage == "" {
			what = "of pre-training"
		}
		return fmt.Errorf("%s is a run %s: %w; explain takes one of stage rank, which scores a place beside the history: train it with `whereto finetune rank`", dir, what, poi.ErrBadInput)
	}
	return nil
}

// explain finds the case, explains it and writes the page.
func explain(cmd *cobra.Command, backend compute.Backend, dir string, ask *asking) (out *explained, err error) {
	ctx, say := cmd.Context(), sayTo(cmd)
	t, err := tune.Open(ctx, dir, ask.from.options(cmd, backend), tuneOptions(cmd, backend))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	c := &caseFinder{cmd: cmd, backend: backend, t: t, ask: ask, dir: dir}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	q, place, err := c.find()
	if err != nil {
		return nil, err
	}
	if q.Tag != poi.Train {
		if err := noteRead(t.Base.Run, q.Tag.String()); err != nil {
			return nil, err
		}
	}
	why, err := c.explainer.Explain(ctx, q, place)
	if err != nil {
		return nil, err
	}
	page, err := c.page(q, place, why)
	if err != nil {
		return nil, err
	}
	if err := file.Write(ask.out, func(w io.Writer) error { return casebook.Write(w, *page) }); err != nil {
		return nil, err
	}
	say("wrote " + ask.out)
	return summary(&page.Cases[0], why, dir, ask.out), nil
}

// explained is what `explain -o json` prints.
type explained struct {
	Run         string       `json:"run"`
	Page        string       `json:"page"`
	Request     string       `json:"request"`
	Who         string       `json:"who"`
	When        string       `json:"when"` // local time
	POI         string       `json:"poi"`
	Name        string       `json:"name"`
	Category    string       `json:"category"`
	Clicked     *bool        `json:"clicked"` // null: was not shown
	Probability float64      `json:"probability"`
	Logit       float64      `json:"logit"`
	Shown       int          `json:"shown"`
	Rank        int          `json:"rank,omitempty"` // among those shown, from 1
	Against     string       `json:"against"`
	OtherRank   int          `json:"against_rank,omitempty"`
	Click       *float64     `json:"true_click,omitempty"`
	Relevance   *float64     `json:"true_relevance,omitempty"`
	Attributes  []string     `json:"attributes,omitempty"`
	Likes       []string     `json:"likes,omitempty"`
	Actions     []tune.Cause `json:"actions"`
	Parts       []tune.Cause `json:"parts"`

	moments []string // of Actions, for the table
}

// summary is the short form of a case.
func summary(c *casebook.Case, why *tune.Explanation, dir, page string) *explained {
	e := &explained{Run: dir, Page: page, Request: c.Request, Who: c.Who, When: localText(c.TimeMS, c.OffsetMin), POI: c.Place.ID, Name: c.Place.Name,
		Category: c.Place.Category, Probability: logistic(why.Score), Logit: why.Score, Shown: len(c.Options), Against: c.Against,
		Attributes: c.Attributes, Likes: c.Likes, Actions: why.Actions, Parts: why.Parts}
	for _, o := range c.Options {
		if o.Place.ID != c.Place.ID {
			continue
		}
		e.Clicked, e.Rank, e.OtherRank = &o.Clicked, 1, 1
		for _, x := range c.Options {
			if x.Score > o.Score {
				e.Rank++
			}
			if x.Other > o.Other {
				e.OtherRank++
			}
		}
		if o.Click != casebook.Unknown {
			e.Click, e.Relevance = &o.Click, &o.Relevance
		}
	}
	older := c.Before
	for _, a := range why.Actions {
		x := c.Actions[a.At-older]
		e.moments = append(e.moments, localText(x.TimeMS, x.OffsetMin)+", "+x.Type)
	}
	return e
}

// topCauses is how many causes of a kind the table shows.
const topCauses = 8

func (e *explained) write(out io.Writer) error {
	clicked := "not shown"
	if e.Clicked != nil {
		clicked = map[bool]string{true: "clicked", false: "not clicked"}[*e.Clicked]
	}
	fmt.Fprintf(out, "request %s: %s, %s\nplace %s (%s), %s; %s\nprobability of a click %.3f, logit %+.3f\n", e.Request, e.Who, e.When, e.Name, e.POI, e.Category, clicked, e.Probability, e.Logit)
	if e.Rank > 0 {
		fmt.Fprintf(out, "rank %d of %d; by %s %d\n", e.Rank, e.Shown, e.Against, e.OtherRank)
	}
	if e.Click != nil {
		fmt.Fprintf(out, "true probability %.3f, had he looked %.3f\n", *e.Click, *e.Relevance)
	}
	if len(e.Attributes)+len(e.Likes) > 0 {
		fmt.Fprintf(out, "hidden truth: the place has %v, the person likes %v\n", e.Attributes, e.Likes)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ndelta\tpast action\twhen")
	for i, c := range e.Actions[:min(topCauses, len(e.Actions))] {
		fmt.Fprintf(w, "%+.3f\t%s\t%s\n", c.Delta, c.Label, e.moments[i])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(e.Parts) > 0 {
		fmt.Fprintln(w, "\ndelta\tpart\ttext")
	}
	for _, c := range e.Parts[:min(topCauses, len(e.Parts))] {
		fmt.Fprintf(w, "%+.3f\t%s\t%s\n", c.Delta, c.Kind, shorten(c.Label, 90))
	}
	return w.Flush()
}

// shorten cuts a text to n characters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + " ..."
	}
	return s
}
