package align

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/whereto/whereto/poi"
)

// Settings of targeted samples.
const (
	DefaultTargetNegatives = 4
	MaxSamples             = 10_000_000
	// maxRounds bounds how often one request may serve one rule.
	maxRounds = 8
)

// TargetOptions are the settings of Targets.
type TargetOptions struct {
	Samples   int // how many to aim at, anchors included
	Negatives int // of a sample; 0: DefaultTargetNegatives
	Seed      uint64
}

// RuleCounts says what a rule, or the anchors, found.
type RuleCounts struct {
	Rule        string `json:"rule"`    // "" for the anchors
	Moments     int    `json:"moments"` // requests at which it holds
	Wanted      int    `json:"wanted"`  // samples
	Made        int    `json:"made"`
	NoPreferred int    `json:"no_preferred"` // draws without a preferred place at hand
	NoOther     int    `json:"no_other"`     // draws with nothing to prefer it to
}

// FeedMoments returns the requests of one part of a feed, for Targets.
func FeedMoments(f *poi.Feed, tag poi.Tag) []poi.Request {
	out := make([]poi.Request, 0, len(f.ByTag[tag]))
	for _, at := range f.ByTag[tag] {
		out = append(out, f.Requests[at])
	}
	return out
}

// DataMoments returns the targets of one part of a data set as requests without
// options, for Targets where there is no feed.
func DataMoments(d *poi.Dataset, tag poi.Tag) []poi.Request {
	out := make([]poi.Request, 0, len(d.Targets[tag]))
	for _, t := range d.Targets[tag] {
		v := d.Users[t.User].Visits[t.Pos]
		out = append(out, poi.Request{ID: fmt.Sprintf("%s/%d", d.Users[t.User].ID, t.Pos), User: t.User, Pos: t.Pos,
			TimeMS: v.TimeMS, OffsetMin: v.OffsetMin, HasUser: v.HasUser, UserLat: v.UserLat, UserLng: v.UserLng, Tag: v.Tag})
	}
	return out
}

// Targets makes samples that teach the rules. At a moment of a rule the one
// positive is a place that the rule prefers and the negatives are places that no
// rule of the moment prefers, up to half of them avoided ones; all are drawn from
// what the person could have been shown there (see candidate). Anchors are made at
// moments of no rule: a preferred place against others, once each way and each
// with half the weight. The DPO loss of such a sample and its mirror is least where
// every log-ratio is that of the reference, so other hours stay as they are; for
// S-DPO this holds with one negative a sample.
//
// The samples of the rules come in order of the file, then the anchors, a sample
// and its mirror side by side. A rule or the anchors for which nothing can be made
// is an error that wraps poi.ErrEmpty; less than wanted is not, see the counts.
func Targets(r *Rules, d *poi.Dataset, moments []poi.Request, opt TargetOptions) ([]Sample, []RuleCounts, error) {
	opt.Negatives = cmp.Or(opt.Negatives, DefaultTargetNegatives)
	if opt.Samples < 1 || opt.Samples > MaxSamples || opt.Negatives < 1 || opt.Negatives > MaxCandidates {
		return nil, nil, fmt.Errorf("targeted samples: %w: %d samples of %d negatives, want 1 to %d of 1 to %d", poi.ErrBadInput, opt.Samples, opt.Negatives, MaxSamples, MaxCandidates)
	}
	if err := r.Check(d.Places); err != nil {
		return nil, nil, err
	}
	m := &maker{rules: r, pools: newPools(d, r.NearM), opt: opt, at: make([][]int, len(moments))}
	for i := range moments {
		if err := m.pools.check(&moments[i]); err != nil {
			return nil, nil, fmt.Errorf("targeted samples: %w", err)
		}
		m.at[i] = r.at(d, &moments[i])
	}
	var out []Sample
	var all []RuleCounts
	for i := range r.Rules {
		samples, counts := m.run(moments, i)
		out, all = append(out, samples...), append(all, counts)
	}
	samples, counts := m.run(moments, anchors)
	out, all = append(out, samples...), append(all, counts)
	for _, c := range all {
		if c.Wanted == 0 || c.Made > 0 {
			continue
		}
		if c.Rule == "" {
			return nil, all, fmt.Errorf("targeted samples: %w: no anchor, %d of %d requests are outside of all rules; set anchor_share to 0 if that is meant", poi.ErrEmpty, c.Moments, len(moments))
		}
		return nil, all, fmt.Errorf("targeted samples: %w: rule %q of %s made none: %d of %d requests are at its hours and place, %d draws found no preferred place there and %d no other; widen near_m, its hours or its place",
			poi.ErrEmpty, c.Rule, r.File, c.Moments, len(moments), c.NoPreferred, c.NoOther)
	}
	return out, all, nil
}

