package load

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Estimate is a figure and how far it might be off: the 95 % interval of a bootstrap
// over blocks of time. Requests of one moment share their fate, so that whole blocks
// are drawn and not single requests. A figure of few answers has no interval.
type Estimate struct {
	Value    float64     `json:"value"`
	Interval *[2]float64 `json:"interval95,omitempty"`
}

const (
	blocks       = 40
	leastAnswers = 2 * blocks // of a figure with an interval
	maxResamples = 1000
	maxSteps     = 100_000_000 // answers walked over, all resamples together
)

// quantile is the smallest value that at least the share p of a sorted list does not
// exceed.
func quantile[T any](sorted []T, p float64) T {
	return sorted[rank(p, len(sorted))-1]
}

// rank is the place of the p-quantile among n, from 1. The small number keeps
// products such as 0.07*100, which is a little more than 7, from going one too far.
func rank(p float64, n int) int {
	return min(n, max(1, int(math.Ceil(p*float64(n)-1e-9))))
}

// shares are the quantiles that are reported.
var shares = []float64{0.5, 0.9, 0.99, 0.999}

// timed is the time of one answer and the block it belongs to.
type timed struct {
	took  time.Duration
	block int
}

// estimate returns the quantiles of the answers in milliseconds, and the share of the
// requests that was answered well. good[b] and asked[b] count those of a block.
func estimate(list []timed, good, asked []int, seed uint64) (quantiles []Estimate, within Estimate) {
	slices.SortFunc(list, func(a, b timed) int { return cmp.Compare(a.took, b.took) })
	for _, p := range shares {
		e := Estimate{}
		if len(list) > 0 {
			e.Value = ms(quantile(list, p).took)
		}
		quantiles = append(quantiles, e)
	}
	within.Value = ratio(good, asked, nil)
	if len(list) < leastAnswers {
		return quantiles, within
	}
	n := max(100, min(maxResamples, maxSteps/len(list)))
	draws := make([][]float64, len(shares)+1)
	r := random(seed, math.MaxUint64)
	weights := make([]int, blocks)
	for range n {
		resample(r, weights)
		values := weighted(list, weights)
		if values == nil {
			continue // none of the blocks drawn has an answer
		}
		for i, v := range append(values, ratio(good, asked, weights)) {
			draws[i] = append(draws[i], v)
		}
	}
	for i := range quantiles {
		quantiles[i].Interval = middle(draws[i])
	}
	within.Interval = middle(draws[len(shares)])
	return quantiles, within
}

// resample draws as many blocks as there are, with replacement.
func resample(r *rand.Rand, weights []int) {
	clear(weights)
	for range weights {
		weights[r.IntN(len(weights))]++
	}
}

// weighted returns the quantiles in milliseconds if each answer counts as often as its
// block was drawn; nil if none counts.
func weighted(list []timed, weights []int) []float64 {
	total := 0
	for _, a := range list {
		total += weights[a.block]
	}
	if total == 0 {
		return nil
	}
	out := make([]float64, 0, len(shares)+1)
	upTo := 0
	for _, a := range list {
		upTo += weights[a.block]
		for len(out) < len(shares) && upTo >= rank(shares[len(out)], total) {
			out = append(out, ms(a.took))
		}
	}
	return out
}

// ratio is a sum over blocks divided by another; nil weights count each block once.
func ratio(part, whole, weights []int) float64 {
	p, w := 0, 0
	for b := range part {
		n := 1
		if weights != nil {
			n = weights[b]
		}
		p, w = p+n*part[b], w+n*whole[b]
	}
	if w == 0 {
		return 0
	}
	return float64(p) / float64(w)
}

// middle is the interval that holds 95 % of the draws.
func middle(draws []float64) *[2]float64 {
	if len(draws) == 0 {
		return nil
	}
	slices.Sort(draws)
	return &[2]float64{quantile(draws, 0.025), quantile(draws, 0.975)}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
