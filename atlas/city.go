package atlas

import (
	"context"
	"fmt"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/mobility"
	"github.com/whereto/whereto/poi"
)

const (
	// samplePeople and samplePlaces bound what is simulated again for a page.
	samplePeople = 4000
	samplePlaces = 20_000
	// addressed places are asked for their address, to find neighbourhoods.
	addressed = 1500
)

// OfCity looks at a city: all its people, or 4,000 spread evenly over them, and
// all its places, or 20,000. reference may be nil. The error is that of the
// context or of the city's own log.
func OfCity(ctx context.Context, title string, c *city.City, facts []Fact, reference *mobility.Laws) (Input, error) {
	g := NewGather(title)
	people := min(c.Users(), samplePeople)
	for i := range people {
		if err := ctx.Err(); err != nil {
			return Input{}, fmt.Errorf("atlas: stopped before person %d of %d: %w", i, people, err)
		}
		u := i * c.Users() / people
		actions, impressions := c.Live(u)
		if err := g.Person(c.Profile(u), c.Likes(u), actions); err != nil {
			return Input{}, err
		}
		for i := range impressions {
			g.Impression(&impressions[i])
		}
	}
	in, err := g.Input()
	if err != nil {
		return Input{}, err
	}
	in.Facts, in.Reference = append(facts, in.Facts...), reference
	for _, t := range c.Towns() {
		in.Towns = append(in.Towns, Town{Name: t.Name, Lat: t.Lat, Lng: t.Lng, RadiusKM: t.RadiusKM, Places: t.Places})
	}
	in.Places = Sample(c.Places, samplePlaces)
	var addresses []Address
	for i := range min(len(c.Places), addressed) {
		n := i * len(c.Places) / min(len(c.Places), addressed)
		p := &c.Places[n]
		addresses = append(addresses, Address{Text: c.Details(n).Address, Lat: p.Lat, Lng: p.Lng})
	}
	in.Quarters = Quarters(addresses)
	in.Cards = cityCards(c, g)
	return in, nil
}

// cityCards are popular places, those with hidden attributes before others.
func cityCards(c *city.City, g *Gather) []Card {
	wanted := g.Popular(4 * shownCards)
	at := make(map[string]int, len(wanted))
	for _, id := range wanted {
		at[id] = -1
	}
	for i := range c.Places {
		if _, ok := at[c.Places[i].ID]; ok {
			at[c.Places[i].ID] = i
		}
	}
	var cards []Card
	for _, id := range wanted {
		if i := at[id]; i >= 0 {
			cards = append(cards, Card{Place: c.Places[i], Details: c.Details(i), Attributes: c.Attributes(i), Stays: g.Stays(id)})
		}
	}
	return Telling(cards)
}

// Telling picks the cards of a page: those with hidden attributes before others,
// else in their order.
func Telling(cards []Card) []Card {
	var first, rest []Card
	for _, c := range cards {
		if len(c.Attributes) > 0 {
			first = append(first, c)
		} else {
			rest = append(rest, c)
		}
	}
	first = append(first, rest...)
	return first[:min(len(first), shownCards)]
}

// Sample returns at most n places spread evenly over the list.
func Sample(places []poi.Place, n int) []poi.Place {
	if len(places) <= n {
		return places
	}
	out := make([]poi.Place, n)
	for i := range out {
		out[i] = places[i*len(places)/n]
	}
	return out
}
