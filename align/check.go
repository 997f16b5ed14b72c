package align

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// contradictions returns an error for each name used twice, each rule that avoids
// all it prefers, and each pair of rules of which one prefers at some time and
// place what the other avoids there.
func (r *Rules) contradictions() []error {
	var errs []error
	for i := range r.Rules {
		a := &r.Rules[i]
		for _, p := range a.Prefer {
			if underAny(p, a.Avoid) {
				errs = append(errs, fmt.Errorf("%s:%d: rule %q prefers %q and avoids it too; remove one", r.File, a.lines[p], a.Name, p))
			}
		}
		for j := range i {
			b := &r.Rules[j]
			if a.Name == b.Name {
				errs = append(errs, fmt.Errorf("%s:%d: rule %q has the name of the rule in line %d; give it another", r.File, a.line, a.Name, b.line))
			}
			if a.meets(b) < 0 || !a.Area.overlaps(b.Area) {
				continue
			}
			errs = append(errs, r.clash(a, b)...)
			errs = append(errs, r.clash(b, a)...)
		}
	}
	return errs
}

// clash returns an error where b avoids what a prefers. What a itself avoids is
// not preferred: "Food without Food > Fast Food" agrees with avoiding the latter.
func (r *Rules) clash(a, b *Rule) []error {
	for _, p := range a.Prefer {
		for _, q := range b.Avoid {
			both := p // the narrower of the two, if one holds the other
			if under(q, p) {
				both = q
			} else if !under(p, q) {
				continue
			}
			if underAny(both, a.Avoid) {
				continue
			}
			return []error{fmt.Errorf("%s:%d: rule %q prefers %q and rule %q (line %d) avoids %q, both on %s and in one place; change the hours, the place or a category of one",
				r.File, a.lines[p], a.Name, p, b.Name, b.lines[q], q, weekMinute(a.meets(b)))}
		}
	}
	return nil
}

// meets returns the first minute of the week at which both rules hold, -1 if none.
func (r *Rule) meets(o *Rule) int {
	for m := range r.minutes {
		if r.minutes[m] && o.minutes[m] {
			return m
		}
	}
	return -1
}

func weekMinute(m int) string {
	return fmt.Sprintf("%s at %02d:%02d", weekdayNames[m/minutesOfDay], m%minutesOfDay/60, m%60)
}

// shares gives the rules that state none an equal part of what is left.
func (r *Rules) shares() error {
	stated, unstated := r.AnchorShare, 0
	for _, rule := range r.Rules {
		if stated += rule.Share; rule.Share == 0 {
			unstated++
		}
	}
	left := 1 - stated
	const rounding = 1e-9
	switch {
	case left < -rounding:
		return fmt.Errorf("%s: the shares of the rules and anchor_share %g come to %.6g, want at most 1", r.File, r.AnchorShare, stated)
	case unstated > 0 && left <= rounding:
		return fmt.Errorf("%s: the stated shares and anchor_share come to 1 and leave nothing for %d rules without a share; lower one", r.File, unstated)
	}
	for i := range r.Rules {
		if r.Rules[i].Share == 0 {
			r.Rules[i].Share = left / float64(unstated)
		}
	}
	return nil
}

// Check returns an error, wrapping ErrRules, for every category of a rule that no
// open place of the catalogue has, and for every rule whose area holds no place.
func (r *Rules) Check(places []poi.Place) error {
	seen := map[string]bool{}
	for i := range places {
		if !places[i].Closed {
			seen[places[i].Category] = true
		}
	}
	known := make([]string, 0, len(seen))
	for c := range seen {
		known = append(known, c)
	}
	slices.Sort(known)
	var errs []error
	for i := range r.Rules {
		rule := &r.Rules[i]
		for _, c := range slices.Concat(rule.Prefer, rule.Avoid) {
			if !slices.ContainsFunc(known, func(k string) bool { return under(k, c) }) {
				errs = append(errs, fmt.Errorf("%s:%d: rule %q: no open place has the category %q; nearest is %q", r.File, rule.lines[c], rule.Name, c, source.Nearest(c, prefixes(known))))
			}
		}
		if rule.Area != nil && !slices.ContainsFunc(places, func(p poi.Place) bool { return !p.Closed && rule.Area.Contains(p.Lat, p.Lng) }) {
			errs = append(errs, fmt.Errorf("%s:%d: rule %q: no open place lies in its area; are latitude and longitude swapped?", r.File, rule.line, rule.Name))
		}
	}
	return wrap(errs)
}

// prefixes returns every level of the categories once, in order.
func prefixes(categories []string) []string {
	var out []string
	for _, c := range categories {
		for end := range c {
			if under(c, c[:end]) && end > 0 {
				out = append(out, c[:end])
			}
		}
		out = append(out, c)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wrap joins problems under ErrRules; nil if there are none.
func wrap(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRules, errors.Join(errs...))
}

// finite reports whether lo <= x <= hi, which NaN and infinities are not.
func finite(x, lo, hi float64) bool { return x >= lo && x <= hi && !math.IsInf(x, 0) }
