// Package metric turns scores and ranks into figures: accuracy, MRR, NDCG,
// recall, AUC, log loss, quantiles, and bootstrap intervals around them. It knows
// numbers only, no places and no people.
//
// A Standing is all that a ranking figure needs of one list of scores: how many
// entries beat the target and how many share its score. Every figure computed
// from it is the expectation under uniform random breaking of ties, so a scorer
// gains nothing from giving many places one score, and the same scores always
// give the same figure.
//
// Functions are pure and deterministic; random ones take a seed. They fail with
// an error that wraps ErrInput on NaN, on empty input and on unequal lengths;
// they never return NaN.
package metric

import (
	"errors"
	"fmt"
	"math"
)

// ErrInput is returned for input on which a figure is not defined.
var ErrInput = errors.New("metric input")

// Standing places one target in a list of scores.
type Standing struct {
	Above int // entries with a strictly higher score
	Tied  int // entries with the same score, the target included; at least 1
}

// Stand returns the standing of scores[target]. Infinite scores are in order;
// a NaN anywhere or a target outside the list is an error.
func Stand(scores []float64, target int) (Standing, error) {
	if target < 0 || target >= len(scores) {
		return Standing{}, fmt.Errorf("rank target %d among %d scores: %w: target is outside the list", target, len(scores), ErrInput)
	}
	var s Standing
	want := scores[target]
	for i, x := range scores {
		switch {
		case x > want:
			s.Above++
		case x == want:
			s.Tied++
		case math.IsNaN(x):
			return Standing{}, fmt.Errorf("rank target %d: %w: score %d is NaN; look for a division by zero or an overflow in the scorer", target, ErrInput, i)
		}
	}
	if s.Tied == 0 { // the target itself is NaN and equals nothing
		return Standing{}, fmt.Errorf("rank target %d: %w: its score is NaN", target, ErrInput)
	}
	return s, nil
}

// Rank returns the expected rank, 1 is best: the mean of the ranks that the
// tied block covers.
func (s Standing) Rank() float64 { return float64(s.Above) + float64(s.Tied+1)/2 }

// Hit returns the probability that the target is among the first k: 1 if the
// whole tied block fits, a fraction if part of it does, 0 for k < 1.
func (s Standing) Hit(k int) float64 {
	room := min(k-s.Above, s.Tied)
	if room <= 0 {
		return 0
	}
	return float64(room) / float64(s.Tied)
}

// MRR returns the expected reciprocal rank.
func (s Standing) MRR() float64 {
	return s.mean(s.Above+s.Tied, func(r float64) float64 { return 1 / r })
}

// NDCG returns the expected normalised discounted gain at k with the target as
// the only relevant entry: 1/log2(rank+1) within the first k, else 0.
func (s Standing) NDCG(k int) float64 {
	return s.mean(min(k, s.Above+s.Tied), func(r float64) float64 { return 1 / math.Log2(r+1) })
}

// mean is the sum of gain over ranks Above+1..last, divided by the ties.
func (s Standing) mean(last int, gain func(rank float64) float64) float64 {
	sum := 0.0
	for r := s.Above + 1; r <= last; r++ {
		sum += gain(float64(r))
	}
	return sum / float64(max(s.Tied, 1))
}

// Recall returns the expected share of several relevant entries of one list
// that are among its first k.
func Recall(relevant []Standing, k int) (float64, error) {
	if len(relevant) == 0 {
		return 0, fmt.Errorf("recall at %d: %w: no relevant entries", k, ErrInput)
	}
	sum := 0.0
	for _, s := range relevant {
		sum += s.Hit(k)
	}
	return sum / float64(len(relevant)), nil
}
