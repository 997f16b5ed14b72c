package spacetime

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
)

// Model is a network that training can fit (training.Model).
type Model struct {
	Config Config
	Tables *Tables
}

// AuxNames names the diagnostics of Loss.
func (m *Model) AuxNames() []string { return []string{"generate_nll", "copy_share"} }

// Loss is the weighted mean negative log-probability of the targets' places
// (paper, loss of section 3.2.1: log P(block) + log P(inner | block), only where
// It = 1; requests with It = 0 have weight zero or are absent). With the copy
// head a place's probability is g*copy + (1-g)*generate.
func (m *Model) Loss(s *model.Scope, inputs []*Node, noise *Node) (*Node, []*Node) {
	n := newNet(s, m.Config, m.Tables, inputs, noise)
	hidden, _ := n.run()
	h := n.requests(hidden, 0)
	generated := n.generated(hidden, h)
	weight := flatten(inputs[batch.InWeight])
	total := AddScalar(ReduceAllSum(weight), 1e-6)
	mean := func(x *Node) *Node { return Div(ReduceAllSum(Mul(x, weight)), total) }
	nll := mean(Neg(generated))
	if !n.c.CopyHead {
		return nll, []*Node{nll, ScalarZero(n.g, dtypes.Float32)}
	}
	copied, gate := n.copyHead(h)
	chosen := flatten(inputs[batch.InChosen]) // [R], -1 if absent
	absent := LessThan(chosen, ScalarZero(n.g, dtypes.Int32))
	at := pick(copied, Max(chosen, ScalarZero(n.g, dtypes.Int32)))
	at = Where(absent, OnesLike(at), at) // a log-probability is never positive: marks absence
	both := mix(at, generated, gate)
	alone := Add(generated, logSigmoid(Neg(gate)))
	loss := mean(Neg(Where(absent, alone, both)))
	if n.c.GenerateWeight > 0 {
		loss = Add(loss, MulScalar(nll, n.c.GenerateWeight))
	}
	return loss, []*Node{nll, mean(Sigmoid(gate))}
}

// generated is the log-probability of each target by generation, [R].
func (n *net) generated(hidden, h *Node) *Node {
	label := flatten(n.in[batch.InLabel])
	if !n.t.Hier {
		return pick(LogSoftmax(n.placeLogits(h), -1), label)
	}
	v := n.t.Places()
	block := look(n.constant(n.t.Block, v), label)
	inner := look(n.constant(n.t.Place, v), label)
	byBlock := pick(LogSoftmax(n.blockLogits(h), -1), block)
	byInner := pick(LogSoftmax(n.innerLogits(n.requests(hidden, 1)), -1), inner)
	return Add(byBlock, byInner)
}

// mix is log(g*exp(a) + (1-g)*exp(b)) with g = sigmoid(gate).
func mix(a, b, gate *Node) *Node {
	a, b = Add(a, logSigmoid(gate)), Add(b, logSigmoid(Neg(gate)))
	top := StopGradient(Max(a, b))
	return Add(Log(Add(Exp(Sub(a, top)), Exp(Sub(b, top)))), top)
}

// logSigmoid is log(1/(1+exp(-x))) without overflow.
func logSigmoid(x *Node) *Node {
	zero := ZerosLike(x)
	return Sub(Min(x, zero), Log1P(Exp(Neg(Abs(x)))))
}
