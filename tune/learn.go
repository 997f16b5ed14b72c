package tune

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/align"
	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
)

// tasks are the requests a stage learns from, in the order of user and time.
func (a *Assembly) tasks(ctx context.Context, backend compute.Backend, store *model.Store, say pipeline.Progress) ([]batch.FeedTask, error) {
	if a.Recipe.Tune.Stage == spacetime.StageAlign {
		return a.preferences(ctx, backend, store, say)
	}
	var out []batch.FeedTask
	end := a.until()
	for _, at := range a.Feed.ByTag[poi.Train] {
		q := &a.Feed.Requests[at]
		if q.TimeMS > end || a.Recipe.Feed.LeavesOut(q.User) {
			continue
		}
		// InfoNCE has nothing to tell apart without a click and a miss; the binary loss
		// learns from every request.
		if a.Recipe.Tune.Stage == spacetime.StageEmbed && !mixed(q) {
			continue
		}
		out = append(out, batch.FeedTask{Request: q, Weight: 1})
	}
	if a.Recipe.Tune.Stage == spacetime.StageEmbed && a.Recipe.Feed.Visits > 0 {
		visits := a.visits(end)
		if say != nil {
			say(fmt.Sprintf("%d requests and %d first visits to learn from", len(out), len(visits)))
		}
		for i := range visits {
			out = append(out, batch.FeedTask{Request: &visits[i], Weight: 1})
		}
		slices.SortStableFunc(out, func(x, y batch.FeedTask) int { return byUserAndTime(x.Request, y.Request) })
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%d impressions of the training period have none with both a click and a place without one: %w", len(a.Feed.ByTag[poi.Train]), poi.ErrEmpty)
	}
	return out, nil
}

// until is the instant of the last training request that the stage learns from.
func (a *Assembly) until() int64 {
	times := make([]int64, 0, len(a.Feed.ByTag[poi.Train]))
	for _, at := range a.Feed.ByTag[poi.Train] {
		times = append(times, a.Feed.Requests[at].TimeMS)
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[max(0, int(math.Ceil(a.Recipe.Feed.Until*float64(len(times))))-1)]
}

func mixed(q *poi.Request) bool {
	clicks := 0
	for _, o := range q.Options {
		if o.Clicked {
			clicks++
		}
	}
	return clicks > 0 && clicks < len(q.Options)
}

// preferences are the samples of alignment with the reference's log-probabilities.
func (a *Assembly) preferences(ctx context.Context, backend compute.Backend, store *model.Store, say pipeline.Progress) ([]batch.FeedTask, error) {
	samples, err := a.Samples(say)
	if err != nil {
		return nil, err
	}
	requests := make([]*poi.Request, len(samples))
	for i := range samples {
		requests[i] = asked(&samples[i])
	}
	if say != nil {
		say(fmt.Sprintf("reference log-probabilities of %d samples", len(samples)))
	}
	reference, err := a.Ranker("reference", backend, store)
	if err != nil {
		return nil, err
	}
	scores := room(requests)
	if err := reference.Rank(ctx, requests, scores); err != nil {
		return nil, fmt.Errorf("reference of alignment: %w", err)
	}
	out := make([]batch.FeedTask, len(samples))
	for i := range samples {
		extra := make([]float32, len(scores[i]))
		for j, x := range scores[i] {
			extra[j] = float32(x)
		}
		out[i] = batch.FeedTask{Request: requests[i], Weight: samples[i].Weight, Extra: extra}
	}
	return out, nil
}

// Samples are the preferences of the recipe: ordinary pairs from clicks and, with a
// rule file, targeted ones and their anchors, in the order of user and time.
func (a *Assembly) Samples(say pipeline.Progress) ([]align.Sample, error) {
	p, seed := a.Recipe.Preferences, uint64(a.Recipe.Training.Seed)
	var out []align.Sample
	if p.Feed > 0 {
		list, counts, err := align.FromFeed(a.Feed, poi.Train, align.Limits{Positives: p.Positives, Negatives: p.Negatives, Seed: seed})
		if err != nil {
			return nil, err
		}
		if say != nil {
			say(fmt.Sprintf("%d of %d requests have preferences, %d pairs", counts.Used, counts.Requests, counts.Pairs))
		}
		end := a.until()
		for _, s := range list {
			if s.Request.TimeMS <= end && !a.Recipe.Feed.LeavesOut(s.Request.User) {
				s.Weight *= p.Feed
				out = append(out, s)
			}
		}
	}
	if p.Rules != "" {
		list, err := a.targeted(seed, say)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(x, y align.Sample) int { return byUserAndTime(&x.Request, &y.Request) })
	return out, nil
}

// byUserAndTime orders requests as windows want them.
func byUserAndTime(a, b *poi.Request) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Pos, b.Pos), cmp.Compare(a.TimeMS, b.TimeMS))
}

