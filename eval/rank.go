package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// The ceilings of a simulated log, whose true probabilities are known: no ranker
// that sees the position an option is shown at can expect more than the first,
// and the second is what ranking by true relevance gives.
const (
	BayesKnown   = "bayes, position known"
	BayesUnknown = "bayes, position unknown"
)

// rankBatch is how many requests are ranked at once when Options.Batch is 0.
const rankBatch = 256

// ndcgAt is the length of the list that NDCG looks at, about what a screen shows.
const ndcgAt = 5

// calibrationBins is how many bins of equal size calibration is measured in.
const calibrationBins = 20

// Probabilistic is a Ranker that says whether its scores are probabilities of a
// click; only then do log loss and calibration mean something.
type Probabilistic interface {
	poi.Ranker
	Probabilities() bool
}

// RankRow is one ranker's line.
type RankRow struct {
	Name    string  `json:"name"`
	Ceiling bool    `json:"ceiling,omitempty"` // the truth of a simulated log, not a ranker
	AUC     Value   `json:"auc"`               // over all options of all requests
	AUCs    []Value `json:"auc_by_seed,omitempty"`
	SD      float64 `json:"auc_sd"` // over seeds; 0 for one seed
	GAUC    Value   `json:"gauc"`   // within requests, weighted by pairs
	HR1     Value   `json:"hr@1"`   // over requests with a click
	NDCG    Value   `json:"ndcg@5"` // likewise
	LogLoss *Value  `json:"log_loss,omitempty"`
	// Calibration is over the options of all seeds; only with LogLoss.
	Calibration *metric.Calibration `json:"calibration,omitempty"`
	// Gain is the paired difference of AUC to the first ranker, GainGAUC of GAUC;
	// zero for the first ranker itself.
	Gain     Value `json:"gain_auc"`
	GainGAUC Value `json:"gain_gauc"`
	// Closed is the share of the gap between the first ranker's AUC and a ceiling
	// that this row closes; absent without a ceiling or without a gap.
	Closed        *Value `json:"closed_position_known,omitempty"`
	ClosedUnknown *Value `json:"closed_position_unknown,omitempty"`
}

// RankResult is what ranking tables are made of.
type RankResult struct {
	Split       string    `json:"split"`
	Fingerprint string    `json:"fingerprint"` // of the feed
	Requests    int       `json:"requests"`
	Options     int       `json:"options"`
	Clicks      int       `json:"clicks"`
	Users       int       `json:"users"`
	Seeds       int       `json:"seeds"`     // trainings of each ranker
	Seed        int64     `json:"seed"`      // of the bootstrap
	Resamples   int       `json:"resamples"` // of the bootstrap, of users
	Rows        []RankRow `json:"rows"`
	// Scores are what the figures were computed from, to save and combine.
	Scores []*RankScores `json:"-"`
}

// RunRank ranks the requests of tag with every ranker and returns the figures.
// The first ranker is the base that the others are compared with, in pairs.
// Intervals draw users, whatever Options.ByUser says: requests of one person are
// not independent. Rankers are given copies of the requests without labels.
func RunRank(ctx context.Context, d *poi.Dataset, feed *poi.Feed, tag poi.Tag, rankers []poi.Ranker, opt Options) (*RankResult, error) {
	scores, err := ScoreRank(ctx, d, feed, tag, rankers, opt)
	if err != nil {
		return nil, err
	}
	return RankFigures([]*RankScores{scores}, opt)
}

// ScoreRank ranks the requests of tag, options without any left out, and keeps
// every score. Errors name the ranker and the request; a score that is not finite
// or was not written is one.
func ScoreRank(ctx context.Context, d *poi.Dataset, feed *poi.Feed, tag poi.Tag, rankers []poi.Ranker, opt Options) (*RankScores, error) {
	if opt.Batch < 0 || opt.Batch > maxBatch {
		return nil, fmt.Errorf("batch of %d requests: %w: want 1 to %d, or 0 to choose", opt.Batch, poi.ErrBadInput, maxBatch)
	}
	out, requests, err := rankRequests(d, feed, tag)
	if err != nil {
		return nil, err
	}
	for _, r := range rankers {
		p, ok := r.(Probabilistic)
		out.Rankers = append(out.Rankers, RankedBy{Name: r.Name(), Probabilities: ok && p.Probabilities()})
	}
	if err := out.checkNames(); err != nil {
		return nil, err
	}
	size := cmp.Or(opt.Batch, rankBatch)
	for c, r := range rankers {
		for from := 0; from < len(requests); from += size {
			to := min(from+size, len(requests))
			dst := make([][]float64, to-from)
			for i := range dst {
				dst[i] = make([]float64, len(requests[from+i].Options))
				for j := range dst[i] {
					dst[i][j] = math.NaN()
				}
			}
			if err := r.Rank(ctx, requests[from:to], dst); err != nil {
				return nil, fmt.Errorf("rank requests %d to %d with %s: %w", from, to-1, r.Name(), err)
			}
			for i := range dst {
				out.Requests[from+i].Scores = append(out.Requests[from+i].Scores, dst[i])
				if err := out.Requests[from+i].check(c+1, out.Rankers); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// rankRequests lists the requests of tag that have options: with labels for the
// figures, and without for the rankers.
func rankRequests(d *poi.Dataset, feed *poi.Feed, tag poi.Tag) (*RankScores, []*poi.Request, error) {
	if tag > poi.Test {
		return nil, nil, fmt.Errorf("rank the requests of tag %d: %w", tag, poi.ErrBadInput)
	}
	out := &RankScores{Split: tag.String(), Fingerprint: feed.Fingerprint}
	var blank []*poi.Request
	for _, at := range feed.ByTag[tag] {
		if at < 0 || int(at) >= len(feed.Requests) {
			return nil, nil, fmt.Errorf("request %d of %d: %w: the feed's lists do not fit it", at, len(feed.Requests), poi.ErrBadInput)
		}
		r := feed.Requests[at]
		switch {
		case r.User < 0 || int(r.User) >= len(d.Users):
			return nil, nil, fmt.Errorf("request %s: user %d of %d: %w", r.ID, r.User, len(d.Users), poi.ErrUnknownUser)
		case r.Pos < 0 || int(r.Pos) > len(d.Users[r.User].Visits):
			return nil, nil, fmt.Errorf("request %s: position %d among %d visits: %w", r.ID, r.Pos, len(d.Users[r.User].Visits), poi.ErrBadInput)
		case len(r.Options) == 0:
			continue
		}
		q := RankRequest{ID: r.ID, User: d.Users[r.User].ID}
		options := make([]poi.Option, len(r.Options))
		truth := true
		for j, o := range r.Options {
			if o.POI < 0 || int(o.POI) >= len(d.Places) {
				return nil, nil, fmt.Errorf("request %s, option %d: POI %d of %d: %w", r.ID, j, o.POI, len(d.Places), poi.ErrUnknownPOI)
			}
			options[j] = poi.Option{POI: o.POI, Click: -1, Relevance: -1}
			q.Clicked = append(q.Clicked, o.Clicked)
			q.Click, q.Relevance = append(q.Click, o.Click), append(q.Relevance, o.Relevance)
			truth = truth && o.Click >= 0 && o.Relevance >= 0
		}
		if !truth {
			q.Click, q.Relevance = nil, nil
		}
		r.Options = options
		out.Requests, blank = append(out.Requests, q), append(blank, &r)
	}
	if len(blank) == 0 {
		return nil, nil, fmt.Errorf("rank the %s requests: %w: none has options", tag, poi.ErrEmpty)
	}
	return out, blank, nil
}
