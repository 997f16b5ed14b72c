package batch

import (
	"math"
	"strings"

	"github.com/whereto/whereto/poi"
)

// projection is an equirectangular map around a centre, good to a per cent within
// a city and to the right order of magnitude beyond, which is all that a
// logarithm of distance needs.
type projection struct{ lat, lng, cos float64 }

const kmPerDegree = 111.195

func centre(places []poi.Place) projection {
	var p projection
	for _, x := range places {
		p.lat += x.Lat / float64(len(places))
		p.lng += x.Lng / float64(len(places))
	}
	p.cos = math.Cos(p.lat * math.Pi / 180)
	return p
}

func (p projection) km(lat, lng float64) (x, y float32) {
	return float32((lng - p.lng) * p.cos * kmPerDegree), float32((lat - p.lat) * kmPerDegree)
}

// CategoryLevels is the depth of category paths that the network reads.
const CategoryLevels = 3

// Categories numbers the levels of the category paths: for each place the tokens
// of its levels, [len(places)+1, CategoryLevels], 0 for none, and the vocabulary
// size. A level is its whole path from the root, so that equal names under
// different parents differ.
func Categories(places []poi.Place) ([]int32, int) {
	ids := map[string]int32{}
	out := make([]int32, (len(places)+1)*CategoryLevels)
	for i, p := range places {
		if p.Category == "" {
			continue
		}
		path := ""
		for l, name := range strings.SplitN(p.Category, ">", CategoryLevels) {
			path += ">" + strings.TrimSpace(name)
			id, ok := ids[path]
			if !ok {
				id = int32(len(ids) + 1)
				ids[path] = id
			}
			out[(i+1)*CategoryLevels+l] = id
		}
	}
	return out, len(ids) + 1
}

// profileTokens numbers profile values (paper section 3.2.1: profile "formatted
// as text"; a small fixed vocabulary is enough for a model trained from scratch).
func profileTokens(users []poi.User, p int) ([][]int32, int) {
	ids := map[string]int32{}
	out := make([][]int32, len(users))
	for u := range users {
		f := users[u].Profile
		words := []string{"gender=" + f.Gender, "age=" + f.AgeBand, "occupation=" + f.Occupation}
		for _, t := range f.Tags {
			words = append(words, "tag="+t)
		}
		for _, w := range words {
			if len(out[u]) == p {
				break
			}
			id, ok := ids[w]
			if !ok {
				id = int32(len(ids) + 1)
				ids[w] = id
			}
			out[u] = append(out[u], id)
		}
	}
	return out, len(ids) + 1
}
