package casebook

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

// page is all that the templates show.
type page struct {
	Title string
	Facts []Fact
	Cases []caseView
}

// caseView is a Case ready to show.
type caseView struct {
	ID, Title, Lead string
	Tiles           []tile
	Facts           []Fact
	Map             *chart
	Run, Against    string
	Truths          bool // a column of true probabilities
	Options         []optionView
	OptionsNote     string
	Line            *line
	For, Not        []actionView // the strongest of either side
	All             []actionView
	ActionsNote     string
	Text            *textView
	Hidden          []hidden
}

// tile is a headline figure.
type tile struct{ Name, Value, Below string }

// optionView is a row of the candidates.
type optionView struct {
	Rank, OtherRank   int
	Name, What        string
	Score, Other      string
	ScoreBar          sheet.Px // per cent of the column
	OtherBar          sheet.Px
	Clicked, Explains bool
	Truth             string
}

// actionView is an action in a list.
type actionView struct {
	Name, What, When, Type string
	Delta, Side            string
	Bar                    sheet.Px // per cent of the largest
}

// textView is what the place shows, shaded.
type textView struct {
	Name, Address piece
	Category      string
	Tags, Reviews []piece
	Image         template.URL
	Picture       piece // share of the image
	Together      piece
	Seen          bool // the ranker reads it: there are deltas
	Note          string
}

// piece is a text with its delta. Ink is how strongly it is shaded, 0 to 1.
type piece struct {
	Text, Delta, Side string
	Ink               sheet.Px
	Told              bool // there is a delta
}

// hidden is a truth of the simulated log.
type hidden struct {
	Name   string
	Values []hiddenValue
}

type hiddenValue struct {
	Text   string
	Shared bool // the place has it and the person likes it
}

func layOut(p *Page) *page {
	out := &page{Title: p.Title, Facts: p.Facts}
	for i := range p.Cases {
		out.Cases = append(out.Cases, viewOf(&p.Cases[i], i))
	}
	return out
}

func viewOf(c *Case, number int) caseView {
	v := caseView{ID: fmt.Sprintf("case%d", number+1), Run: c.Run, Against: c.Against, Map: mapOf(c)}
	v.Title = nameOf(c.Place)
	v.Options, v.Truths = optionsOf(c)
	if len(c.Options) == 0 {
		v.OptionsNote = "What else was shown is not known."
	}
	v.Tiles, v.Lead = headline(c, v.Options)
	v.Facts = factsOf(c)
	v.Line = lineOf(c)
	v.For, v.Not, v.All = actionsOf(c)
	v.ActionsNote = actionsNote(c)
	v.Text = textOf(c)
	v.Hidden = hiddenOf(c)
	return v
}

func nameOf(p poi.Place) string { return cmp.Or(p.Name, p.ID) }

// leaf is the last level of a category path.
func leaf(category string) string {
	if i := strings.LastIndex(category, " > "); i >= 0 {
		return category[i+3:]
	}
	return category
}

// ranks are places in a list from 1, best first; equal scores share the better one.
func ranks(scores []float64) []int {
	out := make([]int, len(scores))
	for i, x := range scores {
		out[i] = 1
		for _, y := range scores {
			if y > x {
				out[i]++
			}
		}
	}
	return out
}

// scaleOf maps scores to per cent of a bar: from zero, or from the least where some
// are below zero.
func scaleOf(scores []float64) func(float64) sheet.Px {
	lo, hi := 0.0, 0.0
	if len(scores) > 0 {
		hi = slices.Max(scores)
		if least := slices.Min(scores); least < 0 {
			lo = least
		}
	}
	return func(x float64) sheet.Px {
		if hi <= lo {
			return 0
		}
		return sheet.Px(100 * (x - lo) / (hi - lo))
	}
}

func optionsOf(c *Case) (rows []optionView, truths bool) {
	var own, other []float64
	for _, o := range c.Options {
		own, other = append(own, o.Score), append(other, o.Other)
	}
	ownRank, otherRank := ranks(own), ranks(other)
	ownBar, otherBar := scaleOf(own), scaleOf(other)
	for i, o := range c.Options {
		r := optionView{Rank: ownRank[i], Name: nameOf(o.Place), What: leaf(o.Place.Category), Score: sheet.Percent(o.Score), ScoreBar: ownBar(o.Score),
			Clicked: o.Clicked, Explains: o.Place.ID == c.Place.ID}
		if c.HasUser {
			r.What += ", " + sheet.Distance(geo.Metres(c.Lat, c.Lng, o.Place.Lat, o.Place.Lng))
		}
		if c.Against != "" {
			r.OtherRank, r.Other, r.OtherBar = otherRank[i], sheet.Trim(o.Other, 3), otherBar(o.Other)
		}
		if o.Click != Unknown {
			r.Truth, truths = sheet.Percent(o.Click), true
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b optionView) int { return cmp.Compare(a.Rank, b.Rank) })
	return rows, truths
}

