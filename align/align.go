// Package align makes preference data for the alignment stage (paper section
// 3.2.3): which places a model should like better than which, at what moment. It
// holds data only, no graphs and no training.
//
// Words: a Sample is one moment with preferred places (Positive) and others
// (Negative); the loss runs over all their pairs. Ordinary samples come from the
// clicks of a Feed. Targeted ones come from a rule file (docs/format/rules.md),
// "at these hours and in this part of the world prefer these categories" (the
// paper's Spatiotemporal Sensitivity), and with them come anchors: pairs at other
// moments, each in both directions, which cost the least where nothing moves.
//
// Promised: everything is a pure function of its arguments and a seed; what is
// chosen for a request does not depend on the other requests' order; statistics
// read training visits and what the user did before the request, nothing later.
//
// A rule file that is wrong or contradicts itself gives an error that wraps
// ErrRules and names file, line and rules; other bad values wrap poi.ErrBadInput;
// data that yield no sample wrap poi.ErrEmpty.
package align

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/whereto/whereto/poi"
)

// ErrRules is returned for a rule file that cannot be used.
var ErrRules = errors.New("bad rule file")

// Kinds of samples.
const (
	KindFeed   = "feed"   // from clicks
	KindTarget = "target" // from a rule
	KindAnchor = "anchor" // outside of all rules, in both directions
)

// Sample is one moment and its preferences.
type Sample struct {
	// Request is the moment. Its Options are nil: the candidates are below.
	Request            poi.Request
	Positive, Negative []int32 // dense POI ids, no id twice; neither is empty
	Weight             float64 // of each pair in the loss, above 0
	Kind               string
	Rule               string // name of the rule behind a target or an anchor
}

// Pairs returns how many pairs the loss sees.
func (s *Sample) Pairs() int { return len(s.Positive) * len(s.Negative) }

// Limits bound the candidates of one sample.
type Limits struct {
	Positives int // 0: DefaultPositives
	Negatives int // 0: DefaultNegatives
	Seed      uint64
}

// Bounds of Limits.
const (
	DefaultPositives = 4
	DefaultNegatives = 8
	MaxCandidates    = 1024
)

func (l Limits) filled() (Limits, error) {
	l.Positives, l.Negatives = cmp.Or(l.Positives, DefaultPositives), cmp.Or(l.Negatives, DefaultNegatives)
	for _, n := range []int{l.Positives, l.Negatives} {
		if n < 1 || n > MaxCandidates {
			return l, fmt.Errorf("%w: %d candidates a sample, want 1 to %d", poi.ErrBadInput, n, MaxCandidates)
		}
	}
	return l, nil
}

// FeedCounts says what became of the requests of a feed.
type FeedCounts struct {
	Requests   int `json:"requests"`
	Used       int `json:"used"`
	NoClick    int `json:"no_click"`   // left out: nothing preferred
	OnlyClicks int `json:"all_click"`  // left out: nothing to prefer it to
	Duplicates int `json:"duplicates"` // options shown twice in one request, taken once
	Pairs      int `json:"pairs"`
}

// FromFeed makes a sample of every request of the part that has both clicked and
// unclicked options, with weight 1. Over the limits it draws by the seed and the
// request's id. A place shown twice counts once, as clicked if either was.
func FromFeed(f *poi.Feed, tag poi.Tag, limits Limits) ([]Sample, FeedCounts, error) {
	var counts FeedCounts
	limits, err := limits.filled()
	if err != nil {
		return nil, counts, fmt.Errorf("samples from a feed: %w", err)
	}
	if int(tag) >= len(f.ByTag) {
		return nil, counts, fmt.Errorf("samples from a feed: %w: part %d of a split", poi.ErrBadInput, tag)
	}
	var out []Sample
	for _, at := range f.ByTag[tag] {
		if at < 0 || int(at) >= len(f.Requests) {
			return nil, counts, fmt.Errorf("samples from a feed: %w: it lists request %d of %d", poi.ErrBadInput, at, len(f.Requests))
		}
		r := &f.Requests[at]
		counts.Requests++
		positive, negative, err := parts(r, &counts)
		switch {
		case err != nil:
			return nil, counts, fmt.Errorf("samples from a feed: request %s: %w", r.ID, err)
		case len(positive) == 0:
			counts.NoClick++
			continue
		case len(negative) == 0:
			counts.OnlyClicks++
			continue
		}
		rng := rngOf(limits.Seed, r, KindFeed)
		s := Sample{Request: momentOf(r), Weight: 1, Kind: KindFeed,
			Positive: pick(rng, positive, limits.Positives), Negative: pick(rng, negative, limits.Negatives)}
		counts.Used++
		counts.Pairs += s.Pairs()
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, counts, fmt.Errorf("samples from a feed: %w: none of %d %s requests has both a click and a place without one", poi.ErrEmpty, counts.Requests, tag)
	}
	return out, counts, nil
}

// parts splits the distinct options of a request, each in order of display.
func parts(r *poi.Request, counts *FeedCounts) (positive, negative []int32, err error) {
	clicked := make(map[int32]bool, len(r.Options))
	for _, o := range r.Options {
		if o.POI < 0 {
			return nil, nil, fmt.Errorf("%w: option %d", poi.ErrUnknownPOI, o.POI)
		}
		if _, twice := clicked[o.POI]; twice {
			counts.Duplicates++
		}
		clicked[o.POI] = clicked[o.POI] || o.Clicked
	}
	done := make(map[int32]bool, len(clicked))
	for _, o := range r.Options {
		switch {
		case done[o.POI]:
		case clicked[o.POI]:
			positive = append(positive, o.POI)
		default:
			negative = append(negative, o.POI)
		}
		done[o.POI] = true
	}
	return positive, negative, nil
}

// momentOf is the request without its options.
func momentOf(r *poi.Request) poi.Request {
	m := *r
	m.Options = nil
	return m
}

// pick draws n of ids and keeps their order; all of them where there are no more.
func pick(rng *rand.Rand, ids []int32, n int) []int32 {
	if len(ids) <= n {
		return ids
	}
	at := rng.Perm(len(ids))[:n]
	slices.Sort(at)
	out := make([]int32, n)
	for i, a := range at {
		out[i] = ids[a]
	}
	return out
}

// rngOf is a stream for one request and purpose: user, time and id name a request.
func rngOf(seed uint64, r *poi.Request, purpose string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d\x00%d\x00%s\x00%s", r.User, r.TimeMS, r.ID, purpose)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
