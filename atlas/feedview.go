package atlas

import (
	"fmt"
	"strings"

	"github.com/whereto/whereto/sheet"
)

// least is how many shown places a bar or a dot of the impressions needs.
const least = 20

// feedFigures draw the impressions; none if there are none.
func feedFigures(f *Feed) []*figure {
	if f.Requests == 0 {
		return nil
	}
	figures := []*figure{positionFigure(f), hourFigure(f), demandFigure(f)}
	if c := calibrationFigure(f); c != nil {
		figures = append(figures, c)
	}
	return figures
}

// feedTiles are the headline figures of the impressions.
func feedTiles(f *Feed) []tile {
	if f.Requests == 0 {
		return nil
	}
	tiles := []tile{
		{"requests", sheet.Count(f.Requests), fmt.Sprintf("%s places each", sheet.Trim(ratio(f.Options, f.Requests), 3))},
		{"click rate", sheet.Percent(ratio(f.Clicks, f.Options)), fmt.Sprintf("%s clicks on %s places", sheet.Count(f.Clicks), sheet.Count(f.Options))},
		{"without a click", sheet.Percent(ratio(f.NoClick, f.Requests)), fmt.Sprintf("all clicked: %s", sheet.Percent(ratio(f.AllClicked, f.Requests)))},
	}
	if click, relevance, ok := f.BayesAUC(); ok {
		tiles = append(tiles, tile{"best possible AUC", sheet.Trim(click, 4), fmt.Sprintf("%s without the position", sheet.Trim(relevance, 4))})
	}
	return tiles
}

// positionFigure draws the click rate by position of display; with the truth,
// beside what it would be had people looked at every place.
func positionFigure(f *Feed) *figure {
	clicks := series{name: "clicked", class: "s1"}
	relevance := series{name: "true relevance: clicked had all been looked at", class: "s2"}
	for i, c := range f.ByPosition {
		if c.Shown < least {
			continue
		}
		clicks.x, clicks.y = append(clicks.x, float64(i+1)), append(clicks.y, c.rate())
		if c.Known > 0 {
			relevance.x, relevance.y = append(relevance.x, float64(i+1)), append(relevance.y, c.Relevance/float64(c.Known))
		}
	}
	all := []series{clicks}
	lead := "Share of shown places that were clicked."
	if len(relevance.x) > 0 {
		all = append(all, relevance)
		lead += " The distance between the lines is the position bias."
	}
	return lines("positions", "Clicks by position", lead, "position in the list", scale{label: whole, at: positionMarks}, scale{label: sheet.Percent, zero: true}, all)
}

// hourFigure draws the click rate by local hour.
func hourFigure(f *Feed) *figure {
	clicks := series{name: "clicked", class: "s1"}
	for hour, c := range f.ByHour {
		if c.Shown >= least {
			clicks.x, clicks.y = append(clicks.x, float64(hour)), append(clicks.y, c.rate())
		}
	}
	return lines("feedhours", "Clicks by hour", "Share of shown places that were clicked, by local hour of the request.", "local hour",
		scale{label: whole, at: hourMarks}, scale{label: sheet.Percent, zero: true}, []series{clicks})
}

// demandFigure draws when people ask.
func demandFigure(f *Feed) *figure {
	asked := series{name: "shown", class: "s1"}
	for hour, c := range f.ByHour {
		asked.x, asked.y = append(asked.x, float64(hour)), append(asked.y, ratio(c.Shown, f.Options))
	}
	return lines("demand", "Requests by hour", "Share of all shown places, by local hour of the request.", "local hour",
		scale{label: whole, at: hourMarks}, scale{label: sheet.Percent, zero: true}, []series{asked})
}

// positionMarks are the positions marked on an axis.
var positionMarks = []float64{1, 5, 10, 15, 20}

func whole(x float64) string { return sheet.Trim(x, 2) }

// calibrationFigure holds what was clicked against the true probability; nil if
// that is unknown.
func calibrationFigure(f *Feed) *figure {
	got := series{name: "clicked", class: "s1", dots: true}
	ideal := series{name: "as it should be", class: "s0"}
	for _, c := range f.Calibration {
		if c.Shown >= least {
			p := c.Click / float64(c.Known)
			got.x, got.y = append(got.x, p), append(got.y, c.rate())
			ideal.x, ideal.y = append(ideal.x, p), append(ideal.y, p)
		}
	}
	if len(got.x) == 0 {
		return nil
	}
	return lines("calibration", "True probability and clicks", fmt.Sprintf("Twentieths of the true click probability with %d places and more.", least),
		"true probability of a click", scale{label: sheet.Percent, zero: true}, scale{label: sheet.Percent, zero: true}, []series{ideal, got})
}

// feedNote says why there is no block of impressions.
func feedNote(f *Feed) string {
	if f.Requests > 0 {
		return ""
	}
	return "There are no impressions. A city has them if its settings ask for some (impressions), a folder if it holds a file of them."
}

// sentence joins words with commas and an "and".
func sentence(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