// targeted are the samples of the rule file.
func (a *Assembly) targeted(seed uint64, say pipeline.Progress) ([]align.Sample, error) {
	p := a.Recipe.Preferences
	rules, err := align.Load(p.Rules)
	if err != nil {
		return nil, err
	}
	if err := rules.Check(a.Dataset.Places); err != nil {
		return nil, err
	}
	list, counts, err := align.Targets(rules, a.Dataset, align.FeedMoments(a.Feed, poi.Train),
		align.TargetOptions{Samples: p.Targets, Negatives: min(p.Negatives, align.DefaultTargetNegatives), Seed: seed})
	if err != nil {
		return nil, err
	}
	if say != nil {
		for _, c := range counts {
			name := cmp.Or(c.Rule, "anchors")
			say(fmt.Sprintf("%s: %d of %d samples at %d moments", name, c.Made, c.Wanted, c.Moments))
		}
	}
	return list, nil
}

// asked is a sample as a request whose positives are clicked.
func asked(s *align.Sample) *poi.Request {
	q := s.Request
	for _, p := range s.Positive {
		q.Options = append(q.Options, poi.Option{POI: p, Clicked: true})
	}
	for _, p := range s.Negative {
		q.Options = append(q.Options, poi.Option{POI: p})
	}
	return &q
}

func room(requests []*poi.Request) [][]float64 {
	out := make([][]float64, len(requests))
	for i, q := range requests {
		out[i] = make([]float64, len(q.Options))
	}
	return out
}

// validated bounds how many requests choose an epoch.
const validated = 2000

// validate measures AUC and GAUC on validation requests, evenly spaced.
func (a *Assembly) validate(backend compute.Backend) training.ValidateFunc {
	all := a.Feed.ByTag[poi.Validation]
	step := max(1, len(all)/validated)
	var requests []*poi.Request
	for i := 0; i < len(all); i += step {
		requests = append(requests, &a.Feed.Requests[all[i]])
	}
	var r poi.Ranker
	return func(ctx context.Context, store *model.Store) (map[string]float64, error) {
		if r == nil {
			var err error
			if r, err = a.Ranker("validation", backend, store); err != nil {
				return nil, err
			}
		}
		if t, ok := r.(*Towers); ok {
			t.Forget()
		}
		scores := room(requests)
		if err := r.Rank(ctx, requests, scores); err != nil {
			return nil, err
		}
		return areas(requests, scores)
	}
}

// areas are AUC over all pairs and within requests.
func areas(requests []*poi.Request, scores [][]float64) (map[string]float64, error) {
	var flat []float64
	var clicked []bool
	var group []int32
	for i, q := range requests {
		for c, o := range q.Options {
			flat, clicked, group = append(flat, scores[i][c]), append(clicked, o.Clicked), append(group, int32(i))
		}
	}
	auc, defined, err := metric.AUC(flat, clicked)
	if err != nil {
		return nil, err
	}
	if !defined {
		return nil, fmt.Errorf("validation impressions are all clicked or all not: %w", poi.ErrEmpty)
	}
	gauc, _, err := metric.GAUC(group, flat, clicked)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"auc": auc, "gauc": gauc}, nil
}
