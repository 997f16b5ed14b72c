package objective

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
)

// InfoNCE is the loss of embedding-based ranking (section 3.2.2), the sum over
// positives inside the logarithm as printed:
//
//	-log( sum_j exp(s+_j/tau) / (sum_j exp(s+_j/tau) + sum_k exp(s-_k/tau)) )
//
// sim [R, C] are the cosines of a request's user with its candidates; valid says
// which columns hold one, and of these positive which were clicked, all others
// being negatives. The result is the mean over requests by weight [R].
//
// It is computed as softplus(log sum_k - log sum_j), which neither overflows nor
// cancels. Inside one sum, only the likelier positives learn much: a request is
// content with one of its clicks far above its negatives.
func InfoNCE(sim, positive, valid, weight *Node, tau float64) *Node {
	check("InfoNCE", sim, weight, positive, valid)
	checkScale("InfoNCE", "temperature", tau)
	pos, neg, w := counting(LogicalAnd(positive, valid), LogicalAnd(valid, LogicalNot(positive)), weight, sim.DType())
	s := MulScalar(only(LogicalOr(pos, neg), sim), 1/tau)
	return byWeight(softplus(Sub(logSumExp(s, neg), logSumExp(s, pos))), w)
}

// Binary is the cross entropy of generative ranking (section 3.2.2):
//
//	-( y log sigma(z) + (1-y) log(1 - sigma(z)) )
//
// for logits z [R, C] and labels y [R, C], bools or numbers from 0 to 1. The
// printed formula sums over candidates; this is the mean over valid candidates,
// each counting by its request's weight [R]: the printed sum divided by one number
// for the whole batch, sum of weight x valid candidates. Unlike the
// other losses it counts requests whose candidates are all of one class.
func Binary(logits, labels, valid, weight *Node) *Node {
	check("Binary", logits, weight, labels, valid)
	dtype := logits.DType()
	w := StopGradient(ConvertDType(weight, dtype))
	counts := GreaterThan(w, ZerosLike(w))
	mask := LogicalAnd(valid, BroadcastToDims(InsertAxes(counts, -1), valid.Shape().Dimensions...))
	z, y := only(mask, logits), StopGradient(only(mask, ConvertDType(labels, dtype)))
	terms := Add(Mul(y, softplus(Neg(z))), Mul(OneMinus(y), softplus(z)))
	n := count(mask, dtype) // [R]
	w = Mul(Where(counts, w, ZerosLike(w)), n)
	return byWeight(Div(ReduceSum(only(mask, terms), -1), atLeastOne(n)), w)
}
