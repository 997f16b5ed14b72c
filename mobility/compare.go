package mobility

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Undefined is the value of a distance that a law does not have.
const Undefined = -1

// Difference is how far two logs are apart in one law.
type Difference struct {
	Law string  `json:"law"`
	A   float64 `json:"a"` // the law's headline figure in either log: a median, share or exponent
	B   float64 `json:"b"`
	// JS is the Jensen-Shannon divergence in bits, 0 (equal) to 1 (disjoint); of
	// distributions over half octaves. KS is the Kolmogorov-Smirnov distance, 0 to
	// 1; Shape the same after dividing either log by its median. Undefined (-1)
	// where the law has none.
	JS    float64 `json:"js"`
	KS    float64 `json:"ks"`
	Shape float64 `json:"shape"`
	// Bound says in words what counts as agreement; empty if the law is only shown.
	Bound  string `json:"bound,omitempty"`
	Agrees bool   `json:"agrees"`
	Note   string `json:"note,omitempty"`
}

// bound is what two logs may differ by; a zero field does not bind.
type bound struct{ ratio, diff, js, ks, shape float64 }

// Compare holds b, the reference, against a, law by law. The bounds are ours:
// they are about as wide as what published check-in logs of large cities differ
// by, and a simulated city inside them is a fair stand-in for a real one.
func Compare(a, b *Laws) []Difference {
	out := []Difference{
		dists("trip length, median m", a.Trip, b.Trip, bound{ratio: 2, ks: .25, shape: .15}, ""),
		figures("trip exponent beta", a.TripFit.Beta, b.TripFit.Beta, bound{diff: .75}, fitNote(a, b)),
		dists("radius of gyration, median m", a.Gyration, b.Gyration, bound{ratio: 2.5, shape: .25}, "grows with the size of the city; the shape does not"),
		dists("time between stays, median s", a.Gap, b.Gap, bound{ratio: 2.5, ks: .25}, ""),
		dists("stays per person, median", a.Visits, b.Visits, bound{ratio: 2.5}, "grows with the length of the log and its filters"),
		figures("stays per person and week, mean", perWeek(a), perWeek(b), bound{ratio: 2.5}, ""),
		dists("places per person, median", a.Distinct, b.Distinct, bound{ratio: 2}, "grows with the length of the log"),
		dists("entropy of a person, median bits", a.Entropy, b.Entropy, bound{diff: 1}, ""),
		rankLaw(a, b),
		figures("exploration exponent, by stays", a.ExploreSlope, b.ExploreSlope, bound{diff: .15}, ""),
		figures("exploration exponent, by days", a.ExploreDaysSlope, b.ExploreDaysSlope, bound{diff: .2}, ""),
		figures("return share", a.ReturnShare, b.ReturnShare, bound{diff: .15}, ""),
		dists("stays per place, median", a.Popularity, b.Popularity, bound{}, "depends on the length of the log and on people per place"),
		figures("popularity exponent", a.PopularitySlope, b.PopularitySlope, bound{diff: .35}, ""),
		figures("stays at the top 1 % of places", a.TopShare, b.TopShare, bound{diff: .15}, ""),
		rhythm("hours of working days", a, b, 1, 2, 3, 4, 5),
		rhythm("hours of weekends", a, b, 6, 0),
		week(a, b),
		mix(a, b),
	}
	return out
}

// perWeek is the mean number of stays of a person in a week of the log.
func perWeek(l *Laws) float64 {
	return float64(l.Stays) / float64(l.People) / max(l.Days/7, 1.0/7)
}

func fitNote(a, b *Laws) string {
	for _, l := range []*Laws{a, b} {
		if l.TripFit.N == 0 {
			return fmt.Sprintf("%s has fewer than %d trips of %d m and more; nothing was fitted", l.Name, fitLeast, fitFrom)
		}
		if l.TripFit.KS > .05 {
			return fmt.Sprintf("the truncated power law fits %s only to a KS of %.2f", l.Name, l.TripFit.KS)
		}
	}
	return ""
}

// dists compares distributions by median, divergence and shape.
func dists(law string, a, b *Dist, want bound, note string) Difference {
	d := Difference{Law: law, A: a.Median(), B: b.Median(), JS: Undefined, KS: Undefined, Shape: Undefined, Note: note}
	if a.n == 0 || b.n == 0 {
		d.Note = "one of the logs has no value"
		return d
	}
	d.JS, d.KS = divergence(a.coarse(), b.coarse()), distance(a.sorted(), b.sorted(), 1)
	if d.A > 0 && d.B > 0 {
		d.Shape = distance(a.sorted(), b.sorted(), d.A/d.B)
	}
	return d.judge(want)
}

// figures compares single numbers.
func figures(law string, a, b float64, want bound, note string) Difference {
	return Difference{Law: law, A: a, B: b, JS: Undefined, KS: Undefined, Shape: Undefined, Note: note}.judge(want)
}

