package index

import (
	"iter"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// What the synthetic world looks like, chosen so that the sizes are those of a
// country-wide map catalog: city sizes follow Zipf's law, a city is a Gaussian
// with densityKM2 places a square kilometre at its centre, and a fifth of its
// places lie in villages around it.
const (
	placesPerCity = 20_000 // on average
	densityKM2    = 500.0
	ruralShare    = 0.2
	villages      = 40    // of each city
	countryKM     = 120.0 // standard deviation of the villages around a city
	villageKM     = 1.5   // and of the places around a village
)

var syntheticCategories = []string{
	"food", "food > noodles", "food > cafe", "food > bar", "shop", "shop > supermarket", "shop > clothes",
	"sight", "sight > museum", "sight > park", "hotel", "transport > station", "transport > bus stop",
	"work > office", "education > school", "health > clinic", "sport > gym", "home > estate",
}

// Synthetic makes n places clustered in cities and their training popularity
// (Pareto, most places have few visits), for benchmarks. The same n and seed
// give the same world on every machine with the same math library. Names are empty.
func Synthetic(n int, seed uint64) (places []poi.Place, visits []int64) {
	places, visits = make([]poi.Place, 0, n), make([]int64, 0, n)
	for p, v := range SyntheticSeq(n, seed) {
		places, visits = append(places, p), append(visits, v)
	}
	return places, visits
}

// SyntheticSeq is Synthetic one place at a time, in memory that depends on the
// number of cities only.
func SyntheticSeq(n int, seed uint64) iter.Seq2[poi.Place, int64] {
	return func(yield func(poi.Place, int64) bool) {
		rng := rand.New(rand.NewPCG(seed, 0x77686572))
		cities := newCities(rng, n)
		for i := range n {
			c := cities.draw(rng)
			spot := c.centre
			if rng.Float64() < ruralShare {
				spot = c.villages[rng.IntN(villages)]
			}
			lat, lng := spot.near(rng)
			p := poi.Place{
				ID:       "s" + strconv.Itoa(i),
				Category: syntheticCategories[rng.IntN(len(syntheticCategories))],
				Lat:      lat, // cities keep far from poles and antimeridian
				Lng:      lng,
			}
			visits := min(math.Pow(1-rng.Float64(), -1/1.1)-1, 1e6) // Pareto, tail index 1.1
			if !yield(p, int64(visits)) {
				return
			}
		}
	}
}

// spot is the middle of a Gaussian cloud of places.
type spot struct{ lat, lng, sigmaKM float64 }

func (s spot) near(rng *rand.Rand) (lat, lng float64) {
	const kmPerDegree = math.Pi * geo.EarthRadius / 180_000
	lat = s.lat + rng.NormFloat64()*s.sigmaKM/kmPerDegree
	return lat, s.lng + rng.NormFloat64()*s.sigmaKM/(kmPerDegree*math.Cos(s.lat*math.Pi/180))
}

type syntheticCity struct {
	centre   spot
	villages [villages]spot
}

type syntheticCities struct {
	list       []syntheticCity
	cumulative []float64 // of the Zipf weights
}

func newCities(rng *rand.Rand, n int) syntheticCities {
	k := max(1, n/placesPerCity)
	s := syntheticCities{list: make([]syntheticCity, k), cumulative: make([]float64, k)}
	total := 0.0
	for i := range k {
		total += 1 / float64(i+1)
		s.cumulative[i] = total
	}
	for i := range k {
		size := float64(n) * (1 - ruralShare) / (float64(i+1) * total)
		// A Gaussian city of that many places has this peak density.
		sigma := math.Sqrt(size / (2 * math.Pi * densityKM2))
		city := &s.list[i]
		city.centre = spot{lat: 20 + 33*rng.Float64(), lng: 75 + 55*rng.Float64(), sigmaKM: max(sigma, 1)}
		for v := range city.villages {
			around := spot{lat: city.centre.lat, lng: city.centre.lng, sigmaKM: countryKM}
			lat, lng := around.near(rng)
			city.villages[v] = spot{lat: lat, lng: lng, sigmaKM: villageKM}
		}
	}
	return s
}

func (s syntheticCities) draw(rng *rand.Rand) *syntheticCity {
	x := rng.Float64() * s.cumulative[len(s.cumulative)-1]
	lo, hi := 0, len(s.cumulative)-1
	for lo < hi {
		if mid := (lo + hi) / 2; s.cumulative[mid] <= x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return &s.list[lo]
}
