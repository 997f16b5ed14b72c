package eval

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// rankColumn is one ranker with one seed, or a ceiling: a score for each option.
type rankColumn struct {
	scores [][]float64 // by request
	probs  bool
}

// rankTally is the rows that all columns share.
type rankTally struct {
	requests []RankRequest
	clicked  []bool // by option
	ofOption []int32
	ofUser   []int32 // by request
	boot     metric.Bootstrap
}

// rankFigures are a column's figures with all their resamples.
type rankFigures struct{ auc, gauc, hr1, ndcg, loss metric.Figure }

// RankFigures computes a table from the scores of one or more seeds: elements of
// seeds have the same requests and rankers and differ in training only. Figures
// are means over seeds, and so are those of every resample. It returns ErrMixed
// for other requests or rankers and poi.ErrEmpty if no click can be told from no
// click.
func RankFigures(seeds []*RankScores, opt Options) (*RankResult, error) {
	if len(seeds) == 0 {
		return nil, fmt.Errorf("ranking table: %w: no scores", poi.ErrEmpty)
	}
	for _, s := range seeds {
		if err := sameRequests(seeds[0], s); err != nil {
			return nil, err
		}
		if !slices.Equal(s.Rankers, seeds[0].Rankers) {
			return nil, fmt.Errorf("ranking table: %w: rankers %v and %v", ErrMixed, seeds[0].Rankers, s.Rankers)
		}
	}
	t := newRankTally(seeds[0].Requests, opt)
	res := &RankResult{Split: seeds[0].Split, Fingerprint: seeds[0].Fingerprint, Requests: len(t.requests), Options: len(t.clicked),
		Users: int(slices.Max(t.ofUser)) + 1, Seeds: len(seeds), Seed: opt.Seed,
		Resamples: cmp.Or(opt.Resamples, metric.DefaultResamples), Scores: seeds}
	for _, c := range t.clicked {
		if c {
			res.Clicks++
		}
	}
	if res.Clicks == 0 || res.Clicks == res.Options {
		return nil, fmt.Errorf("ranking table of the %s requests: %w: %d of %d options are clicked, so no order is better than another", res.Split, poi.ErrEmpty, res.Clicks, res.Options)
	}
	rankers := len(seeds[0].Rankers)
	var columns []rankColumn // ranker by ranker, its seeds together; then the ceilings
	for c, by := range seeds[0].Rankers {
		for _, s := range seeds {
			col := rankColumn{probs: by.Probabilities}
			for _, r := range s.Requests {
				col.scores = append(col.scores, r.Scores[c])
			}
			columns = append(columns, col)
		}
	}
	columns = append(columns, t.ceilings()...)
	figures, err := t.figures(columns)
	if err != nil {
		return nil, err
	}
	base, n := figures[:len(seeds)], len(seeds)
	tops := figures[rankers*n:]
	for c := range rankers {
		row := newRankRow(figures[c*n:(c+1)*n], columns[c*n].probs, base, tops, c > 0)
		row.Name = seeds[0].Rankers[c].Name
		if columns[c*n].probs {
			if row.Calibration, err = t.calibration(columns[c*n : (c+1)*n]); err != nil {
				return nil, fmt.Errorf("calibration of %s: %w", row.Name, err)
			}
		}
		res.Rows = append(res.Rows, row)
	}
	for c := range tops {
		row := newRankRow(tops[c:c+1], columns[rankers*n+c].probs, base, tops, true)
		row.Name, row.Ceiling = []string{BayesKnown, BayesUnknown}[c], true
		res.Rows = append(res.Rows, row)
	}
	return res, nil
}

func newRankTally(requests []RankRequest, opt Options) *rankTally {
	t := &rankTally{requests: requests, boot: metric.Bootstrap{Seed: opt.Seed, Resamples: opt.Resamples}}
	users := map[string]int32{}
	for _, r := range requests {
		u, ok := users[r.User]
		if !ok {
			u = int32(len(users))
			users[r.User] = u
		}
		t.ofUser = append(t.ofUser, u)
		for _, c := range r.Clicked {
			t.clicked, t.ofOption = append(t.clicked, c), append(t.ofOption, u)
		}
	}
	return t
}

// ceilings are the true probabilities as rankers, if all requests have them. Only
// that of a click at its position is the probability of a click.
func (t *rankTally) ceilings() []rankColumn {
	out := []rankColumn{{probs: true}, {}}
	for _, r := range t.requests {
		if len(r.Click) == 0 {
			return nil
		}
		for c, truth := range [][]float32{r.Click, r.Relevance} {
			scores := make([]float64, len(truth))
			for j, p := range truth {
				scores[j] = float64(p)
			}
			out[c].scores = append(out[c].scores, scores)
		}
	}
	return out
}

// Figures that are sums over requests, in the order of a column's block.
const (
	kindGAUC = iota
	kindHR1
	kindNDCG
	kindLoss
	kinds
)

