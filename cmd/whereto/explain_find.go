package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/media"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/ranker"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/tune"
)

// caseFinder finds the request and the place to explain.
type caseFinder struct {
	cmd     *cobra.Command
	backend compute.Backend
	t       *tune.Trained
	ask     *asking
	dir     string

	own, other poi.Ranker
	details    []poi.Details // nil: the data has none
	explainer  *tune.Explainer
	closers    []func() error
}

func (c *caseFinder) close() error {
	var errs []error
	for _, f := range c.closers {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// prepare makes the rankers and the explainer.
func (c *caseFinder) prepare() (err error) {
	ctx, t := c.cmd.Context(), c.t
	if c.own, err = t.Ranker(t.Recipe.Name, c.backend, t.Store); err != nil {
		return err
	}
	c.details, err = pipeline.LoadDetails(ctx, t.Recipe.Data, t.Dataset)
	if err != nil && (t.Media != nil || !errors.Is(err, poi.ErrEmpty)) {
		return err
	}
	var encoder media.Encoder
	if t.Media != nil {
		if encoder, err = media.New(t.Recipe.Media, c.backend); err != nil {
			return err
		}
	}
	if c.explainer, err = t.Explainer(c.backend, t.Store, encoder, c.details); err != nil {
		return err
	}
	if c.ask.against == "" {
		c.other = ranker.Popularity(t.Dataset)
		return nil
	}
	if err := c.openOther(); err != nil {
		return errors.Join(err, c.close())
	}
	return nil
}

// openOther opens the run of --against, which may be of any stage.
func (c *caseFinder) openOther() error {
	dir, o := c.ask.against, c.ask.from.options(c.cmd, c.backend)
	r, err := run.Open(dir)
	if err != nil {
		return err
	}
	rec, err := fit.Recipe(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	var feed *poi.Feed
	if rec.Tune.Stage == spacetime.StageBase {
		s := &shownRuns{cmd: c.cmd, backend: c.backend, from: &c.ask.from, tag: c.ask.tag}
		b, t, err := s.base(dir, o)
		if err != nil {
			return err
		}
		c.closers = append(c.closers, t.Close)
		feed = b.Feed
		if c.other, err = b.Ranker(rec.Name, c.backend, t.Store); err != nil {
			return err
		}
	} else {
		t, err := tune.Open(c.cmd.Context(), dir, o, tuneOptions(c.cmd, c.backend))
		if err != nil {
			return err
		}
		c.closers = append(c.closers, t.Close)
		feed = t.Feed
		if c.other, err = t.Ranker(rec.Name, c.backend, t.Store); err != nil {
			return err
		}
	}
	if feed.Fingerprint != c.t.Feed.Fingerprint {
		return fmt.Errorf("%s was trained on other data or impressions than %s: %w; their scores do not compare", dir, c.dir, run.ErrMismatch)
	}
	return nil
}

// find returns the request and the place that the flags ask for.
func (c *caseFinder) find() (*poi.Request, int32, error) {
	place := int32(-1)
	if c.ask.place != "" {
		var ids []string
		for p := range c.t.Dataset.Places {
			if c.t.Dataset.Places[p].ID == c.ask.place {
				place = int32(p)
			}
			ids = append(ids, c.t.Dataset.Places[p].ID)
		}
		if place < 0 {
			return nil, 0, fmt.Errorf("POI %q is not among the %d of the run's data: %w; near it are %s", c.ask.place, len(ids), poi.ErrUnknownPOI, neighbours(ids, c.ask.place))
		}
	}
	if c.ask.request == "" {
		return c.telling(place)
	}
	for i := range c.t.Feed.Requests {
		q := &c.t.Feed.Requests[i]
		if q.ID != c.ask.request {
			continue
		}
		if place >= 0 {
			return q, place, nil
		}
		place, err := c.highest(q)
		return q, place, err
	}
	ids := make([]string, len(c.t.Feed.Requests))
	for i := range ids {
		ids[i] = c.t.Feed.Requests[i].ID
	}
	return nil, 0, fmt.Errorf("request %q is not among the %d of the run's data: %w; near it are %s", c.ask.request, len(ids), poi.ErrBadInput, neighbours(ids, c.ask.request))
}

// neighbours are the ids that stand around a word in the order of the alphabet.
func neighbours(ids []string, word string) string {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	at, _ := slices.BinarySearch(ids, word)
	from := max(0, min(at-2, len(ids)-4))
	return strings.Join(ids[from:min(from+4, len(ids))], ", ")
}

// scores are those of a ranker at some requests.
func (c *caseFinder) scores(r poi.Ranker, requests []*poi.Request) ([][]float64, error) {
	out := make([][]float64, len(requests))
	for i, q := range requests {
		out[i] = make([]float64, len(q.Options))
	}
	return out, r.Rank(c.cmd.Context(), requests, out)
}

// highest is the clicked place that the run ranks highest, or without a click the
// highest of all.
func (c *caseFinder) highest(q *poi.Request) (int32, error) {
	scores, err := c.scores(c.own, []*poi.Request{q})
	if err != nil {
		return 0, err
	}
	best := 0
	for i, o := range q.Options {
		b := q.Options[best]
		if o.Clicked && !b.Clicked || o.Clicked == b.Clicked && scores[0][i] > scores[0][best] {
			best = i
		}
	}
	return q.Options[best].POI, nil
}

const (
	searched  = 2000 // requests that a telling case is looked for in, evenly spaced
	finalists = 8    // cases that are explained before one is chosen
	// meant is the least true probability of a click, where a simulated log knows it,
	// at which a click is no mere chance: nothing of the person explains those.
	meant = 0.3
)

// found is a clicked place and how much higher the run ranks it than the other.
type found struct {
	q     *poi.Request
	place int32
	gain  float64 // share of the list
	score float64
	meant bool // the click is no mere chance, as far as anybody knows
}

// telling chooses a case. place limits the choice to one place, -1 does not.
func (c *caseFinder) telling(place int32) (*poi.Request, int32, error) {
	list, err := c.gains(place)
	if err != nil {
		return nil, 0, err
	}
	if len(list) == 0 {
		if place >= 0 {
			return nil, 0, fmt.Errorf("no %s request with a click and a miss has a click on %s: %w; give --request, or another --split", c.ask.tag, c.ask.place, poi.ErrEmpty)
		}
		return nil, 0, fmt.Errorf("none of the %d %s requests has a click and a miss: %w; give --request, or another --split", len(c.t.Feed.ByTag[c.ask.tag]), c.ask.tag, poi.ErrEmpty)
	}
	sayTo(c.cmd)(fmt.Sprintf("choosing a telling case out of %d clicks", len(list)))
	best, loudest := list[0], math.Inf(-1)
	for _, f := range list[:min(finalists, len(list))] {
		why, err := c.explainer.Explain(c.cmd.Context(), f.q, f.place)
		if err != nil {
			return nil, 0, err
		}
		if voice := loudness(why); voice > loudest {
			best, loudest = f, voice
		}
	}
	return best.q, best.place, nil
}

// loudness is the largest delta of a tag, a review or the image, or of an action
// where the run does not see these.
func loudness(why *tune.Explanation) float64 {
	most := math.Inf(-1)
	for _, p := range why.Parts {
		if p.Kind == tune.CauseTag || p.Kind == tune.CauseReview || p.Kind == tune.CauseImage {
			most = max(most, p.Delta)
		}
	}
	if len(why.Parts) > 0 {
		return most
	}
	for _, a := range why.Actions {
		most = max(most, a.Delta)
	}
	return most
}

// gains are clicked places of the part, the most telling first.
func (c *caseFinder) gains(place int32) ([]found, error) {
	var requests []*poi.Request
	all := c.t.Feed.ByTag[c.ask.tag]
	for i := 0; i < len(all); i += max(1, len(all)/searched) {
		q := &c.t.Feed.Requests[all[i]]
		if place < 0 || slices.ContainsFunc(q.Options, func(o poi.Option) bool { return o.POI == place }) {
			requests = append(requests, q)
		}
	}
	own, err := c.scores(c.own, requests)
	if err != nil {
		return nil, err
	}
	other, err := c.scores(c.other, requests)
	if err != nil {
		return nil, err
	}
	var list []found
	for i, q := range requests {
		if !slices.ContainsFunc(q.Options, func(o poi.Option) bool { return !o.Clicked }) {
			continue
		}
		for k, o := range q.Options {
			if o.Clicked && (place < 0 || o.POI == place) {
				gain := float64(above(other[i], k)-above(own[i], k)) / float64(len(q.Options))
				list = append(list, found{q, o.POI, gain, own[i][k], o.Relevance < 0 || o.Relevance >= meant})
			}
		}
	}
	slices.SortStableFunc(list, func(x, y found) int {
		return cmp.Or(cmp.Compare(y.gain, x.gain), cmp.Compare(y.score, x.score))
	})
	if likely := slices.DeleteFunc(slices.Clone(list), func(f found) bool { return !f.meant }); len(likely) > 0 {
		return likely, nil
	}
	return list, nil
}

// above is how many scores are higher than that at k.
func above(scores []float64, k int) int {
	n := 0
	for _, x := range scores {
		if x > scores[k] {
			n++
		}
	}
	return n
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
