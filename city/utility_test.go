package city

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/whereto/whereto/poi"
)

// rating returns the AUC of scores against clicks, and its mean within the
// requests that have both a click and a place without.
func rating(score, clicked [][]float64) (pooled, within float64) {
	one := func(score, clicked []float64) float64 {
		order := make([]int, len(score))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
		var below, good, clicks float64
		for _, i := range order { // real scores: ties are as rare as they are harmless
			good += clicked[i] * below
			clicks += clicked[i]
			below += 1 - clicked[i]
		}
		return good / below / clicks
	}
	n := 0.0
	for i := range score {
		if slices.Contains(clicked[i], 1) && slices.Contains(clicked[i], 0) {
			within += one(score[i], clicked[i])
			n++
		}
	}
	return one(slices.Concat(score...), slices.Concat(clicked...)), within / n
}

// What can be known about a click, and what part of it sits in the person and in
// hidden attributes: both between requests and within.
func TestWhatAClickDependsOn(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Users, cfg.Impressions = 500, 6
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	number := make(map[string]int, len(c.Places))
	for i, p := range c.Places {
		number[p.ID] = i
	}
	forms := map[string]func(v *view, s *poi.Shown, t terms) float64{
		"click":     func(_ *view, s *poi.Shown, _ terms) float64 { return float64(s.Click) },
		"relevance": func(_ *view, s *poi.Shown, _ terms) float64 { return float64(s.Relevance) },
		"no attributes": func(_ *view, _ *poi.Shown, t terms) float64 {
			t.attributes = 0
			return t.sum()
		},
		"no person": func(v *view, s *poi.Shown, t terms) float64 {
			spot := &c.spots[number[s.POI]]
			t.attributes, t.taste = 0, 0
			if v.town == v.p.town && int(spot.town) == v.town {
				t.fit = c.crowd.at(v.local).fit(int(spot.category))
			}
			return t.sum()
		},
	}
	scores, clicked := map[string][][]float64{}, [][]float64(nil)
	for u := range cfg.Users {
		p := c.person(u)
		for _, r := range c.Impressions(u) {
			v, row, y := c.view(p, MomentOf(&r)), map[string][]float64{}, []float64(nil)
			for i := range r.Shown {
				s := &r.Shown[i]
				for name, form := range forms {
					row[name] = append(row[name], form(v, s, v.terms(number[s.POI])))
				}
				y = append(y, map[bool]float64{true: 1}[s.Clicked])
			}
			for name := range forms {
				scores[name] = append(scores[name], row[name])
			}
			clicked = append(clicked, y)
		}
	}
	pooled, within := map[string]float64{}, map[string]float64{}
	for name := range forms {
		pooled[name], within[name] = rating(scores[name], clicked)
		t.Logf("%-14s AUC %.3f, within requests %.3f", name, pooled[name], within[name])
	}
	for _, a := range []map[string]float64{pooled, within} {
		if a["click"] < 0.80 || a["click"] > 0.86 || a["relevance"] > a["click"] {
			t.Errorf("best AUC %.3f by click and %.3f by relevance, want 0.80 to 0.86 and the latter lower", a["click"], a["relevance"])
		}
		if a["relevance"] < a["no attributes"]+0.02 || a["relevance"] < a["no person"]+0.05 || a["no person"] > 0.71 {
			t.Errorf("AUC %.3f, without attributes %.3f, without the person %.3f: nothing to learn", a["relevance"], a["no attributes"], a["no person"])
		}
	}
}

