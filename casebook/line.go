package casebook

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

// line is the time line of past actions: one bar an action, evenly spaced, above
// the axis what spoke for the place.
type line struct {
	Bars      []bar
	Marks     []mark
	Above     sheet.Px // per cent of the height above the axis
	High, Low string
}

type bar struct {
	Side   string
	Height sheet.Px // per cent of its half
	Tip    string
	Own    bool // an action at the explained place
}

// mark is a date under the line.
type mark struct {
	At    sheet.Px // per cent of the width
	Text  string
	Minor bool // left out on a phone
}

// listed is how many actions of either side are listed; marks how many dates the
// line has at most.
const (
	listed = 6
	marks  = 8
)

func lineOf(c *Case) *line {
	if len(c.Actions) == 0 {
		return nil
	}
	high, low := 0.0, 0.0
	for _, a := range c.Actions {
		high, low = max(high, a.Delta), min(low, a.Delta)
	}
	l := &line{Above: 50, High: signed(high), Low: signed(low)}
	if high-low > 0 {
		// Neither half is so thin that it cannot be pointed at.
		l.Above = sheet.Px(min(85, max(15, 100*high/(high-low))))
	}
	for i := range c.Actions {
		a := &c.Actions[i]
		b := bar{Side: side(a.Delta), Own: a.Place.ID == c.Place.ID,
			Tip: fmt.Sprintf("%s\n%s, %s\n%s: %s", nameOf(a.Place), whenOf(a), a.Type, leaf(a.Place.Category), signed(a.Delta))}
		switch {
		case a.Delta > 0 && high > 0:
			b.Height = sheet.Px(100 * a.Delta / high)
		case a.Delta < 0 && low < 0:
			b.Height = sheet.Px(100 * a.Delta / low)
		}
		l.Bars = append(l.Bars, b)
	}
	l.Marks = marksOf(c.Actions)
	return l
}

func whenOf(a *Action) string {
	return poi.LocalTime(a.TimeMS, a.OffsetMin).Format("Mon 2006-01-02 15:04")
}

// marksOf dates the line at evenly spaced actions, each day once.
func marksOf(actions []Action) []mark {
	n := min(marks, len(actions))
	var out []mark
	last := ""
	for k := range n {
		i := k * len(actions) / n
		text := poi.LocalTime(actions[i].TimeMS, actions[i].OffsetMin).Format("2 Jan")
		if text == last {
			continue
		}
		last = text
		out = append(out, mark{At: sheet.Px(100 * float64(i) / float64(len(actions))), Text: text, Minor: k%3 != 0})
	}
	return out
}

// actionsOf lists the actions: the strongest of either side, and all by time.
func actionsOf(c *Case) (speaks, not, all []actionView) {
	largest := 0.0
	for _, a := range c.Actions {
		largest = max(largest, math.Abs(a.Delta))
	}
	order := make([]int, len(c.Actions))
	for i := range c.Actions {
		a := &c.Actions[i]
		order[i] = i
		v := actionView{Name: nameOf(a.Place), What: leaf(a.Place.Category), When: whenOf(a), Type: a.Type, Delta: signed(a.Delta), Side: side(a.Delta)}
		if largest > 0 {
			v.Bar = sheet.Px(100 * math.Abs(a.Delta) / largest)
		}
		all = append(all, v)
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Compare(math.Abs(c.Actions[j].Delta), math.Abs(c.Actions[i].Delta))
	})
	for _, i := range order {
		switch v := all[i]; {
		case v.Side == "for" && len(speaks) < listed:
			speaks = append(speaks, v)
		case v.Side == "against" && len(not) < listed:
			not = append(not, v)
		}
	}
	return speaks, not, all
}

func actionsNote(c *Case) string {
	if len(c.Actions) == 0 {
		return "The person had done nothing before this request."
	}
	first, end := c.Actions[0], time.UnixMilli(c.TimeMS)
	days := end.Sub(time.UnixMilli(first.TimeMS)).Hours() / 24
	return fmt.Sprintf("%d actions over %s days, the oldest at the left. A bar is what the logit loses when that one action is taken out: +0.7 doubles the odds of a click.", len(c.Actions), sheet.Trim(days, 2))
}
