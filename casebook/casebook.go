// Package casebook draws why a place got its score, as one self-contained HTML
// page (paper section 5.2, RQ3 and Figure 5): the request, what else was shown,
// which past actions and which piece of the place's text and image moved the
// score, and, where a simulated log knows them, the truths behind it.
//
// Words. A case is one request with one explained place. A delta is what the
// logit of the click loses when something is taken away: an action, a piece of
// text, the image. Above zero it spoke for the place, below against it. An
// Against score is that of a second ranker on the same candidates.
//
// Promises. A page is a pure function of its Page: no date, no random number. It
// asks the network for nothing and its content security policy says so; it reads
// without JavaScript, in light and dark mode, on a phone and on a screen; beside
// every colour stands its number. Every text is escaped, and an image is shown
// only if it is a small PNG or JPEG. What a case has not got is left out or told
// in a sentence.
//
// Failure. Write returns an error that wraps poi.ErrBadInput for a Page that
// cannot be drawn, or the error of the writer. Nothing is written before the Page
// is known to be good.
package casebook

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

// Limits of a page.
const (
	MaxCases   = 50
	MaxOptions = 1024 // of a case
	MaxActions = 4096
	MaxParts   = 1024
	maxImage   = 1 << 18 // bytes
	maxText    = 2000    // characters of a text; the rest is cut with a mark
)

// Unknown is a probability that nobody knows, as in poi.Shown.
const Unknown = -1

// Page is one or several cases.
type Page struct {
	Title string
	Facts []Fact // of the runs and their data, in order
	Cases []Case
}

// Fact is a line of the page's head.
type Fact struct{ Name, Value string }

// Case is why Place got its score at a request.
type Case struct {
	Request   string   // its id
	Who       string   // profile in words, for example "student, 18-24"; may be empty
	Likes     []string // his true tastes; only a simulated log knows them
	TimeMS    int64
	OffsetMin int16
	HasUser   bool // Lat and Lng are where he was
	Lat, Lng  float64

	Run     string   // who gave Score
	Against string   // who gave Other; "" if there is none
	Options []Option // in the order of display

	Place      poi.Place // explained; may be one that was not shown
	Details    poi.Details
	Attributes []string // of Place, true and hidden; only a simulated log knows them
	Logit      float64
	Actions    []Action // of the window, chronological
	Before     int      // actions older than the window
	Parts      []Part   // nil: the ranker sees neither text nor image
}

// Option is one candidate that was shown.
type Option struct {
	Place   poi.Place
	Clicked bool
	Score   float64 // probability of a click
	Other   float64 // of the second ranker, in its own unit
	// Click and Relevance are true probabilities as in poi.Shown, or Unknown.
	Click, Relevance float64
}

// Action is something the person did, with what it did to the score.
type Action struct {
	Place     poi.Place
	TimeMS    int64
	OffsetMin int16
	Type      string
	Delta     float64
}

// Kinds of parts.
const (
	Name    = "name"
	Address = "address"
	Tag     = "tags"
	Review  = "review"
	Image   = "image"
	All     = "all text and image"
)

// Part is a piece of what the place shows of itself. Parts are found on the page
// by Kind and At.
type Part struct {
	Kind  string
	At    int // of a tag or a review: its position in Details
	Delta float64
}

//go:embed *.html
var files embed.FS

var pages = sheet.Parse(files)

// Write writes the page.
func Write(w io.Writer, p Page) error {
	if err := p.validate(); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "page.html", layOut(&p)); err != nil {
		return fmt.Errorf("casebook: draw %s: %w", p.Title, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("casebook: write the page %s: %w", p.Title, err)
	}
	return nil
}

// validate reports the first thing that cannot be drawn.
func (p *Page) validate() error {
	if len(p.Cases) == 0 || len(p.Cases) > MaxCases {
		return fmt.Errorf("casebook: the page %q has %d cases, want 1 to %d: %w", p.Title, len(p.Cases), MaxCases, poi.ErrBadInput)
	}
	for i := range p.Cases {
		if err := p.Cases[i].validate(); err != nil {
			return fmt.Errorf("casebook: case %d, request %q: %w: %w", i+1, p.Cases[i].Request, err, poi.ErrBadInput)
		}
	}
	return nil
}

func (c *Case) validate() error {
	switch {
	case len(c.Options) > MaxOptions || len(c.Actions) > MaxActions || len(c.Parts) > MaxParts:
		return fmt.Errorf("%d options, %d actions, %d parts; at most %d, %d and %d are drawn", len(c.Options), len(c.Actions), len(c.Parts), MaxOptions, MaxActions, MaxParts)
	case !finite(c.Logit):
		return fmt.Errorf("the logit is %v", c.Logit)
	case c.Before < 0:
		return fmt.Errorf("%d actions before the window", c.Before)
	}
	if c.HasUser {
		if err := geo.Valid(c.Lat, c.Lng); err != nil {
			return fmt.Errorf("position of the person: %w", err)
		}
	}
	if err := located(c.Place); err != nil {
		return err
	}
	for _, o := range c.Options {
		if err := located(o.Place); err != nil {
			return err
		}
		switch {
		case !(o.Score >= 0 && o.Score <= 1):
			return fmt.Errorf("score of %s is %v, want a probability", o.Place.ID, o.Score)
		case !finite(o.Other):
			return fmt.Errorf("second score of %s is %v", o.Place.ID, o.Other)
		case !truth(o.Click) || !truth(o.Relevance):
			return fmt.Errorf("true probabilities of %s are %v and %v, want 0 to 1, or -1 for unknown", o.Place.ID, o.Click, o.Relevance)
		}
	}
	for i, a := range c.Actions {
		if err := located(a.Place); err != nil {
			return err
		}
		if !finite(a.Delta) {
			return fmt.Errorf("delta of action %d is %v", i, a.Delta)
		}
	}
	for _, part := range c.Parts {
		if !finite(part.Delta) {
			return fmt.Errorf("delta of the %s is %v", part.Kind, part.Delta)
		}
		if part.Kind == Tag && (part.At < 0 || part.At >= len(c.Details.Tags)) || part.Kind == Review && (part.At < 0 || part.At >= len(c.Details.Reviews)) {
			return fmt.Errorf("there is no %s %d", part.Kind, part.At)
		}
	}
	return nil
}

func located(p poi.Place) error {
	if err := geo.Valid(p.Lat, p.Lng); err != nil {
		return fmt.Errorf("place %q: %w", p.ID, err)
	}
	return nil
}

func truth(x float64) bool { return x == Unknown || x >= 0 && x <= 1 }

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
