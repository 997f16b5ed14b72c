// Package eval measures scorers on the targets of a data set and checks that a
// run is honest.
//
// Words. A row is one target; the main scorer is the model under test; floors
// are the scorers it must beat. A return is a target whose place is in the
// query's history, a discovery one whose place is not. The first answer is the
// place with the highest score, the lowest id among equals. A discovery row has
// two ranks: in the list of all places, and among the places new to the user,
// the visited ones taken out (docs/protocols.md).
//
// Promises. Run gives every scorer the same rows and reports expectations over
// random tie-breaks (package metric), so many equal scores help nobody. Memory
// is bounded by Options.Batch rows of scores. Equal data, scorers and Options
// give an equal Result. Tables refuse to mix results of different data.
//
// Failure. Every error names the scorer and the row. A NaN score, or a score a
// scorer forgot to write, is an error, never a low rank. Audit does not return
// an error: what cannot be checked is a failed Check that says why.
package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/metric"
	"github.com/whereto/whereto/poi"
)

// Options of Run. The zero value is good.
type Options struct {
	Seed      int64 // of the bootstrap
	Resamples int   // of the bootstrap; 0: metric.DefaultResamples
	Batch     int   // queries scored at once; 0: as many as keep scores within 64 MiB, at most 64
	ByUser    bool  // draw users instead of rows, for intervals that allow for dependent rows
	Rows      int   // measure at most so many targets, evenly spaced; 0: all
}

// scoreBudget is the most scores held at once when Options.Batch is 0.
const scoreBudget = 64 << 20 / 8

// maxBatch bounds Options.Batch: beyond it a batch saves no time.
const maxBatch = 1 << 16

// batch returns the rows to score at once for places places.
func (o Options) batch(places int) (int, error) {
	if o.Batch < 0 || o.Batch > maxBatch {
		return 0, fmt.Errorf("batch of %d queries: %w: want 1 to %d, or 0 to choose", o.Batch, poi.ErrBadInput, maxBatch)
	}
	return cmp.Or(o.Batch, max(1, min(64, scoreBudget/max(places, 1)))), nil
}

// Run scores the targets of tag with main and every floor and returns the
// figures and, if main is not nil, its outcome on every row in target order.
// With main nil the Result has floors only. The tag must be poi.Validation or
// poi.Test: baselines count the training targets themselves.
func Run(ctx context.Context, d *poi.Dataset, tag poi.Tag, main poi.Scorer, floors []poi.Scorer, opt Options) (*Result, []Prediction, error) {
	if err := checkRun(d, tag, main, floors); err != nil {
		return nil, nil, err
	}
	rows := rowsOf(d, spaced(d.Targets[tag], opt.Rows))
	size, err := opt.batch(len(d.Places))
	if err != nil {
		return nil, nil, err
	}
	boot := metric.Bootstrap{Seed: opt.Seed, Resamples: opt.Resamples}
	if opt.ByUser {
		boot.Cluster = rows.users
	}
	res := &Result{Split: tag.String(), Protocol: d.Protocol, Fingerprint: d.Fingerprint, N: len(rows.targets),
		Seed: opt.Seed, Resamples: cmp.Or(opt.Resamples, metric.DefaultResamples), ByUser: opt.ByUser, Floors: map[string]Row{}}

	var first *outcome
	var preds []Prediction
	if main != nil {
		if first, err = score(ctx, d, rows, main, size); err != nil {
			return nil, nil, err
		}
		if res.Row, err = rows.row(first, nil, boot); err != nil {
			return nil, nil, fmt.Errorf("figures of %s: %w", main.Name(), err)
		}
		res.Name = main.Name()
		preds = rows.predictions(d, first)
	}
	for _, s := range floors {
		o, err := score(ctx, d, rows, s, size)
		if err != nil {
			return nil, nil, err
		}
		if res.Floors[s.Name()], err = rows.row(o, first, boot); err != nil {
			return nil, nil, fmt.Errorf("figures of %s: %w", s.Name(), err)
		}
	}
	return res, preds, nil
}

