// Package objective holds the losses of post-training as functions that build
// GoMLX graphs: InfoNCE and binary cross entropy of supervised fine-tuning
// (Spacetime-GR, section 3.2.2), DPO of alignment (section 3.2.3) and its form
// with many negatives, S-DPO. It knows numbers and masks only, no places.
//
// Axes. R requests, one a row; C candidates, one a column. A mask [R, C] of bools
// says which candidates of a row are positive (clicked), negative (shown and not
// clicked) or padding (neither). Negatives from other requests of the batch are
// further columns. weight [R] says how much a request counts, 0 for padding.
//
// Promises. A loss is a scalar of the scores' dtype: the mean over requests by
// weight, so that training can accumulate batches by their sum of weights. A
// request counts only if its weight is above 0 and it has at least one positive
// and one negative (for Binary: at least one valid candidate); with none that
// counts the loss is 0. What stands in a masked column or a row that does not
// count changes neither loss nor gradient, even if it is NaN or infinite. Scores
// of +-1e4 give a finite loss and a finite gradient. Weights, labels and the
// reference of DPO are constants: no gradient flows into them.
//
// Failure. Graph building panics on shapes that do not fit and on a temperature
// that is not positive, as all graph code does; nothing returns an error.
package objective

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/support/exceptions"
)

// Reduction says how the terms of one request add up. Requests always add up to
// their weighted mean: the printed sum over requests differs from it by a factor
// that is the same for all parameters.
type Reduction string

// Reductions.
const (
	// Mean counts a request the same however many candidates it showed.
	Mean Reduction = "mean"
	// Sum is as printed: a request with 2 clicks among 11 counts 18 pairs.
	Sum Reduction = "sum"
)

// Valid reports whether the reduction is one of the above, for checks of settings.
func (r Reduction) Valid() bool { return r == Mean || r == Sum }

// of divides sums [R] by the counts of their terms [R] where the reduction asks for it.
func (r Reduction) of(sum, count *Node) *Node {
	switch r {
	case Sum:
		return sum
	case Mean:
		return Div(sum, atLeastOne(count))
	}
	exceptions.Panicf("objective: reduction %q is neither %q nor %q", r, Mean, Sum)
	return nil
}

// check panics unless x is [R, C] of floats, others are the same shape and weight is [R].
func check(name string, x, weight *Node, others ...*Node) {
	if x.Rank() != 2 || !x.DType().IsFloat() {
		exceptions.Panicf("objective.%s: scores are %s, want floats [requests, candidates]", name, x.Shape())
	}
	for i, o := range others {
		if o.Rank() != 2 || o.Shape().Dimensions[0] != x.Shape().Dimensions[0] || o.Shape().Dimensions[1] != x.Shape().Dimensions[1] {
			exceptions.Panicf("objective.%s: array %d is %s beside scores %s", name, i+1, o.Shape(), x.Shape())
		}
	}
	if weight.Rank() != 1 || weight.Shape().Dimensions[0] != x.Shape().Dimensions[0] {
		exceptions.Panicf("objective.%s: weights are %s, want one for each row of %s", name, weight.Shape(), x.Shape())
	}
}

// checkScale panics unless a temperature or beta is a positive number.
func checkScale(name, what string, v float64) {
	if !(v > 0) || math.IsInf(v, 0) {
		exceptions.Panicf("objective.%s: %s is %v, want a positive number", name, what, v)
	}
}

// counting returns the masks [R, C] without the rows that do not count, for want
// of weight, of a positive or of a negative, and the weights [R], 0 for them.
func counting(positive, negative, weight *Node, dtype dtypes.DType) (pos, neg, w *Node) {
	w = StopGradient(ConvertDType(weight, dtype))
	zero := ScalarZero(w.Graph(), dtype)
	pos, neg = positive, LogicalAnd(negative, LogicalNot(positive))
	both := Mul(count(pos, dtype), count(neg, dtype)) // [R], pairs
	counts := LogicalAnd(GreaterThan(w, zero), GreaterThan(both, zero))
	row := BroadcastToDims(InsertAxes(counts, -1), pos.Shape().Dimensions...)
	return LogicalAnd(pos, row), LogicalAnd(neg, row), Where(counts, w, ZerosLike(w))
}

// count returns how many are true in each row, [R].
func count(mask *Node, dtype dtypes.DType) *Node { return ReduceSum(ConvertDType(mask, dtype), -1) }

// atLeastOne replaces numbers below 1 by 1: a divisor for sums that are 0 then.
func atLeastOne(x *Node) *Node { return StopGradient(Max(x, OnesLike(x))) }

// only zeroes what the mask leaves out. The gradient there is zero too, so it also
// shields the formulas behind it from NaN and infinity.
func only(mask, x *Node) *Node { return Where(mask, x, ZerosLike(x)) }

// byWeight is the mean of x [R] by w [R], a scalar; 0 where the weights sum to 0.
func byWeight(x, w *Node) *Node {
	total := ReduceAllSum(w)
	some := GreaterThan(total, ZerosLike(total))
	return Div(ReduceAllSum(Mul(x, w)), Where(some, total, OnesLike(total)))
}

// softplus is log(1 + exp(x)) without overflow. Each term takes |x| once, so that
// the gradient at 0, where every pair of a DPO begins, is 1/2 whichever side an
// engine's derivative of |x| takes there.
func softplus(x *Node) *Node {
	size := Abs(x)
	return Add(MulScalar(Add(x, size), 0.5), Log1P(Exp(Neg(size))))
}

// logSumExp is log sum exp(x) over the masked-in columns, [R, C] -> [R]; rows with
// none give 0.
func logSumExp(x, mask *Node) *Node {
	some := GreaterThan(count(mask, x.DType()), ScalarZero(x.Graph(), x.DType()))
	top := MaskedReduceMax(x, mask, -1)
	top = StopGradient(Where(some, top, ZerosLike(top))) // [R]
	e := only(mask, Exp(only(mask, Sub(x, InsertAxes(top, -1)))))
	sum := ReduceSum(e, -1)
	return Add(Log(Where(some, sum, OnesLike(sum))), top)
}