// figures computes all columns on the same resamples of users.
func (t *rankTally) figures(columns []rankColumn) ([]rankFigures, error) {
	boot, pooled := t.boot, make([][]float64, len(columns))
	var num, den [][]float64
	for c, col := range columns {
		pooled[c] = slices.Concat(col.scores...)
		n, d, err := t.sums(col)
		if err != nil {
			return nil, err
		}
		num, den = append(num, n...), append(den, d...)
	}
	if slices.Max(den[kindGAUC]) == 0 {
		return nil, fmt.Errorf("ranking table: %w: no request has both a clicked and an unclicked option", poi.ErrEmpty)
	}
	boot.Cluster = t.ofOption
	aucs, err := boot.AUCs(pooled, t.clicked)
	if err != nil {
		return nil, err
	}
	boot.Cluster = t.ofUser
	rest, err := boot.Ratios(num, den)
	if err != nil {
		return nil, err
	}
	out := make([]rankFigures, len(columns))
	for c := range out {
		f := rest[kinds*c:]
		out[c] = rankFigures{auc: aucs[c], gauc: f[kindGAUC], hr1: f[kindHR1], ndcg: f[kindNDCG], loss: f[kindLoss]}
	}
	return out, nil
}

// sums are numerators and denominators of the figures of one column by request.
func (t *rankTally) sums(col rankColumn) (num, den [][]float64, err error) {
	num, den = make([][]float64, kinds), make([][]float64, kinds)
	for k := range kinds {
		num[k], den[k] = make([]float64, len(t.requests)), make([]float64, len(t.requests))
	}
	for i, r := range t.requests {
		if num[kindGAUC][i], den[kindGAUC][i], err = metric.Wins(col.scores[i], r.Clicked); err != nil {
			return nil, nil, err
		}
		for _, list := range []struct{ kind, k int }{{kindHR1, 1}, {kindNDCG, ndcgAt}} {
			gain, defined, err := metric.ListNDCG(col.scores[i], r.Clicked, list.k)
			if err != nil {
				return nil, nil, err
			}
			if defined {
				num[list.kind][i], den[list.kind][i] = gain, 1
			}
		}
		den[kindLoss][i] = float64(len(r.Clicked))
		if !col.probs {
			continue
		}
		losses, err := metric.LogLosses(col.scores[i], r.Clicked)
		if err != nil {
			return nil, nil, err
		}
		for _, x := range losses {
			num[kindLoss][i] += x
		}
	}
	return num, den, nil
}

// over is the mean of one figure over seeds.
func over(seeds []rankFigures, of func(f rankFigures) metric.Figure) metric.Figure {
	var list []metric.Figure
	for _, f := range seeds {
		list = append(list, of(f))
	}
	return metric.Average(list...)
}

// newRankRow makes a line of the figures of one ranker, seed by seed; base are
// those of the first ranker and tops the ceilings.
func newRankRow(seeds []rankFigures, probs bool, base, tops []rankFigures, compared bool) RankRow {
	value := func(f metric.Figure) Value { return Value(f.Interval()) }
	auc := func(f rankFigures) metric.Figure { return f.auc }
	gauc := func(f rankFigures) metric.Figure { return f.gauc }
	row := RankRow{AUC: value(over(seeds, auc)), GAUC: value(over(seeds, gauc)),
		HR1:  value(over(seeds, func(f rankFigures) metric.Figure { return f.hr1 })),
		NDCG: value(over(seeds, func(f rankFigures) metric.Figure { return f.ndcg }))}
	if probs {
		loss := value(over(seeds, func(f rankFigures) metric.Figure { return f.loss }))
		row.LogLoss = &loss
	}
	if len(seeds) > 1 {
		var values []float64
		for _, f := range seeds {
			row.AUCs, values = append(row.AUCs, value(f.auc)), append(values, f.auc.Value)
		}
		row.SD = metric.Deviation(values)
	}
	if !compared {
		return row
	}
	row.Gain, row.GainGAUC = value(over(seeds, auc).Minus(over(base, auc))), value(over(seeds, gauc).Minus(over(base, gauc)))
	for i, closed := range []**Value{&row.Closed, &row.ClosedUnknown} {
		if i >= len(tops) {
			break
		}
		if share, defined := over(seeds, auc).Closed(over(base, auc), tops[i].auc); defined {
			v := value(share)
			*closed = &v
		}
	}
	return row
}

// calibration is over the options of all seeds.
func (t *rankTally) calibration(seeds []rankColumn) (*metric.Calibration, error) {
	var probs []float64
	var clicked []bool
	for _, s := range seeds {
		probs, clicked = append(probs, slices.Concat(s.scores...)...), append(clicked, t.clicked...)
	}
	c, err := metric.Calibrate(probs, clicked, calibrationBins)
	return &c, err
}