// spaced keeps at most n targets, evenly spaced; all of them if n is 0.
func spaced(all []poi.Target, n int) []poi.Target {
	if n <= 0 || len(all) <= n {
		return all
	}
	out := make([]poi.Target, n)
	for i := range out {
		out[i] = all[i*len(all)/n]
	}
	return out
}

func checkRun(d *poi.Dataset, tag poi.Tag, main poi.Scorer, floors []poi.Scorer) error {
	switch {
	case tag != poi.Validation && tag != poi.Test:
		return fmt.Errorf("evaluate tag %d: %w: use validation or test; floors have counted the training targets", tag, poi.ErrBadInput)
	case len(d.Targets[tag]) == 0:
		return fmt.Errorf("evaluate the %s split of %s: %w: no targets; check the protocol and the filters", tag, d.Name, poi.ErrEmpty)
	case main == nil && len(floors) == 0:
		return fmt.Errorf("evaluate the %s split: %w: no scorer", tag, poi.ErrBadInput)
	}
	seen := map[string]bool{}
	if main != nil {
		seen[main.Name()] = true
	}
	for _, s := range floors {
		if seen[s.Name()] {
			return fmt.Errorf("evaluate the %s split: %w: two scorers are called %q", tag, poi.ErrBadInput, s.Name())
		}
		seen[s.Name()] = true
	}
	for i, t := range d.Targets[tag] {
		if t.User < 0 || int(t.User) >= len(d.Users) || t.Pos < 0 || int(t.Pos) >= len(d.Users[t.User].Visits) {
			return fmt.Errorf("evaluate target %d of %s: %w: user %d, position %d is not in the data set", i, tag, poi.ErrBadInput, t.User, t.Pos)
		}
		if p := d.Label(t); p < 0 || int(p) >= len(d.Places) {
			return fmt.Errorf("evaluate target %d of %s: %w: POI %d of %d", i, tag, poi.ErrUnknownPOI, p, len(d.Places))
		}
	}
	return nil
}

// rows are the targets of an evaluation with what all scorers share.
type rows struct {
	targets []poi.Target
	labels  []int32
	users   []int32
	returns []int // rows whose place is in the history
	finds   []int // the other rows
	isBack  []bool
}

func rowsOf(d *poi.Dataset, targets []poi.Target) *rows {
	r := &rows{targets: targets}
	for i, t := range targets {
		label := d.Label(t)
		back := false
		for _, v := range d.QueryOf(t).History {
			back = back || v.POI == label
		}
		if back {
			r.returns = append(r.returns, i)
		} else {
			r.finds = append(r.finds, i)
		}
		r.labels, r.users, r.isBack = append(r.labels, label), append(r.users, t.User), append(r.isBack, back)
	}
	return r
}

// outcome is what one scorer made of the rows.
type outcome struct {
	stands  []metric.Standing
	fresh   []metric.Standing // among places new to the user; zero for returns
	top     []int32           // the first answer
	topProb []float64         // its probability, 0 if the scores are no distribution
	errM    []float64         // metres from the first answer to the true place
}

// score runs s over the rows, size queries at a time. Rows are NaN before s
// sees them, so that what it forgets to write cannot pass for a score.
func score(ctx context.Context, d *poi.Dataset, r *rows, s poi.Scorer, size int) (*outcome, error) {
	o := &outcome{}
	flat := make([]float64, min(size, len(r.targets))*len(d.Places))
	for from := 0; from < len(r.targets); from += size {
		targets := r.targets[from:min(from+size, len(r.targets))]
		queries, dst := make([]poi.Query, len(targets)), make([][]float64, len(targets))
		for i, t := range targets {
			queries[i], dst[i] = d.QueryOf(t), flat[i*len(d.Places):(i+1)*len(d.Places)]
			for p := range dst[i] {
				dst[i][p] = math.NaN()
			}
		}
		if err := s.Scores(ctx, queries, dst); err != nil {
			return nil, fmt.Errorf("score rows %d to %d with %s: %w", from, from+len(targets)-1, s.Name(), err)
		}
		for i := range targets {
			if err := o.add(d, dst[i], r.labels[from+i], queries[i].History); err != nil {
				return nil, fmt.Errorf("row %d of %s (user %s): %w", from+i, s.Name(), d.Users[targets[i].User].ID, err)
			}
		}
	}
	return o, nil
}

