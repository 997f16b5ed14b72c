package atlas

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

const (
	// dayFrom is how many stays, dayTo how many actions a day has that is shown.
	dayFrom, dayTo = 4, 10
	shownDays      = 6
	shownCards     = 9
)

// Gather makes an Input from people given one at a time. It is not safe for
// concurrent use. What it keeps grows with people and visited places, not with
// actions.
type Gather struct {
	title string
	laws  *mobility.Collector
	spots map[string]*spot
	days  map[string]Day // the fullest day of each kind of person
	kinds map[string]int // people of each kind
	feed  Feed
	types map[string]int
	users int
}

// spot is a Spot with what cards need.
type spot struct {
	Spot
	id, category string
	stays        int
}

// NewGather returns a Gather for a log of that title.
func NewGather(title string) *Gather {
	return &Gather{title: title, laws: mobility.NewCollector(), spots: map[string]*spot{}, days: map[string]Day{},
		kinds: map[string]int{}, types: map[string]int{}}
}

// Person adds one person: all his actions. likes are his true hidden tastes, if
// they are known. On an error nothing of him is counted.
func (g *Gather) Person(profile poi.Profile, likes []string, actions []poi.Action) error {
	if err := g.laws.Add(actions); err != nil {
		return err
	}
	for i := range actions {
		g.action(&actions[i])
	}
	g.day(profile, likes, actions)
	g.users++
	return nil
}

// Impression adds an impression; it is not kept.
func (g *Gather) Impression(im *poi.Impression) { g.feed.add(im) }

// action counts where and when.
func (g *Gather) action(a *poi.Action) {
	kind := a.Type
	if kind == "" {
		kind = "unnamed"
	}
	g.types[kind]++
	if !mobility.IsStay(a.Type) {
		return
	}
	s := g.spots[a.POI]
	if s == nil {
		s = &spot{Spot: Spot{Lat: a.Lat, Lng: a.Lng}, id: a.POI, category: a.Category}
		g.spots[a.POI] = s
	}
	s.Stays[partOf(poi.LocalTime(a.TimeMS, a.OffsetMin).Hour())]++
	s.stays++
}

// day keeps the person's fullest day if none of his kind was fuller.
func (g *Gather) day(profile poi.Profile, likes []string, actions []poi.Action) {
	kind := profile.Occupation
	if kind == "" {
		kind = "person " + strconv.Itoa(1+g.users%shownDays)
	}
	g.kinds[kind]++
	byDate := map[string][]poi.Action{}
	for _, a := range actions {
		date := poi.LocalTime(a.TimeMS, a.OffsetMin).Format("Mon 2006-01-02")
		byDate[date] = append(byDate[date], a)
	}
	best := g.days[kind]
	for _, date := range slices.Sorted(maps.Keys(byDate)) {
		own := byDate[date]
		if n := stays(own); n < dayFrom || n <= best.stays() || len(own) > dayTo {
			continue
		}
		slices.SortStableFunc(own, func(a, b poi.Action) int { return cmp.Compare(a.TimeMS, b.TimeMS) })
		best = Day{Who: strings.Trim(kind+", "+profile.AgeBand, ", "), Date: date, Likes: likes}
		if len(likes) == 0 {
			best.Likes = profile.Tags
		}
		for _, a := range own {
			local := poi.LocalTime(a.TimeMS, a.OffsetMin)
			best.Steps = append(best.Steps, Step{Minute: 60*local.Hour() + local.Minute(), Name: cmp.Or(a.Name, a.POI), Category: a.Category, Type: a.Type})
		}
	}
	if len(best.Steps) > 0 {
		g.days[kind] = best
	}
}

// stays counts the stays among actions.
func stays(actions []poi.Action) (n int) {
	for i := range actions {
		if mobility.IsStay(actions[i].Type) {
			n++
		}
	}
	return n
}

// stays counts those of a Day.
func (d Day) stays() (n int) {
	for _, s := range d.Steps {
		if mobility.IsStay(s.Type) {
			n++
		}
	}
	return n
}

// Input returns the page's input: laws, spots, days and feed, and the commonest
// facts. The caller adds places, towns and cards. The Gather must not be used
// afterwards.
func (g *Gather) Input() (Input, error) {
	laws, err := g.laws.Laws(g.title)
	if err != nil {
		return Input{}, err
	}
	in := Input{Title: g.title, Laws: laws, Feed: g.feed, Days: g.chosenDays()}
	for _, id := range slices.Sorted(maps.Keys(g.spots)) {
		in.Spots = append(in.Spots, g.spots[id].Spot)
	}
	var kinds []string
	total := 0
	for _, kind := range byCount(g.types) {
		kinds = append(kinds, fmt.Sprintf("%s %s", kind, sheet.Count(g.types[kind])))
		total += g.types[kind]
	}
	in.Facts = []Fact{{"people looked at", sheet.Count(g.users)}, {"actions", sheet.Count(total)}, {"by type", strings.Join(kinds, ", ")}}
	return in, nil
}

// byCount lists keys, the greatest count first.
func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// chosenDays are days of the commonest kinds of people, of different ages first.
func (g *Gather) chosenDays() []Day {
	var out, more []Day
	ages := map[string]bool{}
	for _, kind := range byCount(g.kinds) {
		d, ok := g.days[kind]
		if !ok {
			continue
		}
		_, age, _ := strings.Cut(d.Who, ", ")
		if ages[age] {
			more = append(more, d)
			continue
		}
		ages[age] = true
		out = append(out, d)
	}
	out = append(out, more...)
	return out[:min(len(out), shownDays)]
}

// dull are groups of which a card would say little.
var dull = []string{"Home", "Work", mobility.Other}

// Popular returns the ids of well visited places for cards: the most visited of
// every group of categories, the groups with the most stays first, then the
// second most visited, and so on; n at most. Homes and workplaces are left out.
func (g *Gather) Popular(n int) []string {
	stays, byGroup := map[string]int{}, map[string][]*spot{}
	for _, id := range slices.Sorted(maps.Keys(g.spots)) {
		s := g.spots[id]
		group := mobility.Group(s.category)
		if slices.Contains(dull, group) {
			continue
		}
		stays[group] += s.stays
		byGroup[group] = append(byGroup[group], s)
	}
	groups := byCount(stays)
	for _, list := range byGroup {
		slices.SortStableFunc(list, func(a, b *spot) int { return cmp.Compare(b.stays, a.stays) })
	}
	var out []string
	for rank := 0; len(out) < n; rank++ {
		added := false
		for _, group := range groups {
			if rank < len(byGroup[group]) && len(out) < n {
				out, added = append(out, byGroup[group][rank].id), true
			}
		}
		if !added {
			break
		}
	}
	return out
}

// Stays returns how many stays there were at a place.
func (g *Gather) Stays(id string) int {
	if s := g.spots[id]; s != nil {
		return s.stays
	}
	return 0
}
