package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// AUC returns the probability that a clicked row scores above an unclicked one,
// ties counting one half. defined is false when only one class is present.
func AUC(scores []float64, clicked []bool) (auc float64, defined bool, err error) {
	if err := checkPairs(scores, clicked); err != nil {
		return 0, false, err
	}
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })

	// Mann-Whitney: each clicked row beats the unclicked rows below it.
	var below, wins, positives float64
	for from := 0; from < len(order); {
		to, pos, neg := from, 0.0, 0.0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if clicked[order[to]] {
				pos++
			} else {
				neg++
			}
		}
		wins += pos * (below + neg/2)
		below += neg
		positives += pos
		from = to
	}
	if positives == 0 || below == 0 {
		return 0, false, nil
	}
	return wins / (positives * below), true, nil
}

// GAUC returns the mean AUC over groups (a user, or an impression), weighted by
// the rows of each group. Groups of one class have no AUC and are left out;
// used is the number of rows that counted. If none counts it is an error.
func GAUC(groups []int32, scores []float64, clicked []bool) (gauc float64, used int, err error) {
	if len(groups) != len(scores) {
		return 0, 0, fmt.Errorf("GAUC: %w: %d groups for %d scores", ErrInput, len(groups), len(scores))
	}
	if err := checkPairs(scores, clicked); err != nil {
		return 0, 0, err
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(groups[a], groups[b]) })
	var sum float64
	for from := 0; from < len(order); {
		var s []float64
		var c []bool
		to := from
		for ; to < len(order) && groups[order[to]] == groups[order[from]]; to++ {
			s, c = append(s, scores[order[to]]), append(c, clicked[order[to]])
		}
		auc, defined, err := AUC(s, c)
		if err != nil {
			return 0, 0, err
		}
		if defined {
			sum += auc * float64(len(s))
			used += len(s)
		}
		from = to
	}
	if used == 0 {
		return 0, 0, fmt.Errorf("GAUC: %w: no group has both clicked and unclicked rows", ErrInput)
	}
	return sum / float64(used), used, nil
}

func checkPairs(scores []float64, clicked []bool) error {
	if len(scores) != len(clicked) {
		return fmt.Errorf("AUC: %w: %d scores for %d labels", ErrInput, len(scores), len(clicked))
	}
	if i := slices.IndexFunc(scores, math.IsNaN); i >= 0 {
		return fmt.Errorf("AUC: %w: score %d is NaN", ErrInput, i)
	}
	return nil
}
