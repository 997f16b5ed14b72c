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
	wins, pairs, err := Wins(scores, clicked)
	if err != nil || pairs == 0 {
		return 0, false, err
	}
	return wins / pairs, true, nil
}

// Wins counts the pairs of a clicked and an unclicked row and those that the
// clicked row wins by a higher score, ties counting one half (Mann-Whitney).
// Sums of both over lists, divided, are the GAUC of the lists.
func Wins(scores []float64, clicked []bool) (wins, pairs float64, err error) {
	if err := checkPairs(scores, clicked); err != nil {
		return 0, 0, err
	}
	order := ascending(scores)
	var below, positives float64
	for from := 0; from < len(order); {
		to, pos, neg := from, 0.0, 0.0
		for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
			if clicked[order[to]] {
				pos++
			} else {
				neg++
			}
		}
		wins += pos * (below + neg/2) // each clicked row beats the unclicked rows below it
		below += neg
		positives += pos
		from = to
	}
	return wins, positives * below, nil
}

// GAUC returns the AUC within groups (a user, or a request): of all pairs of a
// clicked and an unclicked row of one group, the share that the clicked row
// wins. It is the mean of the groups' AUC weighted by their pairs; a group of one
// class has no pair. pairs is the number of pairs; with none it is an error.
func GAUC(groups []int32, scores []float64, clicked []bool) (gauc, pairs float64, err error) {
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
	var won float64
	var s []float64
	var c []bool
	for from := 0; from < len(order); {
		s, c = s[:0], c[:0]
		to := from
		for ; to < len(order) && groups[order[to]] == groups[order[from]]; to++ {
			s, c = append(s, scores[order[to]]), append(c, clicked[order[to]])
		}
		w, p, err := Wins(s, c)
		if err != nil {
			return 0, 0, err
		}
		won, pairs, from = won+w, pairs+p, to
	}
	if pairs == 0 {
		return 0, 0, fmt.Errorf("GAUC: %w: no group has both clicked and unclicked rows", ErrInput)
	}
	return won / pairs, pairs, nil
}

// ascending returns the positions of scores from the lowest to the highest.
func ascending(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	return order
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
