package metric

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Figure is a figure of some rows together with its value in every resample of
// them, so that what is computed from several figures (a difference, a mean over
// seeds, a share) has an interval too. Combine figures of one Bootstrap and of
// equal clusters only: their resamples are then the same ones.
type Figure struct {
	Value float64
	draws []float64 // NaN where the figure is not defined on the resample
}

// Interval returns the figure with its 95 % percentile interval over the
// resamples on which it is defined.
func (f Figure) Interval() Interval {
	var known []float64
	for _, x := range f.draws {
		if !math.IsNaN(x) {
			known = append(known, x)
		}
	}
	if len(known) == 0 {
		return Interval{f.Value, f.Value, f.Value}
	}
	slices.Sort(known)
	return Interval{Value: f.Value, Lo: sortedQuantile(known, 0.025), Hi: sortedQuantile(known, 0.975)}
}

// Minus returns the paired difference f-g.
func (f Figure) Minus(g Figure) Figure {
	return combine(func(x []float64) float64 { return x[0] - x[1] }, f, g)
}

// Average returns the mean of at least one figure, for example of one scorer
// trained with several seeds.
func Average(figures ...Figure) Figure {
	return combine(mean, figures...)
}

// Closed returns the share of the way from base to top that f has gone,
// (f-base)/(top-base). defined is false unless top is above base in every
// resample: a share of nothing has no meaning.
func (f Figure) Closed(base, top Figure) (share Figure, defined bool) {
	way := top.Minus(base)
	if !(way.Value > 0) || slices.ContainsFunc(way.draws, func(x float64) bool { return x <= 0 }) {
		return Figure{}, false
	}
	return combine(func(x []float64) float64 { return (x[0] - x[1]) / (x[2] - x[1]) }, f, base, top), true
}

func combine(of func([]float64) float64, figures ...Figure) Figure {
	x := make([]float64, len(figures))
	for i, f := range figures {
		x[i] = f.Value
	}
	out := Figure{Value: of(x), draws: make([]float64, len(figures[0].draws))}
	for r := range out.draws {
		for i, f := range figures {
			x[i] = f.draws[r]
		}
		out.draws[r] = of(x)
	}
	return out
}

// Ratios returns, for each column, the sum of its numerators over the sum of its
// denominators: a mean if the denominators are one, a GAUC if they are pairs.
// num[c][row] and den[c][row]; denominators are not negative and not all zero.
func (b Bootstrap) Ratios(num, den [][]float64) ([]Figure, error) {
	if len(num) != len(den) {
		return nil, fmt.Errorf("bootstrap: %w: %d columns of numerators, %d of denominators", ErrInput, len(num), len(den))
	}
	if len(num) == 0 {
		return nil, nil
	}
	both := slices.Concat(num, den)
	n, resamples := len(num[0]), cmp.Or(b.Resamples, DefaultResamples)
	if err := b.check(both, n, resamples); err != nil {
		return nil, err
	}
	out := make([]Figure, len(num))
	for c := range out {
		top, bottom := mean(num[c]), mean(den[c])
		if slices.Min(den[c]) < 0 || bottom == 0 {
			return nil, fmt.Errorf("bootstrap: %w: the denominators of column %d sum to %v and the least is %v", ErrInput, c, bottom*float64(n), slices.Min(den[c]))
		}
		out[c] = Figure{Value: top / bottom, draws: make([]float64, 0, resamples)}
	}
	sums, sizes := unitSums(both, b.units(n))
	total := make([]float64, len(both))
	b.resample(len(sizes), resamples, func(times []int32) {
		clear(total)
		for u, k := range times {
			if k > 0 {
				for c, x := range sums[u*len(both) : (u+1)*len(both)] {
					total[c] += float64(k) * x
				}
			}
		}
		for c := range out {
			out[c].draws = append(out[c].draws, total[c]/total[c+len(out)]) // 0/0 is NaN: not defined
		}
	})
	return out, nil
}

// AUCs returns the AUC of each column of scores, scores[c][row], over all pairs
// of a clicked and an unclicked row. The rows are sorted once; a resample is one
// walk over them, so the cost is rows times resamples times columns.
func (b Bootstrap) AUCs(scores [][]float64, clicked []bool) ([]Figure, error) {
	n, resamples := len(clicked), cmp.Or(b.Resamples, DefaultResamples)
	if err := b.check(nil, n, resamples); err != nil {
		return nil, err
	}
	if n > maxUnits {
		return nil, fmt.Errorf("bootstrap: %w: %d rows, at most %d", ErrInput, n, maxUnits)
	}
	units := b.units(n)
	walks := make([][]uint32, len(scores))
	out := make([]Figure, len(scores))
	for c, s := range scores {
		auc, defined, err := AUC(s, clicked)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", c, err)
		}
		if !defined {
			return nil, fmt.Errorf("AUC: %w: all %d rows are of one class", ErrInput, n)
		}
		out[c] = Figure{Value: auc, draws: make([]float64, 0, resamples)}
		walks[c] = walkOf(s, clicked, units)
	}
	b.resample(slices.Max(units)+1, resamples, func(times []int32) {
		for c, w := range walks {
			out[c].draws = append(out[c].draws, weightedAUC(w, times))
		}
	})
	return out, nil
}

// maxUnits is what walkOf can number.
const maxUnits = 1 << 30

// Marks of a row in a walk; the rest of the number is its unit.
const (
	markClicked = 1 << iota
	markLast    // of the rows with its score
	markBits    = iota
)

// walkOf packs what a resample reads of each row, from the lowest score up.
func walkOf(scores []float64, clicked []bool, units []int) []uint32 {
	order := ascending(scores)
	out := make([]uint32, len(order))
	for i, row := range order {
		x := uint32(units[row]) << markBits
		if clicked[row] {
			x |= markClicked
		}
		if i+1 == len(order) || scores[order[i+1]] != scores[row] {
			x |= markLast
		}
		out[i] = x
	}
	return out
}

// weightedAUC is the AUC when unit u is there times[u] times.
func weightedAUC(walk []uint32, times []int32) float64 {
	var wins, below, positives, pos, neg int64 // wins counts halves
	for _, x := range walk {
		k := int64(times[x>>markBits])
		hit := k & -int64(x&markClicked) // k or 0, without a branch: clicks follow no pattern a processor could guess
		pos, neg = pos+hit, neg+k-hit
		if x&markLast != 0 {
			wins += pos * (2*below + neg)
			below, positives = below+neg, positives+pos
			pos, neg = 0, 0
		}
	}
	return float64(wins) / 2 / (float64(positives) * float64(below))
}

// resample calls f with how often each unit is drawn, resample after resample:
// the same draws as those of Means.
func (b Bootstrap) resample(units, resamples int, f func(times []int32)) {
	rng := rand.New(rand.NewPCG(uint64(b.Seed), 0x77686572))
	times := make([]int32, units)
	for range resamples {
		clear(times)
		for range units {
			times[rng.IntN(units)]++
		}
		f(times)
	}
}
