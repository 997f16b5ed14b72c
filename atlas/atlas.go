// Package atlas draws a simulated city, or any log, as one self-contained HTML
// page to look at: towns and places, the rhythm of the week, the laws of its
// mobility beside those of a reference, days of people, places with text and
// image, and what its impressions say of the click model.
//
// Words. An Input is all a page shows. A Gather makes one from people given one
// at a time, so it serves a city in memory and a folder alike; OfCity is the
// short way for a city. A group is the first level of a category path. Parts of
// the day are the four of DayParts.
//
// Promises. A page is a pure function of its Input: no date, no random number.
// It asks the network for nothing and its content security policy says so; it
// reads without JavaScript, in light and dark mode, on a phone and on a screen.
// Every text is escaped, and an image is shown only if it is a small PNG or JPEG.
// What the Input has not got is left out or told in a sentence.
//
// Failure. Write returns an error that wraps poi.ErrBadInput for an Input that
// cannot be drawn, or the error of the writer. Nothing is written before the
// Input is known to be good.
package atlas

import (
	"bytes"
	"embed"
	"fmt"
	"io"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

// Limits of a page; what is beyond them is sampled or refused.
const (
	MaxTowns = 12      // drawn; Input may not have more
	MaxDays  = 12      // of people
	MaxCards = 24      // of places
	maxDots  = 6000    // places drawn per map
	maxImage = 1 << 18 // bytes
)

// Input is what a page shows. Only Title and Laws must be there.
type Input struct {
	Title string
	Facts []Fact // settings or origin, in order

	Places   []poi.Place // the catalogue, or an even sample of it
	Towns    []Town      // the main one first; nil: found from Places
	Quarters []Quarter   // neighbourhoods to name on the map, the largest first
	Spots    []Spot      // where and when people were

	Laws      *mobility.Laws
	Reference *mobility.Laws // nil: none

	Days  []Day
	Cards []Card
	Feed  Feed
}

// Fact is a line of the page's head.
type Fact struct{ Name, Value string }

// Town is a settlement.
type Town struct {
	Name     string // may be empty
	Lat, Lng float64
	RadiusKM float64
	Places   int
}

// Quarter is a neighbourhood of a town.
type Quarter struct {
	Name     string
	Town     string // may be empty
	Lat, Lng float64
}

// Spot is a place people were at, with stays by part of the day.
type Spot struct {
	Lat, Lng float64
	Stays    [4]int
}

// DayParts names the parts of a day; each is the six local hours from the hour
// of dayStarts.
var DayParts = [4]string{"night, 0 to 6", "morning, 6 to 12", "afternoon, 12 to 18", "evening, 18 to 24"}

// partOf returns the part of the day of a local hour.
func partOf(hour int) int { return hour / 6 }

// Day is what one person did on one day.
type Day struct {
	Who   string // for example "student, 18-24"
	Likes []string
	Date  string
	Steps []Step
}

// Step is one action of a Day.
type Step struct {
	Minute   int // local, after midnight, 0 to 1439
	Name     string
	Category string // path
	Type     string // of the action
}

// Card is one place with all that is known of it.
type Card struct {
	Place      poi.Place
	Details    poi.Details
	Attributes []string // true hidden ones
	Stays      int
}

//go:embed *.html
var files embed.FS

var pages = sheet.Parse(files)

// Write writes the page.
func Write(w io.Writer, in Input) error {
	if err := in.validate(); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, "page.html", layOut(&in)); err != nil {
		return fmt.Errorf("atlas: draw %s: %w", in.Title, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("atlas: write the page of %s: %w", in.Title, err)
	}
	return nil
}

// validate reports the first thing that cannot be drawn.
func (in *Input) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("atlas: "+format+": %w", append(args, poi.ErrBadInput)...)
	}
	switch {
	case in.Laws == nil || in.Laws.Stays == 0:
		return bad("the input %q has no laws; measure the log first", in.Title)
	case len(in.Towns) > MaxTowns:
		return bad("%d towns, at most %d can be drawn", len(in.Towns), MaxTowns)
	case len(in.Days) > MaxDays || len(in.Cards) > MaxCards:
		return bad("%d days and %d cards, at most %d and %d can be shown", len(in.Days), len(in.Cards), MaxDays, MaxCards)
	}
	on := func(what, name string, lat, lng float64) error {
		if err := geo.Valid(lat, lng); err != nil {
			return bad("%s %q: %w", what, name, err)
		}
		return nil
	}
	for _, p := range in.Places {
		if err := on("place", p.ID, p.Lat, p.Lng); err != nil {
			return err
		}
	}
	for _, t := range in.Towns {
		if err := on("town", t.Name, t.Lat, t.Lng); err != nil {
			return err
		}
	}
	for _, q := range in.Quarters {
		if err := on("neighbourhood", q.Name, q.Lat, q.Lng); err != nil {
			return err
		}
	}
	for _, s := range in.Spots {
		if err := on("spot", "", s.Lat, s.Lng); err != nil {
			return err
		}
	}
	for _, d := range in.Days {
		for _, s := range d.Steps {
			if s.Minute < 0 || s.Minute >= 24*60 {
				return bad("a step of %q at minute %d of a day", d.Who, s.Minute)
			}
		}
	}
	return nil
}
