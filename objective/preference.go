package objective

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// DPO is the alignment loss as printed (section 3.2.3), over all pairs of a
// positive j and a negative k of a request:
//
//	-log sigma( beta*(delta+_j - delta-_k) ),  delta = log p_policy - log p_reference
//
// policy and reference [R, C] are log-probabilities of whole places (block plus
// inner). How the pairs of a request add up is the reduction's to say; requests add
// up to their mean by weight [R]. A candidate in both masks counts as positive.
// It holds [R, C, C] numbers: candidates of a request, not of a batch.
func DPO(policy, reference, positive, negative, weight *Node, beta float64, reduction Reduction) *Node {
	check("DPO", policy, weight, reference, positive, negative)
	checkScale("DPO", "beta", beta)
	pos, neg, w := counting(positive, negative, weight, policy.DType())
	margin, pair := pairs(rewards(policy, reference, pos, neg, beta), pos, neg)
	terms := only(pair, softplus(Neg(margin)))
	return byWeight(reduction.of(ReduceSum(terms, 1, 2), ReduceSum(ConvertDType(pair, policy.DType()), 1, 2)), w)
}

// SDPO is DPO with all negatives of a request in one softmax against each
// positive j (Chen et al., On Softmax Direct Preference Optimization for
// Recommendation, 2024):
//
//	-log sigma( -log sum_k exp(beta*(delta-_k - delta+_j)) )
//
// With one negative it is DPO. Hard negatives take most of its gradient. The
// reduction is over the positives of a request; everything else is as in DPO, but
// it holds [R, C] numbers only.
func SDPO(policy, reference, positive, negative, weight *Node, beta float64, reduction Reduction) *Node {
	check("SDPO", policy, weight, reference, positive, negative)
	checkScale("SDPO", "beta", beta)
	pos, neg, w := counting(positive, negative, weight, policy.DType())
	reward := rewards(policy, reference, pos, neg, beta)
	terms := only(pos, softplus(Sub(InsertAxes(logSumExp(reward, neg), -1), reward)))
	return byWeight(reduction.of(ReduceSum(terms, -1), count(pos, policy.DType())), w)
}

// Surprise is what DPO leaves out: the mean of -log p_policy over the positives of a
// request. DPO rewards a growing difference alone, and often lets positives become
// unlikely too, only less so than negatives; this term, added to it with a weight,
// keeps them from that (Pang et al., Iterative Reasoning Preference Optimization,
// 2024). Requests count as in DPO, and add up to their mean by weight.
func Surprise(policy, positive, negative, weight *Node) *Node {
	check("Surprise", policy, weight, positive, negative)
	pos, _, w := counting(positive, negative, weight, policy.DType())
	return byWeight(Mean.of(ReduceSum(only(pos, Neg(policy)), -1), count(pos, policy.DType())), w)
}

// rewards is beta*delta [R, C], 0 where a candidate is in neither mask.
func rewards(policy, reference, pos, neg *Node, beta float64) *Node {
	used := LogicalOr(pos, neg)
	frozen := StopGradient(ConvertDType(reference, policy.DType()))
	return MulScalar(Sub(only(used, policy), only(used, frozen)), beta)
}

// pairs returns x_j - x_k [R, C, C] and which of them are positive j, negative k.
func pairs(x, pos, neg *Node) (difference, pair *Node) {
	dims := []int{x.Shape().Dimensions[0], x.Shape().Dimensions[1], x.Shape().Dimensions[1]}
	rows := func(n *Node) *Node { return BroadcastToDims(InsertAxes(n, -1), dims...) }
	columns := func(n *Node) *Node { return BroadcastToDims(InsertAxes(n, 1), dims...) }
	return Sub(rows(x), columns(x)), LogicalAnd(rows(pos), columns(neg))
}
