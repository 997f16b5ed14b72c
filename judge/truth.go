package judge

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/whereto/whereto/poi"
)

// Settings of Truth.
const (
	// DefaultThreshold: the person would rather click than not.
	DefaultThreshold = 0.5
	DefaultMargin    = 0.01
)

// Truth judges by the known relevance of a simulated city: POI level, a place suits
// if its relevance is at least Threshold; system level, the list with the larger
// sum of relevance(i) / log2(i + 1), i from 1, is better, and two sums within
// Margin times the larger one are even.
type Truth struct {
	// Relevance returns the true probability, 0 to 1, that the user clicks the
	// place had he looked at it. It must be safe for concurrent use, or
	// Options.Workers be 1.
	Relevance func(user int32, q poi.Query, place int32) float64
	Threshold float64 // above 0, up to 1; 0: DefaultThreshold
	Margin    float64 // 0 to 1; 0: DefaultMargin
}

// Name returns "truth".
func (*Truth) Name() string { return "truth" }

// Judge computes a verdict. It never returns ErrNoVerdict.
func (t *Truth) Judge(ctx context.Context, c Case) (Verdict, error) {
	threshold, margin := cmp.Or(t.Threshold, DefaultThreshold), cmp.Or(t.Margin, DefaultMargin)
	if !(threshold > 0 && threshold <= 1 && margin >= 0 && margin <= 1) {
		return Verdict{}, fmt.Errorf("truth: %w: threshold %v and margin %v, want parts of 1", poi.ErrBadInput, threshold, margin)
	}
	if err := ctx.Err(); err != nil {
		return Verdict{}, err
	}
	v := Verdict{A: make([]bool, len(c.A)), B: make([]bool, len(c.B))}
	var sums [2]float64
	for l, list := range [][]Candidate{c.A, c.B} {
		for i, x := range list {
			r := t.Relevance(c.Query.User, c.Query, x.POI)
			if !(r >= 0 && r <= 1) {
				return Verdict{}, fmt.Errorf("truth: case %s: %w: relevance of place %d is %v, want a probability", c.ID, poi.ErrBadInput, x.POI, r)
			}
			sums[l] += r / math.Log2(float64(i)+2)
			[][]bool{v.A, v.B}[l][i] = r >= threshold
		}
	}
	switch larger := max(sums[0], sums[1]); {
	case math.Abs(sums[0]-sums[1]) <= margin*larger:
		v.System = Even
	case sums[0] > sums[1]:
		v.System = Win
	default:
		v.System = Lose
	}
	return v, nil
}
