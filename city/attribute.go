package city

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// attribute is a quality of a place that neither its category nor its position
// tells, only its text and its picture.
type attribute uint8

const (
	hotSpring attribute = iota
	liveMusic
	terrace
	vegan
	familyFriendly
	quiet
	fineView
	openLate
	bargain
	refined
	dogsWelcome
	craftDrinks
	attributes // how many there are
)

var attributeNames = [attributes]string{
	"hot spring", "live music", "terrace", "vegan", "family friendly", "quiet",
	"fine view", "open late", "bargain", "refined", "dogs welcome", "craft drinks",
}

// traits is a set of attributes, bit 1<<attribute.
type traits uint16

// has reports whether the attribute is in the set.
func (t traits) has(a attribute) bool { return t&(1<<a) != 0 }

// group is a family of categories that share manners of speech and looks.
type group uint8

const (
	food group = iota
	night
	shops
	moving // sport
	outdoors
	arts
	staying // hotels
	plain   // homes, work, services
	groups  // how many there are
)

// groupOf lists the group of each category.
var groupOf = func() []group {
	byTop := map[string]group{"Food": food, "Nightlife": night, "Shop": shops, "Sport": moving, "Outdoors": outdoors,
		"Arts": arts, "Travel": staying}
	out := make([]group, len(categories))
	for i, c := range categories {
		top, _, _ := strings.Cut(c.path, " > ")
		g, ok := byTop[top]
		if !ok || c.serves[0].purpose == station {
			g = plain
		}
		out[i] = g
	}
	return out
}()

// baseRates says how common an attribute is among the places of a group. The
// rates of the groups people choose among stay close, so that the category gives
// little away.
var baseRates = [groups][attributes]float64{
	//        spring music terr vegan famil quiet view  late  bargn refin dogs  craft
	food:     {.08, .09, .11, .10, .09, .08, .08, .09, .10, .08, .08, .10},
	night:    {.08, .11, .11, .08, .07, .07, .09, .11, .09, .09, .08, .12},
	shops:    {.07, .08, .08, .09, .10, .09, .07, .08, .12, .09, .08, .08},
	moving:   {.10, .07, .08, .09, .10, .08, .08, .09, .09, .08, .07, .07},
	outdoors: {.09, .09, .10, .07, .11, .10, .11, .08, .08, .07, .11, .07},
	arts:     {.07, .10, .08, .08, .09, .10, .09, .08, .08, .10, .07, .08},
	staying:  {.10, .08, .10, .08, .09, .10, .10, .08, .08, .10, .08, .08},
	plain:    {.01, .01, .02, .01, .02, .02, .02, .02, .02, .01, .02, .01},
}

// rivals do not go together; of two drawn one is dropped.
var rivals = [][2]attribute{{liveMusic, quiet}, {bargain, refined}}

// leanSpread is the standard deviation of the logarithm of a quarter's factor on
// the rate of an attribute.
const leanSpread = 0.35

// lean draws what the quarters of a town are known for.
func (t *town) lean(seed uint64, number int) {
	rng := stream(seed, streamQuarter, number)
	for i := range t.quarters {
		for a := range attributes {
			t.quarters[i].lean[a] = float32(math.Exp(leanSpread*rng.NormFloat64() - leanSpread*leanSpread/2))
		}
	}
}

// drawTraits draws the attributes of a place.
func drawTraits(seed uint64, place, category int, q *quarter) traits {
	rng := stream(seed, streamTraits, place)
	var out traits
	for a, rate := range baseRates[groupOf[category]] {
		if rng.Float64() < min(rate*float64(q.lean[a]), 0.6) {
			out |= 1 << a
		}
	}
	for _, r := range rivals {
		if out.has(r[0]) && out.has(r[1]) {
			out &^= 1 << r[rng.IntN(2)]
		}
	}
	return out
}

// AttributeNames lists all hidden attributes.
func AttributeNames() []string { return slices.Clone(attributeNames[:]) }

// Attributes returns the true hidden attributes of a place, by position in Places,
// in the order of AttributeNames.
func (c *City) Attributes(place int) []string {
	var out []string
	for a, name := range attributeNames {
		if c.spots[place].traits.has(attribute(a)) {
			out = append(out, name)
		}
	}
	return out
}

// Likes returns the two or three attributes that user u, in [0, Users()), likes
// strongly, in the order of AttributeNames.
func (c *City) Likes(u int) []string {
	var out []string
	for a, weight := range c.person(u).appeal {
		if weight > 0 {
			out = append(out, attributeNames[a])
		}
	}
	return out
}

// personaLikes makes some likes commoner in a persona, so that a profile tells a
// little of them.
var personaLikes = [personas]map[attribute]float64{
	office:   {terrace: 2, refined: 2},
	student:  {bargain: 2.5, openLate: 2, craftDrinks: 1.5},
	parent:   {familyFriendly: 3, dogsWelcome: 1.5},
	nightOwl: {openLate: 2.5, liveMusic: 2, craftDrinks: 2},
	retiree:  {quiet: 2.5, fineView: 1.5, refined: 1.5},
	tourist:  {fineView: 2, hotSpring: 1.5},
}

// likings draws the hidden tastes of a person: what he thinks of each group of
// categories, two or three attributes he likes, about one he dislikes.
func (p *person) likings(rng *rand.Rand) {
	for g := range p.bent {
		p.bent[g] = math.Sqrt(bentShare) * rng.NormFloat64()
	}
	mark := func(sign float64, weight func(a attribute) float64) {
		pick := newLottery(rng)
		for a := range attributes {
			if p.appeal[a] == 0 {
				pick.offer(int(a), weight(a))
			}
		}
		p.appeal[pick.winner] = sign * (0.8 + 0.4*rng.Float64())
	}
	for range 2 + rng.IntN(2) {
		mark(1, func(a attribute) float64 {
			if w := personaLikes[p.persona][a]; w > 0 {
				return w
			}
			return 1
		})
	}
	for range rng.IntN(2) + rng.IntN(2) {
		mark(-1, func(a attribute) float64 { return 1 })
	}
}

// likingOf returns how much a person likes a set of attributes: 0 is neutral,
// about 1 is one strong like.
func (p *person) likingOf(t traits) float64 {
	sum := 0.0
	for a := range attributes {
		if t.has(a) {
			sum += p.appeal[a]
		}
	}
	return sum
}