// headline is what the case says at a glance.
func headline(c *Case, rows []optionView) ([]tile, string) {
	tiles := []tile{{"probability of a click", sheet.Percent(sigmoid(c.Logit)), "logit " + signed(c.Logit) + ", by " + c.Run}}
	at := slices.IndexFunc(rows, func(r optionView) bool { return r.Explains })
	if at < 0 {
		return tiles, "It was not shown at this request: the score is what it would have had."
	}
	r := rows[at]
	tiles = append(tiles, tile{"rank by " + c.Run, fmt.Sprint(r.Rank), fmt.Sprintf("of %d shown", len(rows))})
	if c.Against != "" {
		tiles = append(tiles, tile{"rank by " + c.Against, fmt.Sprint(r.OtherRank), "score " + r.Other})
	}
	lead := "It was shown and passed over."
	if r.Clicked {
		lead = "It was shown and clicked."
	}
	for _, o := range c.Options {
		if o.Place.ID != c.Place.ID || o.Click == Unknown {
			continue
		}
		t := tile{"true click probability", sheet.Percent(o.Click), "where it was shown"}
		if o.Relevance != Unknown {
			t.Below += "; " + sheet.Percent(o.Relevance) + " had he looked"
		}
		tiles = append(tiles, t)
	}
	return tiles, lead
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// factsOf is who, when and where.
func factsOf(c *Case) []Fact {
	facts := []Fact{{"request", c.Request}, {"who", cmp.Or(c.Who, "not known")},
		{"when", poi.LocalTime(c.TimeMS, c.OffsetMin).Format("Mon 2006-01-02, 15:04") + " local time"}}
	where := "not known"
	if c.HasUser {
		where = fmt.Sprintf("%.4f, %.4f; %s from the place", c.Lat, c.Lng, sheet.Distance(geo.Metres(c.Lat, c.Lng, c.Place.Lat, c.Place.Lng)))
	}
	return append(facts, Fact{"where", where}, Fact{"past actions", pastOf(c)})
}

func pastOf(c *Case) string {
	s := fmt.Sprint(len(c.Actions))
	if c.Before > 0 {
		s += fmt.Sprintf(" in the window, %d older", c.Before)
	}
	return s
}

// pieces finds deltas of parts and the largest one.
func (c *Case) pieces() (find func(kind string, at int, text string) piece) {
	largest := 0.0
	for _, p := range c.Parts {
		if p.Kind != All {
			largest = max(largest, math.Abs(p.Delta))
		}
	}
	return func(kind string, at int, text string) piece {
		out := piece{Text: cut(text), Side: "none"}
		for _, p := range c.Parts {
			if p.Kind != kind || (kind == Tag || kind == Review) && p.At != at {
				continue
			}
			out.Delta, out.Side, out.Told = signed(p.Delta), side(p.Delta), true
			if largest > 0 {
				out.Ink = sheet.Px(100 * min(1, math.Abs(p.Delta)/largest))
			}
		}
		return out
	}
}

func textOf(c *Case) *textView {
	find, d := c.pieces(), c.Details
	v := &textView{Name: find(Name, 0, nameOf(c.Place)), Address: find(Address, 0, d.Address), Category: c.Place.Category,
		Image: dataURL(d.Image), Picture: find(Image, 0, ""), Together: find(All, 0, ""), Seen: len(c.Parts) > 0}
	for i, tag := range d.Tags {
		v.Tags = append(v.Tags, find(Tag, i, tag))
	}
	for i, review := range d.Reviews {
		v.Reviews = append(v.Reviews, find(Review, i, review))
	}
	if !v.Seen {
		v.Note = c.Run + " sees neither the text nor the image: it knows the place by its number, category and position only."
	}
	return v
}

// hiddenOf is what only a simulated log knows.
func hiddenOf(c *Case) []hidden {
	var out []hidden
	add := func(name string, values, others []string) {
		if len(values) == 0 {
			return
		}
		h := hidden{Name: name}
		for _, x := range values {
			h.Values = append(h.Values, hiddenValue{x, slices.Contains(others, x)})
		}
		out = append(out, h)
	}
	add("the place has", c.Attributes, c.Likes)
	add("the person likes", c.Likes, c.Attributes)
	return out
}

// dataURL returns an image as a URL that holds it; "" for anything but a PNG or
// JPEG of a sensible size.
func dataURL(image []byte) template.URL {
	kind := http.DetectContentType(image)
	if len(image) == 0 || len(image) > maxImage || kind != "image/png" && kind != "image/jpeg" {
		return ""
	}
	var b bytes.Buffer
	b.WriteString("data:" + kind + ";base64,")
	b.WriteString(base64.StdEncoding.EncodeToString(image))
	return template.URL(b.String()) // of characters that we chose
}
