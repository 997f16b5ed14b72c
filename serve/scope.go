package serve

import (
	"context"
	"math"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/guard"
)

// A key may be limited to scenes and to a box. Such a key reaches a route only where a
// request says its scene and its position: what cannot be checked is refused.

// keyOf is the key of the request of a context.
func keyOf(ctx context.Context) guard.Key {
	if v := visitOf(ctx); v != nil {
		return v.key
	}
	return guard.Key{}
}

// covered checks a request that says nothing of scene and place.
func covered(ctx context.Context) error { return keyOf(ctx).Covers("", nil, nil) }

// coversWho checks who asks and where. The boxes of keys are WGS84, so a key that has
// one takes no other coordinates: near its edge they would be judged wrongly.
func coversWho(ctx context.Context, w *api.Who) error {
	k := keyOf(ctx)
	if k.Box != nil && w.CRS != "" && w.CRS != "wgs84" {
		return refuse(forbidden, "the API key is for one area: give coordinates as wgs84")
	}
	return k.Covers(w.Scene, w.Lat, w.Lng)
}

// coversBox checks a rectangle. Both must lie in the key's box with everything between,
// so that nobody walks around the earth to get out of it.
func coversBox(ctx context.Context, b *api.Box) error {
	k := keyOf(ctx)
	if b == nil || k.Box == nil {
		return covered(ctx)
	}
	for _, corner := range [][2]float64{{b.South, b.West}, {b.North, b.East}} {
		if err := k.Covers("", &corner[0], &corner[1]); err != nil {
			return err
		}
	}
	if width(k.Box.West, b.West)+width(b.West, b.East) > width(k.Box.West, k.Box.East) {
		return refuse(forbidden, "the box reaches beyond the area of the API key")
	}
	return nil
}

// width is the way east from one meridian to another, degrees of 0 to 360.
func width(west, east float64) float64 {
	if west == -180 && east == 180 {
		return 360
	}
	return math.Mod(east-west+360, 360)
}
