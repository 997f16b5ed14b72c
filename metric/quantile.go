package metric

import (
	"fmt"
	"math"
	"slices"
)

// Quantile returns the p-quantile, 0 <= p <= 1, with linear interpolation
// between neighbours (type 7 of Hyndman and Fan 1996). xs is not changed.
func Quantile(xs []float64, p float64) (float64, error) {
	out, err := Quantiles(xs, p)
	if err != nil {
		return 0, err
	}
	return out[0], nil
}

// Quantiles returns several quantiles of one sample, sorting it once.
func Quantiles(xs []float64, ps ...float64) ([]float64, error) {
	if len(xs) == 0 {
		return nil, fmt.Errorf("quantile: %w: no values", ErrInput)
	}
	if i := slices.IndexFunc(xs, math.IsNaN); i >= 0 {
		return nil, fmt.Errorf("quantile: %w: value %d is NaN", ErrInput, i)
	}
	sorted := slices.Clone(xs)
	slices.Sort(sorted)
	out := make([]float64, len(ps))
	for i, p := range ps {
		if !(p >= 0 && p <= 1) {
			return nil, fmt.Errorf("quantile: %w: p is %v, want 0 to 1", ErrInput, p)
		}
		out[i] = sortedQuantile(sorted, p)
	}
	return out, nil
}

func sortedQuantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(at)
	if low+1 >= len(sorted) || sorted[low] == sorted[low+1] {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}