// Each term of the utility, by hand.
func TestUtilityTerms(t *testing.T) {
	cfg := DefaultConfig()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := c.person(3)
	at := Moment{TimeMS: c.start.UnixMilli() + (10*24+12)*3600_000, OffsetMin: 60}
	at.Lat, at.Lng = c.coordinates(c.towns[mainTown].centre)
	v := c.view(p, at)
	place := slices.IndexFunc(c.spots, func(s spot) bool { return categories[s.category].path == "Arts > Museum" && s.town == mainTown })
	c.spots[place] = spot{at: point{0, 3.5}, attract: math.Pow(4, -tailExponent), category: c.spots[place].category, traits: 1<<quiet | 1<<terrace}
	p.appeal = [attributes]float64{quiet: 1, terrace: -0.5, vegan: 1}
	p.taste[c.spots[place].category] = math.E
	v.wants = demand{culture: 0.5, sights: 0.1}
	n := float64(c.towns[mainTown].quota[c.spots[place].category])
	got := v.terms(place)
	for _, tc := range []struct {
		name      string
		got, want float64
	}{
		{"taste", got.taste, tasteWeight},
		{"attributes", got.attributes, attributeWeight * 0.5},
		{"popularity", got.popularity, popularityWeight * (math.Log(n/4) - 1)},
		{"distance", got.distance, -distanceWeight * math.Log(8)}, // 3.5 km
		{"fit", got.fit, fitWeight * math.Log((fitFloor+0.6*0.5+0.1)/(fitFloor+fitMean))},
		{"closed", got.closed, 0}, // a Thursday at one
		{"status", got.status, 0},
	} {
		if math.Abs(tc.got-tc.want) > 1e-6 {
			t.Errorf("%s is %.6f, want %.6f", tc.name, tc.got, tc.want)
		}
	}
	v.local = v.local.AddDate(0, 0, 4) // a Monday: museums are closed
	v.town = 1                         // as if he stood in the other town
	if again := v.terms(place); again.closed != closedPenalty || again.status != holidayBonus {
		t.Errorf("on a Monday abroad: closed %g, status %g", again.closed, again.status)
	}
	v.goal = mainTown // as if he planned a trip here
	if again := v.terms(place); again.closed != 0 || again.distance != far(3.5) {
		t.Errorf("before a trip: closed %g, distance %g", again.closed, again.distance)
	}
	home := slices.IndexFunc(c.spots, func(s spot) bool { return s.category == 0 })
	if status := v.terms(home).status; status != functionalPlace {
		t.Errorf("a home has the status %g", status)
	}
}

// No single word gives an attribute away, and no phrasing serves two.
func TestPhrasingsAreVaried(t *testing.T) {
	seen := map[string]bool{}
	for a, list := range phrasings {
		in := map[string]int{}
		for _, text := range append([]string{denied[a]}, list...) {
			if seen[text] || text != strings.ToLower(text[:1])+text[1:] {
				t.Errorf("%q occurs twice or begins with a capital", text)
			}
			seen[text] = true
		}
		for _, text := range list {
			words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
			slices.Sort(words)
			for _, w := range slices.Compact(words) {
				if in[w]++; len(w) > 4 && in[w] > 2 {
					t.Errorf("%s: %q is in three phrasings", attributeNames[a], w)
				}
			}
		}
		if len(list) < 8 || len(tellingTags[a]) < 2 {
			t.Errorf("%s has %d phrasings and %d tags", attributeNames[a], len(list), len(tellingTags[a]))
		}
	}
}

// Reviews tell the attributes to whoever knows the phrasings.
func TestTextTellsAttributes(t *testing.T) {
	c, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	score, has := make([][][]float64, attributes), make([][][]float64, attributes)
	for i := range 1500 {
		text := strings.ToLower(strings.Join(c.Details(i).Reviews, " "))
		for a := range attributes {
			n, y := 1e-9*float64(i), 0.0 // breaks ties at random
			for _, p := range phrasings[a] {
				n += float64(strings.Count(text, strings.ToLower(p)))
			}
			if c.spots[i].traits.has(a) {
				y = 1
			}
			score[a], has[a] = append(score[a], []float64{n}), append(has[a], []float64{y})
		}
	}
	for a := range attributes {
		if got, _ := rating(score[a], has[a]); got < 0.85 || got > 0.995 {
			t.Errorf("phrases find %s with AUC %.3f, want 0.85 to 0.995", attributeNames[a], got)
		}
	}
}

// Ten million places must fit in memory.
func TestSpotIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(spot{}); size > 32 {
		t.Errorf("a spot takes %d bytes, want at most 32", size)
	}
}

// coordinates and position undo each other wherever the towns are.
func TestPositionUndoesCoordinates(t *testing.T) {
	for _, centre := range [][2]float64{{45.76, 4.84}, {-65, 179.99}, {0, -180}, {70, 12}} {
		c := &City{cfg: Config{Lat: centre[0], Lng: centre[1]}}
		for _, p := range []point{{}, {3, -4}, {-390, 20}, {80, 390}} {
			if q := c.position(c.coordinates(p)); p.distance(q) > 2e-4 {
				t.Errorf("around %v the point %v comes back as %v", centre, p, q)
			}
		}
	}
}
