package atlas

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/sheet"
)

// page is all that the templates show.
type page struct {
	Title    string
	Facts    []Fact
	Tiles    []tile
	Maps     []*figure // the main town, the overview, the others
	Parts    []*figure
	Weeks    []*figure
	Laws     []*figure
	Versus   string // name of the reference
	Verdict  string
	Compared *grid
	Days     []dayView
	Cards    []cardView
	FeedNote string
	Feed     []tile
	Clicks   []*figure
}

// tile is a headline figure.
type tile struct{ Name, Value, Below string }

// dayView is a Day as a strip and a list.
type dayView struct {
	Who, Likes, Date string
	Ticks            []sheet.Tick
	Dots             []dot
	Steps            []stepView
}

type stepView struct{ Time, Name, What, Class, Note string }

// cardView is a Card ready to show.
type cardView struct {
	Name, Category, Address, Stays, Class string
	Image                                 template.URL
	Tags, Attributes                      []string
	Reviews                               []string
	Closed                                bool
}

// layOut makes the page of a valid Input.
func layOut(in *Input) *page {
	if len(in.Towns) == 0 {
		in.Towns = townsOf(in.Places)
		nameTowns(in.Towns, in.Quarters)
	}
	colours := paletteOf(in.Laws)
	p := &page{Title: in.Title, Facts: in.Facts, Tiles: tilesOf(in), Parts: partFigures(in), Laws: lawFigures(in),
		FeedNote: feedNote(&in.Feed), Feed: feedTiles(&in.Feed), Clicks: feedFigures(&in.Feed)}
	for number := range in.Towns {
		p.Maps = append(p.Maps, townMap(in, number, colours))
		if number == 0 {
			if all := overview(in); all != nil {
				p.Maps = append(p.Maps, all)
			}
		}
	}
	p.Weeks = []*figure{weekFigure("week", in.Laws)}
	if in.Reference != nil {
		p.Weeks = append(p.Weeks, weekFigure("week2", in.Reference))
		p.Versus = in.Reference.Name
		p.Weeks = append(p.Weeks, hoursFigure(in))
		p.Verdict, p.Compared = compared(in)
	}
	p.Weeks = append(p.Weeks, mixFigure(in, colours))
	for _, d := range in.Days {
		p.Days = append(p.Days, dayOf(d, colours))
	}
	for _, c := range in.Cards {
		p.Cards = append(p.Cards, cardOf(c, colours))
	}
	return p
}

func tilesOf(in *Input) []tile {
	l := in.Laws
	return []tile{
		{"people", sheet.Count(l.People), fmt.Sprintf("median %s stays each", sheet.Trim(l.Visits.Median(), 3))},
		{"stays", sheet.Count(l.Stays), fmt.Sprintf("in %s days", sheet.Trim(l.Days, 3))},
		{"places visited", sheet.Count(l.Places), fmt.Sprintf("median %s a person", sheet.Trim(l.Distinct.Median(), 3))},
		{"median trip", sheet.Distance(l.Trip.Median()), "radius of gyration " + sheet.Distance(l.Gyration.Median())},
		{"returns", sheet.Percent(l.ReturnShare), "of stays are where the person has been"},
	}
}

// compared is the table of differences to the reference, and the count of those
// within bounds.
func compared(in *Input) (verdict string, g *grid) {
	g = &grid{Head: []string{"law", in.Laws.Name, in.Reference.Name, "JS", "KS", "shape", "agrees", "bound", "note"}}
	agree, bound := 0, 0
	defined := func(x float64) string {
		if x == mobility.Undefined {
			return ""
		}
		return fmt.Sprintf("%.3f", x)
	}
	for _, d := range mobility.Compare(in.Laws, in.Reference) {
		word := ""
		if d.Bound != "" {
			bound++
			if word = "no"; d.Agrees {
				word = "yes"
				agree++
			}
		}
		g.Rows = append(g.Rows, []string{d.Law, sheet.Trim(d.A, 4), sheet.Trim(d.B, 4), defined(d.JS), defined(d.KS), defined(d.Shape), word, d.Bound, d.Note})
	}
	return fmt.Sprintf("%d of %d laws with a bound agree.", agree, bound), g
}

// fromAfar says in a word what an action that is no stay was.
var fromAfar = map[string]string{"search": "looked up", "click": "clicked", "favourite": "saved"}

// dayStrip is the length of a day's strip in user units, from dayLeft on.
const dayStrip, dayLeft = 440, 14

func dayOf(d Day, colours palette) dayView {
	v := dayView{Who: d.Who, Date: d.Date}
	if len(d.Likes) > 0 {
		v.Likes = "likes " + sentence(d.Likes)
	}
	x := sheet.Axis{Lo: 0, Hi: 24 * 60, From: dayLeft, To: dayLeft + dayStrip}
	for hour := 0; hour <= 24; hour += 6 {
		v.Ticks = append(v.Ticks, sheet.Tick{At: x.At(float64(60 * hour)), Label: fmt.Sprintf("%02d", hour)})
	}
	for _, s := range d.Steps {
		class := colours.of(s.Category)
		radius := sheet.Px(6)
		note := ""
		if !mobility.IsStay(s.Type) {
			radius, note = 3.5, cmp.Or(fromAfar[s.Type], s.Type)
		}
		v.Dots = append(v.Dots, dot{X: x.At(float64(s.Minute)), Y: 12, R: radius, Class: class})
		_, leaf, nested := strings.Cut(s.Category, " > ")
		if !nested {
			leaf = s.Category
		}
		v.Steps = append(v.Steps, stepView{Time: fmt.Sprintf("%02d:%02d", s.Minute/60, s.Minute%60), Name: s.Name, What: leaf, Class: class, Note: note})
	}
	return v
}

// shownReviews is how many reviews a card shows.
const shownReviews = 2

func cardOf(c Card, colours palette) cardView {
	v := cardView{Name: c.Place.Name, Category: c.Place.Category, Address: c.Details.Address, Stays: sheet.Count(c.Stays),
		Class: colours.of(c.Place.Category), Image: dataURL(c.Details.Image), Tags: c.Details.Tags, Attributes: c.Attributes,
		Closed: c.Place.Closed, Reviews: c.Details.Reviews}
	if v.Name == "" {
		v.Name = c.Place.ID
	}
	v.Reviews = v.Reviews[:min(len(v.Reviews), shownReviews)]
	return v
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
