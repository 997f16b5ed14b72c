package atlas

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// Address is a place's address and where it is.
type Address struct {
	Text     string // street, neighbourhood, town; parted by commas
	Lat, Lng float64
}

// Quarters finds neighbourhoods from addresses: the part before the last of
// those with three parts or more, at the middle of its places, the largest first.
func Quarters(addresses []Address) []Quarter {
	type sum struct {
		n    int
		lats []float64
		lngs []float64
	}
	found := map[[2]string]*sum{}
	for _, a := range addresses {
		parts := strings.Split(a.Text, ",")
		if len(parts) < 3 {
			continue
		}
		key := [2]string{strings.TrimSpace(parts[len(parts)-2]), strings.TrimSpace(parts[len(parts)-1])}
		if key[0] == "" {
			continue
		}
		s := found[key]
		if s == nil {
			s = &sum{}
			found[key] = s
		}
		s.n++
		s.lats, s.lngs = append(s.lats, a.Lat), append(s.lngs, a.Lng)
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(found[b].n, found[a].n), cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	var out []Quarter
	for _, k := range keys {
		s := found[k]
		out = append(out, Quarter{Name: k[0], Town: k[1], Lat: median(s.lats), Lng: median(s.lngs)})
	}
	return out
}

// median of a list that is not empty; it sorts the list.
func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

const (
	// townGridKM is the size of the cells that make towns, and townShare the least
	// share of all places of one.
	townGridKM = 8
	townShare  = 0.01
)

// townsOf finds towns: groups of places in blocks that touch, the largest first.
func townsOf(places []poi.Place) []Town {
	grid := geo.Grid{SizeKM: townGridKM}
	members := map[geo.BlockID][]int{}
	for i, p := range places {
		b := grid.Block(p.Lat, p.Lng)
		members[b] = append(members[b], i)
	}
	var towns []Town
	seen := map[geo.BlockID]bool{}
	for _, start := range slices.Sorted(maps.Keys(members)) {
		if seen[start] {
			continue
		}
		seen[start] = true
		var own []int
		for queue := []geo.BlockID{start}; len(queue) > 0; {
			b := queue[0]
			queue = queue[1:]
			own = append(own, members[b]...)
			for _, next := range grid.Neighbours(b) {
				if len(members[next]) > 0 && !seen[next] {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
		if float64(len(own)) >= townShare*float64(len(places)) {
			towns = append(towns, townAround(places, own))
		}
	}
	slices.SortStableFunc(towns, func(a, b Town) int { return cmp.Compare(b.Places, a.Places) })
	return towns[:min(len(towns), MaxTowns)]
}

// nameTowns gives towns without a name that of the largest neighbourhood inside.
func nameTowns(towns []Town, quarters []Quarter) {
	for i := range towns {
		t := &towns[i]
		for _, q := range quarters {
			if t.Name == "" && geo.Metres(t.Lat, t.Lng, q.Lat, q.Lng) <= 1000*t.RadiusKM {
				t.Name = q.Town
			}
		}
	}
}

// townAround is the town of some places: its radius holds nine of ten.
func townAround(places []poi.Place, own []int) Town {
	var lats, lngs, away []float64
	for _, i := range own {
		lats, lngs = append(lats, places[i].Lat), append(lngs, places[i].Lng)
	}
	t := Town{Lat: median(lats), Lng: median(lngs), Places: len(own)}
	for _, i := range own {
		away = append(away, geo.Metres(t.Lat, t.Lng, places[i].Lat, places[i].Lng)/1000)
	}
	slices.Sort(away)
	t.RadiusKM = math.Max(away[len(away)*9/10], .5)
	return t
}
