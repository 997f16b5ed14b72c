package clean

import (
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Intent sets Intent of each visit of one user from the per-POI verdict of
// Functional and returns how many visits are interest-based.
func Intent(visits []poi.Visit, functional []bool) int {
	n := 0
	for i := range visits {
		visits[i].Intent = !functional[visits[i].POI]
		if visits[i].Intent {
			n++
		}
	}
	return n
}

// Richness returns distinct POIs / actions over the interest-based training
// visits of one user (the paper filters actions first, then sequences), and how
// many of those there are. With none it returns 1: nothing speaks against the
// sequence.
func Richness(visits []poi.Visit) (r float64, actions int) {
	seen := make(map[int32]struct{}, len(visits))
	for _, v := range visits {
		if v.Intent && v.Tag == poi.Train {
			actions++
			seen[v.POI] = struct{}{}
		}
	}
	if actions == 0 {
		return 1, 0
	}
	return float64(len(seen)) / float64(actions), actions
}

// Point is a position in degrees.
type Point struct{ Lat, Lng float64 }

// Home returns the middle of the user's home region: the mean position of the
// training visits in the most frequent cell of a grid of cfg.HomeKM. The
// position of a visit is the user's where known, else the POI's. Of cells with
// equal counts the one visited first wins. A user without training visits has
// no home: ok is false.
func Home(cfg Config, visits []poi.Visit, places []poi.Place) (home Point, ok bool) {
	type cell struct {
		n        int
		lat, lng float64
	}
	grid := geo.Grid{SizeKM: cfg.HomeKM}
	cells := map[geo.BlockID]*cell{}
	var order []geo.BlockID
	for _, v := range visits {
		if v.Tag != poi.Train {
			continue
		}
		p := position(v, places)
		id := grid.Block(p.Lat, p.Lng)
		c := cells[id]
		if c == nil {
			c = &cell{}
			cells[id] = c
			order = append(order, id)
		}
		c.n++
		c.lat += p.Lat
		c.lng += p.Lng
	}
	var best *cell
	for _, id := range order {
		if c := cells[id]; best == nil || c.n > best.n {
			best = c
		}
	}
	if best == nil {
		return Point{}, false
	}
	return Point{best.lat / float64(best.n), best.lng / float64(best.n)}, true
}

func position(v poi.Visit, places []poi.Place) Point {
	if v.HasUser {
		return Point{float64(v.UserLat), float64(v.UserLng)}
	}
	return Point{places[v.POI].Lat, places[v.POI].Lng}
}

// Label sets Status of each visit of one user:
//
//	local       the POI lies within HomeKM of the user's home
//	pre-travel  the POI lies farther, the user is within HomeKM of home
//	in-travel   both lie farther
//
// Without a user position the user stands at the POI, as on check-in data, so
// pre-travel cannot occur there. A user without a home is local everywhere.
func Label(cfg Config, visits []poi.Visit, places []poi.Place) {
	home, ok := Home(cfg, visits, places)
	radius := cfg.HomeKM * 1000
	for i := range visits {
		v := &visits[i]
		p := places[v.POI]
		u := position(*v, places)
		switch {
		case !ok || geo.Metres(home.Lat, home.Lng, p.Lat, p.Lng) <= radius:
			v.Status = poi.Local
		case geo.Metres(home.Lat, home.Lng, u.Lat, u.Lng) <= radius:
			v.Status = poi.PreTravel
		default:
			v.Status = poi.InTravel
		}
	}
}

// Span is a half-open range of positions in a user's visits.
type Span struct{ From, To int }

// Single cuts one sequence into its maximal runs of one status: its share of
// D_single. The spans cover the sequence in order, without gap or overlap.
func Single(visits []poi.Visit) []Span {
	var out []Span
	for i := range visits {
		if i == 0 || visits[i].Status != visits[i-1].Status {
			out = append(out, Span{i, i})
		}
		out[len(out)-1].To = i + 1
	}
	return out
}

// Multi reports whether a sequence has several statuses and so belongs to D_multi.
func Multi(visits []poi.Visit) bool {
	for i := range visits {
		if visits[i].Status != visits[0].Status {
			return true
		}
	}
	return false
}
