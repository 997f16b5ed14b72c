package judge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// How much of the past a case tells.
const (
	recentVisits  = 15
	topCategories = 8
	topPlaces     = 8
)

// Teller writes cases from a data set. Safe for concurrent use if Details is.
type Teller struct {
	Data *poi.Dataset
	// Details tells more of a place; nil: nothing more is known.
	Details func(place int32) poi.Details
}

// Case returns the case of a request and the lists (dense POI ids, best first) of
// two systems.
func (t *Teller) Case(id string, q poi.Query, a, b []int32) (Case, error) {
	c := Case{ID: id, Query: q}
	if int(q.User) >= len(t.Data.Users) {
		return c, fmt.Errorf("case %s: %w: %d of %d", id, poi.ErrUnknownUser, q.User, len(t.Data.Users))
	}
	for _, list := range [][]int32{a, b} {
		for _, p := range list {
			if p < 0 || int(p) >= len(t.Data.Places) {
				return c, fmt.Errorf("case %s: %w: %d of %d", id, poi.ErrUnknownPOI, p, len(t.Data.Places))
			}
		}
	}
	if q.User >= 0 {
		c.Profile = profileText(t.Data.Users[q.User].Profile)
	}
	c.History = t.history(q)
	local := poi.LocalTime(q.TimeMS, q.OffsetMin)
	c.Moment = "local time: " + local.Format("Monday 2006-01-02 15:04")
	lat, lng, from := t.where(q)
	if from != "" {
		c.Moment += "\ndistances are from " + from
	}
	visits := map[int32]int{}
	for _, v := range q.History {
		visits[v.POI]++
	}
	tell := func(list []int32) []Candidate {
		out := make([]Candidate, len(list))
		for i, p := range list {
			out[i] = Candidate{POI: p, Text: t.place(p, lat, lng, from != "", visits[p])}
		}
		return out
	}
	c.A, c.B = tell(a), tell(b)
	return c, c.check()
}

// where returns the point distances count from and its name, "" if there is none.
func (t *Teller) where(q poi.Query) (lat, lng float64, from string) {
	if q.HasPos {
		return q.Lat, q.Lng, "where the person is now"
	}
	if n := len(q.History); n > 0 {
		p := t.Data.Places[q.History[n-1].POI]
		return p.Lat, p.Lng, "the place of the last visit"
	}
	return 0, 0, ""
}

func profileText(p poi.Profile) string {
	var out []string
	for _, f := range []struct{ name, value string }{{"gender", p.Gender}, {"age", p.AgeBand}, {"occupation", p.Occupation}, {"notes", strings.Join(p.Tags, ", ")}} {
		if f.value != "" {
			out = append(out, f.name+": "+oneLine(f.value, maxPlace))
		}
	}
	return strings.Join(out, "\n")
}

// history tells the past: how many visits, the usual categories with their usual
// part of the day, the usual places, and the last visits one by one.
func (t *Teller) history(q poi.Query) string {
	if len(q.History) == 0 {
		return "no visits yet"
	}
	out := []string{fmt.Sprintf("%d visits since %s", len(q.History), q.History[0].Local().Format("2006-01-02"))}
	categories, places, parts := map[string]int{}, map[int32]int{}, map[string][4]int{}
	for _, v := range q.History {
		c := cmp.Or(t.Data.Places[v.POI].Category, "without a category")
		categories[c]++
		places[v.POI]++
		p := parts[c]
		p[v.Local().Hour()/6]++
		parts[c] = p
	}
	for _, c := range most(categories, topCategories) {
		p := parts[c]
		part := slices.Index(p[:], slices.Max(p[:]))
		out = append(out, fmt.Sprintf("%d times %s, mostly %s", categories[c], oneLine(c, 120), [...]string{"at night", "in the morning", "in the afternoon", "in the evening"}[part]))
	}
	for _, id := range most(places, topPlaces) {
		if places[id] > 1 {
			out = append(out, fmt.Sprintf("%d times at %s", places[id], t.name(id)))
		}
	}
	for _, v := range q.History[max(0, len(q.History)-recentVisits):] {
		out = append(out, fmt.Sprintf("%s, %s ago: %s", v.Local().Format("Mon 2006-01-02 15:04"), ago(q.TimeMS-v.TimeMS), t.name(v.POI)))
	}
	return strings.Join(out, "\n")
}

// most returns the n keys with the highest counts, equal ones by key.
func most[K cmp.Ordered](counts map[K]int, n int) []K {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return keys[:min(n, len(keys))]
}

func ago(ms int64) string {
	switch hours := float64(ms) / 3_600_000; {
	case hours < 1:
		return fmt.Sprintf("%d minutes", ms/60_000)
	case hours < 48:
		return fmt.Sprintf("%.0f hours", hours)
	default:
		return fmt.Sprintf("%.0f days", hours/24)
	}
}

func (t *Teller) name(id int32) string {
	p := t.Data.Places[id]
	return fmt.Sprintf("%s (%s)", cmp.Or(oneLine(p.Name, 120), "a place without a name"), cmp.Or(oneLine(p.Category, 120), "no category"))
}

// place describes a candidate. Ids stay out: they could carry a system's mark.
func (t *Teller) place(id int32, lat, lng float64, here bool, visits int) string {
	p := t.Data.Places[id]
	out := []string{t.name(id)}
	if here {
		out = append(out, fmt.Sprintf("%.1f km away", geo.Metres(lat, lng, p.Lat, p.Lng)/1000))
	}
	if visits > 0 {
		out = append(out, fmt.Sprintf("visited %d times before", visits))
	} else {
		out = append(out, "never visited before")
	}
	if t.Details != nil {
		d := t.Details(id)
		if len(d.Tags) > 0 {
			out = append(out, "tags: "+oneLine(strings.Join(d.Tags, ", "), 120))
		}
		for _, review := range d.Reviews[:min(2, len(d.Reviews))] {
			out = append(out, fmt.Sprintf("a review: %q", oneLine(review, 120)))
		}
	}
	return strings.Join(out, "; ")
}
