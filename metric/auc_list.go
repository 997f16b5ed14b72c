package metric

import (
	"fmt"
	"math"
	"slices"
)

// certain bounds a probability away from 0 and 1 in a log loss, about what
// float32 can tell from one: a single sure mistake must not make it infinite.
const certain = 1e-7

// LogLosses returns the log loss of each row, -log of the probability given to
// what happened, in nats. Probabilities are cut to [1e-7, 1-1e-7].
func LogLosses(probs []float64, clicked []bool) ([]float64, error) {
	if err := checkProbs(probs, clicked); err != nil {
		return nil, err
	}
	out := make([]float64, len(probs))
	for i, p := range probs {
		if !clicked[i] {
			p = 1 - p
		}
		out[i] = -math.Log(min(max(p, certain), 1-certain))
	}
	return out, nil
}

func checkProbs(probs []float64, clicked []bool) error {
	if len(probs) != len(clicked) {
		return fmt.Errorf("log loss: %w: %d probabilities for %d labels", ErrInput, len(probs), len(clicked))
	}
	if i := slices.IndexFunc(probs, func(p float64) bool { return !(p >= 0 && p <= 1) }); i >= 0 {
		return fmt.Errorf("log loss: %w: probability %d is %v", ErrInput, i, probs[i])
	}
	return nil
}

// Bin is rows of about equal predicted probability.
type Bin struct {
	N         int     `json:"n"`
	Predicted float64 `json:"predicted"` // mean
	Observed  float64 `json:"observed"`  // share of clicks
}

// Calibration compares predicted probabilities with what happened.
type Calibration struct {
	// Ratio is the predicted number of clicks over the observed one; 0 without clicks.
	Ratio float64 `json:"ratio"`
	// Error is the mean distance of predicted and observed probability over the
	// bins, weighted by rows (expected calibration error).
	Error float64 `json:"error"`
	Bins  []Bin   `json:"bins"`
}

// Calibrate sorts rows by probability into at most bins bins of about equal size.
// Equal probabilities stay in one bin, so that the order of rows does not matter.
func Calibrate(probs []float64, clicked []bool, bins int) (Calibration, error) {
	if err := checkProbs(probs, clicked); err != nil {
		return Calibration{}, err
	}
	if len(probs) == 0 || bins < 1 {
		return Calibration{}, fmt.Errorf("calibration: %w: %d rows in %d bins", ErrInput, len(probs), bins)
	}
	order := ascending(probs)
	var out Calibration
	var predicted, observed float64
	for from := 0; from < len(order); {
		// The bin ends at the next multiple of 1/bins of the rows, and after its ties.
		share := from*bins/len(order) + 1
		to := max(from+1, (share*len(order)+bins-1)/bins)
		for to < len(order) && probs[order[to]] == probs[order[to-1]] {
			to++
		}
		var p, c float64
		for _, row := range order[from:to] {
			p += probs[row]
			if clicked[row] {
				c++
			}
		}
		n := float64(to - from)
		out.Bins = append(out.Bins, Bin{N: to - from, Predicted: p / n, Observed: c / n})
		out.Error += math.Abs(p-c) / float64(len(order))
		predicted, observed, from = predicted+p, observed+c, to
	}
	if observed > 0 {
		out.Ratio = predicted / observed
	}
	return out, nil
}

// ListNDCG returns the normalised discounted gain at k of one list with several
// clicked entries, in expectation over random tie-breaks: the sum of
// 1/log2(rank+1) over clicked entries within the first k, over its maximum. With
// k=1 it is the probability that the first entry is a clicked one. defined is
// false without a clicked entry.
func ListNDCG(scores []float64, clicked []bool, k int) (ndcg float64, defined bool, err error) {
	if err := checkPairs(scores, clicked); err != nil {
		return 0, false, err
	}
	if k < 1 {
		return 0, false, fmt.Errorf("NDCG at %d: %w: k starts at 1", k, ErrInput)
	}
	order := ascending(scores)
	slices.Reverse(order)
	clicks, sum := 0, 0.0
	for from := 0; from < len(order); {
		to, own, room := from, 0, 0.0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if to < k {
				room += 1 / math.Log2(float64(to)+2)
			}
			if clicked[order[to]] {
				own++
			}
		}
		sum += room * float64(own) / float64(to-from)
		clicks, from = clicks+own, to
	}
	if clicks == 0 {
		return 0, false, nil
	}
	best := 0.0
	for r := range min(clicks, k) {
		best += 1 / math.Log2(float64(r)+2)
	}
	return sum / best, true, nil
}

// Deviation returns the sample standard deviation, 0 for a single value.
func Deviation(xs []float64) float64 {
	if len(xs) < 2 {
		return 0
	}
	m, sum := mean(xs), 0.0
	for _, x := range xs {
		sum += (x - m) * (x - m)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}
