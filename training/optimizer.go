package training

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"
)

// Scopes of the variables this package keeps beside the model's.
const (
	optimizerScope = "/optimizer/"
	sumScope       = "/optimizer/sum/" // gradients gathered within a step; never saved
	emaScope       = "/ema/"
)

// Positions of the host's numbers in the first input of every training graph.
const (
	hyperRate   = iota // learning rate
	hyperFix1          // 1/(1-beta1^t)
	hyperFix2          // 1/(1-beta2^t)
	hyperEMA           // decay of the averaged weights
	hyperNoise         // dropout seed
	hyperWeight        // accumulate: weight of the batch; apply: 1/sum of weights
	hyperSize
)

// IsModelPath reports whether a variable belongs to the model, not to the
// optimiser, the averaged weights or GoMLX's random numbers.
func IsModelPath(path string) bool {
	return !strings.HasPrefix(path, optimizerScope) && !strings.HasPrefix(path, emaScope) && path != "/"+model.RNGStateVariableName
}

// trainables returns the variables that g uses and training changes, by path:
// the order must not depend on how the store was filled.
func trainables(store *model.Store, g *Graph) []*model.Variable {
	var list []*model.Variable
	for v := range store.IterVariables() {
		if v.Trainable && IsModelPath(v.Path()) && v.InUseByGraph(g) {
			if v.DType() != dtypes.Float32 {
				panic(fmt.Errorf("variable %s is %s; trained variables must be float32: call SetTrainable(false) or change its type", v.Path(), v.DType()))
			}
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		panic(fmt.Errorf("the loss uses no trainable variable"))
	}
	slices.SortFunc(list, func(a, b *model.Variable) int { return strings.Compare(a.Path(), b.Path()) })
	return list
}

// companion returns the variable that goes with v under scope, zero at first.
func companion(store *model.Store, scope string, v *model.Variable) *model.Variable {
	zeros := func(g *Graph, shape shapes.Shape) *Node { return Zeros(g, shape) }
	return store.VariableWithShape(scope+strings.TrimPrefix(v.Path(), "/"), v.Shape(), zeros).SetTrainable(false)
}

// hyperAt returns one of the host's numbers as a scalar node.
func hyperAt(hyper *Node, i int) *Node {
	return Reshape(Slice(hyper, AxisElem(i)))
}

// sumSquares returns the sum of squares over all gradients.
func sumSquares(grads []*Node) *Node {
	total := ReduceAllSum(Square(grads[0]))
	for _, g := range grads[1:] {
		total = Add(total, ReduceAllSum(Square(g)))
	}
	return total
}

// finite is true if the scalar x is neither NaN nor infinite.
func finite(x *Node) *Node { return Equal(Sub(x, x), ScalarZero(x.Graph(), x.DType())) }

// adamW adds to the graph one update of params with the gradients grads, and of
// the averaged weights. It returns the norm of the gradients before clipping.
//
//	m = b1 m + (1-b1) g      v = b2 v + (1-b2) g^2
//	w = w - lr (decay w + m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps))
//
// (Loshchilov and Hutter, Decoupled Weight Decay Regularization, algorithm 2.)
// Where loss or norm is not finite, nothing changes: g becomes 0, the decays 1
// and the learning rate 0, which costs one Where a parameter, not four.
func (c Config) adamW(store *model.Store, params []*model.Variable, grads []*Node, loss, hyper *Node) (norm *Node) {
	g := hyper.Graph()
	norm = Sqrt(sumSquares(grads))
	ok := LogicalAnd(finite(loss), finite(norm))
	zero, one := ScalarZero(g, dtypes.Float32), ScalarOne(g, dtypes.Float32)
	ifOK := func(x *Node, otherwise *Node) *Node { return Where(ok, x, otherwise) }
	constant := func(x float64) *Node { return Scalar(g, dtypes.Float32, x) }

	clip := one
	if c.ClipNorm > 0 {
		clip = Min(one, Div(constant(c.ClipNorm), AddScalar(norm, 1e-6)))
	}
	rate := ifOK(hyperAt(hyper, hyperRate), zero)
	keep1, new1 := ifOK(constant(c.Beta1), one), ifOK(constant(1-c.Beta1), zero)
	keep2, new2 := ifOK(constant(c.Beta2), one), ifOK(constant(1-c.Beta2), zero)
	fix1, fix2 := hyperAt(hyper, hyperFix1), hyperAt(hyper, hyperFix2)
	keepAvg := ifOK(hyperAt(hyper, hyperEMA), one)
	// sqrt(v*fix2)+eps = sqrt(fix2) (sqrt(v) + eps/sqrt(fix2)): scalars first, so
	// that the big arrays are passed over less often.
	root2 := Sqrt(fix2)
	epsAt := Div(constant(c.Eps), root2)
	step := Mul(rate, Div(fix1, root2))

	for i, p := range params {
		w := p.NodeValue(g)
		grad := ifOK(Mul(grads[i], clip), zero)
		m, v := companion(store, optimizerScope+"m/", p), companion(store, optimizerScope+"v/", p)
		mNew := Add(Mul(keep1, m.NodeValue(g)), Mul(new1, grad))
		vNew := Add(Mul(keep2, v.NodeValue(g)), Mul(Mul(new2, grad), grad))
		scale := c.scaleOf(p.Path())
		move := Mul(MulScalar(step, scale), Div(mNew, Add(Sqrt(vNew), epsAt)))
		if decay := c.decayOf(p.Path(), p.Shape().Rank()); decay > 0 {
			w = Mul(w, OneMinus(MulScalar(rate, scale*decay)))
		}
		w = Sub(w, move)
		m.SetNodeValue(mNew)
		v.SetNodeValue(vNew)
		p.SetNodeValue(w)
		if c.EMADecay > 0 {
			avg := companion(store, emaScope, p)
			avg.SetNodeValue(Add(Mul(keepAvg, avg.NodeValue(g)), Mul(OneMinus(keepAvg), w)))
		}
	}
	return norm
}

// swapAverage exchanges the weights with their averages by swapping pointers;
// called again it undoes itself.
func swapAverage(store *model.Store) error {
	for v := range store.IterVariables() {
		if !strings.HasPrefix(v.Path(), emaScope) {
			continue
		}
		own := store.GetVariable(strings.TrimPrefix(v.Path(), strings.TrimSuffix(emaScope, "/")))
		if own == nil {
			return fmt.Errorf("averaged weight %s has no variable", v.Path())
		}
		avg, err := v.Value()
		if err != nil {
			return fmt.Errorf("averaged weight %s: %w", v.Path(), err)
		}
		weight, err := own.Value()
		if err != nil {
			return fmt.Errorf("weight %s: %w", own.Path(), err)
		}
		if err := own.SetValuePreservingOld(avg); err != nil {
			return err
		}
		if err := v.SetValuePreservingOld(weight); err != nil {
			return err
		}
	}
	return nil
}