// judge says whether the difference is within a bound, and the bound in words.
func (d Difference) judge(want bound) Difference {
	var words []string
	d.Agrees = true
	need := func(ok bool, format string, limit float64) {
		words = append(words, fmt.Sprintf(format, limit))
		d.Agrees = d.Agrees && ok
	}
	if want.ratio > 0 {
		need(d.A > 0 && d.B > 0 && max(d.A/d.B, d.B/d.A) <= want.ratio, "within a factor %g", want.ratio)
	}
	if want.diff > 0 {
		need(math.Abs(d.A-d.B) <= want.diff, "difference <= %g", want.diff)
	}
	if want.js > 0 {
		need(d.JS >= 0 && d.JS <= want.js, "JS <= %g", want.js)
	}
	if want.ks > 0 {
		need(d.KS >= 0 && d.KS <= want.ks, "KS <= %g", want.ks)
	}
	if want.shape > 0 {
		need(d.Shape >= 0 && d.Shape <= want.shape, "shape <= %g", want.shape)
	}
	d.Bound, d.Agrees = strings.Join(words, ", "), d.Agrees && len(words) > 0
	return d
}

// divergence is the Jensen-Shannon divergence in bits of two counts.
func divergence[K comparable](a, b map[K]int64) float64 {
	var na, nb float64
	keys := map[K]bool{}
	for k, n := range a {
		na, keys[k] = na+float64(n), true
	}
	for k, n := range b {
		nb, keys[k] = nb+float64(n), true
	}
	if na == 0 || nb == 0 {
		return Undefined
	}
	var terms []float64
	for k := range keys {
		p, q := float64(a[k])/na, float64(b[k])/nb
		m := (p + q) / 2
		terms = append(terms, half(p, m)+half(q, m))
	}
	slices.Sort(terms) // so that the order of a map does not reach the last bit
	sum := 0.0
	for _, t := range terms {
		sum += t
	}
	return min(max(sum, 0), 1)
}

// half is p/2 log2(p/m).
func half(p, m float64) float64 {
	if p == 0 {
		return 0
	}
	return p / 2 * math.Log2(p/m)
}

// distance is the Kolmogorov-Smirnov distance of two lists in order, the values
// of b multiplied by scale.
func distance(a, b []bin, scale float64) float64 {
	var na, nb, sa, sb, worst float64
	for _, x := range a {
		na += float64(x.count)
	}
	for _, x := range b {
		nb += float64(x.count)
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		at := math.Inf(1)
		if i < len(a) {
			at = a[i].value
		}
		if j < len(b) {
			at = min(at, b[j].value*scale)
		}
		at *= 1 + 1e-12 // equal values stay equal after scaling
		for ; i < len(a) && a[i].value <= at; i++ {
			sa += float64(a[i].count)
		}
		for ; j < len(b) && b[j].value*scale <= at; j++ {
			sb += float64(b[j].count)
		}
		worst = max(worst, math.Abs(sa/na-sb/nb))
	}
	return worst
}

// rankLaw compares how people divide their stays over their places.
func rankLaw(a, b *Laws) Difference {
	d := figures("exponent of a person's places by rank", a.RankSlope, b.RankSlope, bound{diff: .4}, "")
	for k := range max(len(a.Rank), len(b.Rank)) {
		var sa, sb float64
		for i := range k + 1 {
			if i < len(a.Rank) {
				sa += a.Rank[i]
			}
			if i < len(b.Rank) {
				sb += b.Rank[i]
			}
		}
		d.KS = max(d.KS, math.Abs(sa-sb))
	}
	return d
}

// rhythm compares the hours of some weekdays. The headline is the hour of the
// most stays.
func rhythm(name string, a, b *Laws, days ...int) Difference {
	hours := func(l *Laws) (counts map[int]int64, peak float64) {
		counts = map[int]int64{}
		for _, day := range days {
			for hour, n := range l.Rhythm[day] {
				counts[hour] += n
			}
		}
		for hour := range 24 {
			if counts[hour] > counts[int(peak)] {
				peak = float64(hour)
			}
		}
		return counts, peak
	}
	ca, pa := hours(a)
	cb, pb := hours(b)
	d := figures(name+", busiest hour", pa, pb, bound{}, "")
	d.JS = divergence(ca, cb)
	return d.judge(bound{js: .1})
}

// week compares weekdays. The headline is the share of the weekend.
func week(a, b *Laws) Difference {
	days := func(l *Laws) (counts map[int]int64, weekend float64) {
		counts = map[int]int64{}
		for day, hours := range l.Rhythm {
			for _, n := range hours {
				counts[day] += n
			}
		}
		return counts, float64(counts[0]+counts[6]) / float64(l.Stays)
	}
	ca, wa := days(a)
	cb, wb := days(b)
	d := figures("weekdays, share of the weekend", wa, wb, bound{}, "")
	d.JS = divergence(ca, cb)
	return d.judge(bound{js: .02})
}

// mix compares what people do, if both logs name it alike. The headline is the
// share of stays in groups that both logs have.
func mix(a, b *Laws) Difference {
	groups := func(l, other *Laws) (counts map[string]int64, shared float64) {
		counts = map[string]int64{}
		for _, group := range slices.Sorted(maps.Keys(l.Mix)) {
			_, both := other.Mix[group]
			for _, n := range l.Mix[group] {
				counts[group] += n
				if both && group != Other {
					shared += float64(n)
				}
			}
		}
		return counts, shared / float64(l.Stays)
	}
	ca, sa := groups(a, b)
	cb, sb := groups(b, a)
	d := figures("categories, share both logs name", sa, sb, bound{}, "")
	if min(sa, sb) < .5 {
		d.Note = "the logs name their categories too differently to compare them"
		return d
	}
	d.JS = divergence(ca, cb)
	return d.judge(bound{js: .1})
}
