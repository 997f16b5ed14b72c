package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
)

// Of a large service a sample is drawn, each part of it as likely as any other.
const (
	maxPeople = 1000
	maxPlaces = 100_000
	maxPast   = 50 // latest actions kept of a person
)

// cellDegrees is the side of a cell in which neighbours are looked for, about 5 km.
const cellDegrees = 0.05

// world is what requests are drawn from.
type world struct {
	people  []person
	upTo    []int // cumulative activity of the people
	actions int   // stored, of these people
	users   int   // of the service
	places  []api.POI
	every   []int          // 0, 1, ... len(places)-1
	number  map[string]int // POI -> index in places
	cells   map[[2]int][]int
}

// person is somebody who asks.
type person struct {
	id       string
	past     []api.Action // latest, oldest first
	last     api.Action
	lat, lng float64 // of the last place
	located  bool
}

// readWorld reads people, what they did, and places.
func readWorld(ctx context.Context, c *client.Client, cfg Config) (*world, error) {
	w := &world{}
	r := arrivals(^cfg.Seed)
	people := sample[api.UserSummary]{most: maxPeople, pick: r.IntN}
	for u, err := range c.Users(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("load: people: %w", err)
		}
		if u.Actions > 0 {
			people.add(u)
		}
	}
	if len(people.kept) == 0 {
		return nil, fmt.Errorf("load: %w: %s stores no action of anybody; put some with POST /v1/actions first", ErrWorld, c.Base())
	}
	w.users = people.seen
	places := sample[api.POI]{most: maxPlaces, pick: r.IntN}
	for p, err := range c.POIs(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("load: places: %w", err)
		}
		if !p.Closed {
			places.add(p)
		}
	}
	if len(places.kept) == 0 && cfg.Mix[Rank] > 0 {
		return nil, fmt.Errorf("load: %w: %s has no open place to rank; put some with PUT /v1/pois, or ask for no rank", ErrWorld, c.Base())
	}
	w.addPlaces(places.kept)
	for _, u := range people.kept {
		if err := w.addPerson(ctx, c, u, places.seen > len(places.kept)); err != nil {
			return nil, err
		}
	}
	if len(w.people) == 0 {
		return nil, fmt.Errorf("load: %w: the people of %s are listed, but their actions are gone", ErrWorld, c.Base())
	}
	return w, nil
}

func (w *world) addPlaces(places []api.POI) {
	w.places, w.number, w.cells = places, map[string]int{}, map[[2]int][]int{}
	for i, p := range places {
		w.every = append(w.every, i)
		w.number[p.ID] = i
		at := cellOf(p.Lat, p.Lng)
		w.cells[at] = append(w.cells[at], i)
	}
}

// addPerson reads what somebody did. sampled: the last place may be in the catalog
// though it is not in the sample.
func (w *world) addPerson(ctx context.Context, c *client.Client, u api.UserSummary, sampled bool) error {
	p := person{id: u.User}
	n := 0
	for a, err := range c.Actions(ctx, u.User) {
		if err != nil {
			return fmt.Errorf("load: actions of a person: %w", err)
		}
		n++
		p.past = append(p.past, a)
		if len(p.past) == 2*maxPast {
			p.trim()
		}
	}
	if n == 0 {
		return nil // was deleted since the list was read
	}
	p.trim()
	p.last = p.past[len(p.past)-1]
	if i, ok := w.number[p.last.POI]; ok {
		p.lat, p.lng, p.located = w.places[i].Lat, w.places[i].Lng, true
	} else if p.last.Lat != nil && p.last.Lng != nil {
		p.lat, p.lng, p.located = *p.last.Lat, *p.last.Lng, true
	} else if sampled {
		place, err := c.POI(ctx, p.last.POI)
		var problem *client.Problem
		if err != nil && !(errors.As(err, &problem) && problem.Status == http.StatusNotFound) {
			return fmt.Errorf("load: last place of a person: %w", err)
		}
		p.lat, p.lng, p.located = place.Lat, place.Lng, err == nil
	}
	w.people = append(w.people, p)
	w.actions += n
	w.upTo = append(w.upTo, w.actions)
	return nil
}

// trim keeps the latest actions, in whatever order the service lists them.
func (p *person) trim() {
	slices.SortStableFunc(p.past, func(a, b api.Action) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	p.past = slices.Delete(p.past, 0, max(0, len(p.past)-maxPast))
}

func cellOf(lat, lng float64) [2]int {
	return [2]int{int(math.Floor(lat / cellDegrees)), int(math.Floor(lng / cellDegrees))}
}

// near returns at least n places from the cells around a person, or what there is
// within a hundred kilometres.
func (w *world) near(p *person, n int) []int {
	at, n := cellOf(p.lat, p.lng), min(n, len(w.places))
	var out []int
	for ring := 0; ring <= 20 && len(out) < n; ring++ {
		for dy := -ring; dy <= ring; dy++ {
			step := 2 * ring // inner rows of a ring have two cells
			if dy == -ring || dy == ring || ring == 0 {
				step = 1
			}
			for dx := -ring; dx <= ring; dx += step {
				out = append(out, w.cells[[2]int{at[0] + dy, at[1] + dx}]...)
			}
		}
	}
	return out
}

// sample keeps most of what it sees, each with the same probability.
type sample[T any] struct {
	most, seen int
	kept       []T
	pick       func(n int) int
}

func (s *sample[T]) add(x T) {
	s.seen++
	if len(s.kept) < s.most {
		s.kept = append(s.kept, x)
	} else if i := s.pick(s.seen); i < s.most {
		s.kept[i] = x
	}
}
