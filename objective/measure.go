package objective

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// Rewards describes how far a policy has moved from its reference; all scalars,
// means over requests by weight. A reward is beta*(log p_policy - log p_reference).
type Rewards struct {
	Chosen   *Node // mean reward of a request's positives; negative if training pushes all down
	Rejected *Node // and of its negatives
	Margin   *Node // Chosen - Rejected, the mean over pairs
	Accuracy *Node // share of pairs whose positive has the higher reward; ties count one half
}

// Measure returns the diagnostics of DPO and SDPO for the log; arguments as there.
// No gradient flows through them.
func Measure(policy, reference, positive, negative, weight *Node, beta float64) Rewards {
	check("Measure", policy, weight, reference, positive, negative)
	checkScale("Measure", "beta", beta)
	pos, neg, w := counting(positive, negative, weight, policy.DType())
	reward := StopGradient(rewards(policy, reference, pos, neg, beta))
	mean := func(mask *Node) *Node {
		return byWeight(Mean.of(ReduceSum(only(mask, reward), -1), count(mask, reward.DType())), w)
	}
	r := Rewards{Chosen: mean(pos), Rejected: mean(neg), Accuracy: accuracy(reward, pos, neg, w)}
	r.Margin = Sub(r.Chosen, r.Rejected)
	return r
}

// PairAccuracy is the share of a request's pairs that the scores [R, C] order
// rightly, positive above negative, ties counting one half: the AUC of one request.
// The result is its mean over requests by weight [R], 0 where none counts.
func PairAccuracy(scores, positive, negative, weight *Node) *Node {
	check("PairAccuracy", scores, weight, positive, negative)
	pos, neg, w := counting(positive, negative, weight, scores.DType())
	return accuracy(StopGradient(only(LogicalOr(pos, neg), scores)), pos, neg, w)
}

func accuracy(x, pos, neg, w *Node) *Node {
	margin, pair := pairs(x, pos, neg)
	right := MulScalar(OnePlus(Sign(margin)), 0.5)
	n := ReduceSum(ConvertDType(pair, x.DType()), 1, 2)
	return byWeight(Mean.of(ReduceSum(only(pair, right), 1, 2), n), w)
}
