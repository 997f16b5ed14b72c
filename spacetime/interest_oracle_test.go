package spacetime

import (
	"math"
	"slices"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/internal/oracle"
)

// traits are what a place with a media vector is like.
func (o *feedNetwork) traits(place int32, media []float32) []float64 {
	if o.t.Media == 0 {
		return oracle.Product(o.places[place], o.w["interest/place"], o.stage.Interest)
	}
	wide := make([]float64, len(media))
	for i, x := range media {
		wide[i] = mediaGain * float64(x)
	}
	return oracle.Product(wide, o.w["interest/media"], o.stage.Interest)
}

// shownMedia is the media vector of row r's action at.
func (o *feedNetwork) shownMedia(r, at int) []float32 {
	width := o.media.Dims[2]
	return o.media.F[(r*o.n()+at)*width:][:width]
}

// telling is the logarithm of the weight of row r's action at.
func (o *feedNetwork) telling(r, at int) float64 {
	places := o.b.Arrays[batch.InPlace].I[r*o.n():][:o.n()]
	sum := o.w["interest/type"][o.b.Arrays[batch.InType].I[r*o.n()+at]]
	for _, c := range o.t.Cats[places[at]*batch.CategoryLevels:][:batch.CategoryLevels] {
		sum += o.w["interest/category"][c]
	}
	if slices.Contains(places[:at], places[at]) {
		sum += againStart + o.w["interest/again"][0]
	}
	return sum
}

// habits are the mean traits of the actions before row r's request.
func (o *feedNetwork) habits(r int) []float64 {
	sum, total := make([]float64, len(o.w["interest/bias"])), math.Exp(o.w["interest/few"][0])
	for at := range int(o.ints(batch.InRequest, r, 0)[0]) {
		place := o.b.Arrays[batch.InPlace].I[r*o.n()+at]
		if place == 0 {
			continue
		}
		w := math.Exp(o.telling(r, at))
		total += w
		for i, x := range o.traits(place, o.shownMedia(r, at)) {
			sum[i] += w * x
		}
	}
	for i := range sum {
		sum[i] = sum[i]/total + o.w["interest/bias"][i]
	}
	return sum
}

// liking is what a ranking logit has from traits and habits.
func (o *feedNetwork) liking(r int, place int32) (z float64) {
	traits := o.traits(place, o.shownMedia(r, int(o.ints(batch.InRequest, r, 0)[0])))
	for i, x := range o.habits(r) {
		z += traits[i] * (o.w["interest/alone"][i] + x*(1+o.w["interest/common"][i]))
	}
	return z
}
