package serve

import (
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/whereto/whereto/api"
)

const geoType = "application/geo+json"

// collection is a GeoJSON FeatureCollection (RFC 7946) and what the JSON answer says
// beside its places.
type collection struct {
	Type     string      `json:"type"`
	Features []feature   `json:"features"`
	Next     string      `json:"next,omitempty"`
	Source   *api.Source `json:"source,omitempty"`
	Version  any         `json:"version,omitempty"`
	Warnings []string    `json:"warnings,omitempty"`
}

type feature struct {
	Type       string    `json:"type"`
	ID         string    `json:"id,omitempty"`
	Geometry   *geometry `json:"geometry"` // null where no position is known
	Properties any       `json:"properties"`
}

type geometry struct {
	Type        string     `json:"type"`
	Coordinates [2]float64 `json:"coordinates"` // lng, lat
}

func pointAt(id string, lat, lng float64, properties any) feature {
	return feature{Type: "Feature", ID: id, Geometry: &geometry{"Point", [2]float64{lng, lat}}, Properties: properties}
}

// gather makes a collection of a list.
func gather[T any](list []T, one func(T) feature) *collection {
	c := &collection{Type: "FeatureCollection", Features: make([]feature, 0, len(list))}
	for _, x := range list {
		c.Features = append(c.Features, one(x))
	}
	return c
}

func ofCatalog(p api.POI) feature { return pointAt(p.ID, p.Lat, p.Lng, p) }

// geoJSON returns an answer as GeoJSON, or nil if it has no places.
func geoJSON(v any) any {
	switch v := v.(type) {
	case *api.RecommendResponse:
		c := gather(v.Places, func(p api.Place) feature { return pointAt(p.POI, p.Lat, p.Lng, p) })
		c.Source, c.Version, c.Warnings = &v.Source, v.Version, v.Warnings
		return c
	case *api.SimilarResponse:
		c := gather(v.Places, func(p api.SimilarPlace) feature { return pointAt(p.POI, p.Lat, p.Lng, p) })
		c.Version = v.Version
		return c
	case *api.Page[api.POI]:
		c := gather(v.Items, ofCatalog)
		c.Next = v.Next
		return c
	case *api.Page[api.Action]:
		c := gather(v.Items, func(a api.Action) feature {
			if a.Lat == nil || a.Lng == nil {
				return feature{Type: "Feature", ID: a.ID, Properties: a}
			}
			return pointAt(a.ID, *a.Lat, *a.Lng, a)
		})
		c.Next = v.Next
		return c
	case *api.POI:
		return ofCatalog(*v)
	}
	return nil
}

// asGeoJSON writes places as GeoJSON where the sender wants them so.
func asGeoJSON(ctx huma.Context, _ string, v any) (any, error) {
	wanted := ctx.Query("f") == "geojson"
	if ctx.Query("f") == "" {
		wanted = negotiation.SelectQValueFast(ctx.Header("Accept"), []string{"application/json", geoType}) == geoType
	}
	if !wanted {
		return v, nil
	}
	if places := geoJSON(v); places != nil {
		ctx.SetHeader("Content-Type", geoType)
		return places, nil
	}
	return v, nil
}
