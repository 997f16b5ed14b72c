package desk

import (
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
)

// FallbackIDs are the places that a model answers with without its network.
func FallbackIDs(m *Model, lat, lng float64, w recommend.Want) []string {
	x := &question{overlay: m.overlay.get(), q: poi.Query{Lat: lat, Lng: lng, HasPos: true}}
	var out []string
	for _, p := range m.fallback(x, &w) {
		out = append(out, p.POI)
	}
	return out
}