// add appends the outcome of one row. It overwrites scores.
func (o *outcome) add(d *poi.Dataset, scores []float64, label int32, history []poi.Visit) error {
	st, err := metric.Stand(scores, int(label))
	if err != nil {
		return err
	}
	top := 0
	for p, x := range scores {
		if x > scores[top] {
			top = p
		}
	}
	a, b := d.Places[top], d.Places[label]
	metres := geo.Metres(a.Lat, a.Lng, b.Lat, b.Lng)
	if math.IsNaN(metres) {
		return fmt.Errorf("distance from %s to %s: %w: coordinates are not numbers", a.ID, b.ID, poi.ErrBadInput)
	}
	o.stands, o.top = append(o.stands, st), append(o.top, int32(top))
	o.topProb, o.errM = append(o.topProb, probability(scores, top)), append(o.errM, metres)
	fresh, err := amongNew(scores, label, history)
	o.fresh = append(o.fresh, fresh)
	return err
}

// amongNew returns the standing of the label among the places that are not in
// the history; zero if the label is in it. Visited places are taken out, not
// put last: a scorer may give the label -Inf itself, and would tie with them.
// No score may be NaN. It overwrites scores.
func amongNew(scores []float64, label int32, history []poi.Visit) (metric.Standing, error) {
	for _, v := range history {
		if v.POI < 0 || int(v.POI) >= len(scores) {
			return metric.Standing{}, fmt.Errorf("history holds POI %d of %d: %w: build the data set again", v.POI, len(scores), poi.ErrUnknownPOI)
		}
		if v.POI == label {
			return metric.Standing{}, nil
		}
		scores[v.POI] = math.NaN()
	}
	left, at := scores[:0], 0
	for p, x := range scores {
		if p == int(label) {
			at = len(left)
		}
		if !math.IsNaN(x) {
			left = append(left, x)
		}
	}
	return metric.Stand(left, at)
}

// probability returns that of scores[top] if the scores are probabilities or
// their logarithms, which shows in their sum, and 0 if they are neither.
func probability(scores []float64, top int) float64 {
	var sum, expSum float64
	allPositive := true
	for _, x := range scores {
		allPositive = allPositive && x >= 0
		sum += x
		expSum += math.Exp(x)
	}
	switch {
	case allPositive && math.Abs(sum-1) < 1e-3:
		return scores[top]
	case math.Abs(expSum-1) < 1e-3:
		return math.Exp(scores[top])
	}
	return 0
}

// predictions tells the main scorer's outcome row by row.
func (r *rows) predictions(d *poi.Dataset, o *outcome) []Prediction {
	out := make([]Prediction, len(r.targets))
	for i, t := range r.targets {
		u := d.Users[t.User]
		is, top := d.Places[r.labels[i]], d.Places[o.top[i]]
		out[i] = Prediction{User: u.ID, Pos: int(t.Pos), History: int(t.Pos), Hour: u.Visits[t.Pos].Local().Hour(),
			POI: is.ID, Lat: is.Lat, Lng: is.Lng, Rank: o.stands[i].Rank(), Return: r.isBack[i],
			Top: top.ID, TopLat: top.Lat, TopLng: top.Lng, TopProb: o.topProb[i], ErrMetres: o.errM[i]}
	}
	return out
}
