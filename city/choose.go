package city

import (
	"math"
	"slices"
	"time"
)

// servers lists, by purpose, the categories that serve it.
var servers = func() (out [purposes][]int) {
	for i, c := range categories {
		for _, s := range c.serves {
			out[s.purpose] = append(out[s.purpose], i)
		}
	}
	return out
}()

// choose picks an open place for an outing, and says whether it is new to the
// person. It returns -1 if there is none.
func (w *walk) choose(o outing, at time.Time) (place int32, fresh bool) {
	if fixed := w.p.anchor[o.purpose]; fixed >= 0 && o.town == w.p.town {
		return w.ifOpen(fixed, at), false
	}
	// One keeps a hotel for the whole stay.
	isNew := o.purpose != hotel && w.rng.Float64() < w.p.rho*math.Pow(float64(max(w.repertoire, 1)), -decayGamma)
	if !isNew {
		if place = w.recall(o, at); place >= 0 {
			return place, false
		}
	}
	place = w.explore(o, at)
	return place, !w.knows(o.purpose, place)
}

// ifOpen returns the place, or -1 if it is closed.
func (w *walk) ifOpen(place int32, at time.Time) int32 {
	if w.c.OpenAt(int(place), at) {
		return place
	}
	return -1
}

// recall picks among the remembered places: by how often he was there, how far
// it is, whether it belongs to this slot, and his liking of it.
func (w *walk) recall(o outing, at time.Time) int32 {
	here := w.c.spots[w.here].at
	if o.search {
		return -1 // what one knows one need not look up
	}
	pick := newLottery(w.rng)
	for _, k := range w.memory[o.purpose] {
		spot := &w.c.spots[k.place]
		if int(spot.town) != o.town || w.ifOpen(k.place, at) < 0 {
			continue
		}
		weight := k.times * across.damp(spot.at.distance(here))
		if int(k.slot) == o.slot {
			weight *= slotBonus
		}
		weight *= w.p.loyalty(spot, w.c.cfg.Taste)
		pick.offer(int(k.place), weight)
	}
	return int32(pick.winner)
}

// explore picks a place by taste, popularity and distance. Far from the town in
// question he looks around its centre. He passes by what is not for him; if his
// patience ends he takes the last place he passed by.
func (w *walk) explore(o outing, at time.Time) int32 {
	from := w.c.spots[w.here].at
	if int(w.c.spots[w.here].town) != o.town {
		from = w.c.towns[o.town].centre
	}
	passed := int32(-1)
	for range drawTries {
		pick := newLottery(w.rng)
		for _, category := range servers[o.purpose] {
			for _, s := range categories[category].serves {
				if s.purpose == o.purpose {
					pick.offer(category, s.weight*w.p.taste[category])
				}
			}
		}
		place := w.c.draw(w.rng, o.town, pick.winner, from, nearby)
		if place < 0 || !o.search && w.ifOpen(place, at) < 0 {
			continue
		}
		if w.rng.Float64() < w.p.welcome(&w.c.spots[place], w.c.cfg.Taste) {
			return place
		}
		passed = place
	}
	return passed
}

const (
	// exploreTaste and returnTaste are how strongly the liking of a place acts on
	// entering it and on coming back; a place of liking enoughLiking is never
	// passed by.
	exploreTaste, returnTaste = 2.6, 0.8
	enoughLiking              = 0.9
)

// welcome returns the probability that a person enters a place he comes upon.
func (p *person) welcome(s *spot, strength float64) float64 {
	if !chosen(int(s.category)) {
		return 1
	}
	return min(1, math.Exp(strength*exploreTaste*(p.likingOf(s.traits)-enoughLiking)))
}

// loyalty returns the factor of a person's liking on coming back to a place.
func (p *person) loyalty(s *spot, strength float64) float64 {
	if !chosen(int(s.category)) {
		return 1
	}
	return math.Exp(strength * returnTaste * p.likingOf(s.traits))
}

// knows reports whether the place is remembered for the purpose.
func (w *walk) knows(p purpose, place int32) bool {
	return slices.ContainsFunc(w.memory[p], func(k known) bool { return k.place == place })
}

// remember counts a visit; the other places of the purpose fade a little.
func (w *walk) remember(o outing, place int32) {
	list := w.memory[o.purpose]
	found := false
	for i := range list {
		list[i].times *= forget
		if list[i].place == place {
			list[i].times++
			found = true
		}
	}
	if !found {
		w.memory[o.purpose] = append(list, known{place: place, slot: int16(o.slot), times: 1})
		w.repertoire++
	}
}