// anchors stands for the anchors where a rule's number is asked for.
const anchors = -1

type maker struct {
	rules *Rules
	pools *pools
	opt   TargetOptions
	at    [][]int // rules that hold, by moment
}

// run makes the samples of one rule or the anchors. Requests come in an order
// drawn by the seed, each once a round.
func (m *maker) run(moments []poi.Request, rule int) ([]Sample, RuleCounts) {
	var counts RuleCounts
	purpose, share := KindAnchor, m.rules.AnchorShare
	if rule != anchors {
		counts.Rule, share = m.rules.Rules[rule].Name, m.rules.Rules[rule].Share
		purpose = KindTarget + "\x00" + counts.Rule
	}
	counts.Wanted = int(math.Round(share * float64(m.opt.Samples)))
	if rule == anchors {
		counts.Wanted = (counts.Wanted + 1) / 2 * 2
	}
	type turn struct {
		at  int
		key uint64
	}
	var turns []turn
	for i := range moments {
		if rule == anchors && len(m.at[i]) == 0 || slices.Contains(m.at[i], rule) {
			turns = append(turns, turn{i, rngOf(m.opt.Seed, &moments[i], purpose).Uint64()})
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	counts.Moments = len(turns)
	var out []Sample
	for round := range maxRounds {
		for _, t := range turns {
			if len(out) >= counts.Wanted {
				break
			}
			out = append(out, m.make(&moments[t.at], m.at[t.at], rule, fmt.Sprintf("%s\x00%d", purpose, round), &counts)...)
		}
	}
	counts.Made = len(out)
	return out, counts
}

// make returns the sample of one request, or the two of an anchor; none where the
// pool lacks either side.
func (m *maker) make(q *poi.Request, holding []int, rule int, purpose string, counts *RuleCounts) []Sample {
	rng := rngOf(m.opt.Seed, q, purpose)
	of, kind := rule, KindTarget
	if rule == anchors {
		of, kind, holding = m.byShare(rng.Float64()), KindAnchor, m.rules.all()
	}
	r := &m.rules.Rules[of]
	var preferred, avoided, others []candidate
	for _, c := range m.pools.of(q) {
		category := m.pools.d.Places[c.poi].Category
		switch {
		case r.Prefers(category):
			preferred = append(preferred, c)
		case m.rules.prefers(holding, category): // another rule's: on neither side
		case r.Avoids(category):
			avoided = append(avoided, c)
		default:
			others = append(others, c)
		}
	}
	if len(preferred) == 0 {
		counts.NoPreferred++
		return nil
	}
	if len(avoided)+len(others) == 0 {
		counts.NoOther++
		return nil
	}
	positive := draw(rng, preferred, 1)
	negative := draw(rng, avoided, max((m.opt.Negatives+1)/2, m.opt.Negatives-len(others)))
	negative = append(negative, draw(rng, others, m.opt.Negatives-len(negative))...)
	s := Sample{Request: momentOf(q), Positive: positive, Negative: negative, Weight: r.Weight, Kind: kind, Rule: r.Name}
	if rule != anchors {
		return []Sample{s}
	}
	s.Weight /= 2
	mirror := s
	mirror.Positive, mirror.Negative = s.Negative, s.Positive
	return []Sample{s, mirror}
}

// byShare returns the rule at x of [0, 1) of the rules' shares laid end to end.
func (m *maker) byShare(x float64) int {
	total := 0.0
	for _, r := range m.rules.Rules {
		total += r.Share
	}
	x *= total
	for i, r := range m.rules.Rules {
		if x -= r.Share; x < 0 {
			return i
		}
	}
	return len(m.rules.Rules) - 1
}
