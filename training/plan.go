package training

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
)

// Plan says what a training run will cost before it starts.
type Plan struct {
	Parameters      int     `json:"parameters"`       // trained numbers
	Variables       int     `json:"variables"`        // trained arrays
	Steps           int     `json:"steps"`            // updates, all epochs
	Batches         int     `json:"batches"`          // forward and backward passes
	WeightBytes     int64   `json:"weight_bytes"`     // weights
	OptimizerBytes  int64   `json:"optimizer_bytes"`  // moments, gathered gradients, averages
	GradientBytes   int64   `json:"gradient_bytes"`   // while a step runs
	ActivationBytes int64   `json:"activation_bytes"` // upper bound: every intermediate array of the largest shape seen
	Shapes          int     `json:"shapes"`           // among the sampled batches
	FLOPsPerBatch   float64 `json:"flops_per_batch"`  // matrix products, mean over the sampled batches
	FLOPs           float64 `json:"flops"`            // whole run
	Seconds         float64 `json:"seconds"`          // at the given speed; 0 if unknown
}

// planSamples is how many batches of the first epoch a plan looks at; they are
// spread evenly, so that short and long shapes both occur.
const planSamples = 8

// NewPlan builds, without running them, the training graphs of a sample of
// batches and counts. The store of o gets its variables with first values.
// gflops is the measured speed of matrix products in 1e9 operations a second; 0
// if unknown.
func NewPlan(ctx context.Context, o Options, cfg Config, gflops float64) (p Plan, err error) {
	if err := cfg.Check(); err != nil {
		return Plan{}, err
	}
	s, err := newStepper(o, cfg)
	if err != nil {
		return Plan{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p.Steps = cfg.totalSteps(o.Batches)
	n := o.Batches.Steps(0)
	if n < 1 {
		return Plan{}, fmt.Errorf("plan: epoch 0 has %d batches: %w", n, ErrBadBatch)
	}
	for e := range cfg.Epochs {
		p.Batches += o.Batches.Steps(e)
	}
	if cfg.MaxSteps > 0 {
		p.Batches = min(p.Batches, cfg.MaxSteps*cfg.Accumulate)
	}
	samples := min(planSamples, n)
	for i := range samples {
		b, err := o.Batches.Batch(ctx, 0, i*n/samples)
		if err != nil {
			return Plan{}, fmt.Errorf("plan: batch %d: %w", i*n/samples, err)
		}
		if _, known := s.costs[shapeKey(b)]; !known {
			if err := s.prepare(b); err != nil {
				return Plan{}, fmt.Errorf("plan: %w", err)
			}
		}
		cost := s.costs[shapeKey(b)]
		p.ActivationBytes = max(p.ActivationBytes, cost.bytes)
		p.FLOPsPerBatch += cost.flops / float64(samples)
	}
	p.Shapes = len(s.costs)
	for _, v := range s.params {
		p.Variables++
		p.Parameters += v.Shape().Size()
		p.WeightBytes += v.Shape().ByteSize()
	}
	p.GradientBytes = p.WeightBytes
	for v := range o.Store.IterVariables() {
		if strings.HasPrefix(v.Path(), optimizerScope) || strings.HasPrefix(v.Path(), emaScope) {
			p.OptimizerBytes += v.Shape().ByteSize()
		}
	}
	p.FLOPs = p.FLOPsPerBatch * float64(p.Batches)
	if gflops > 0 {
		p.Seconds = p.FLOPs / (gflops * 1e9)
	}
	return p, nil
}

// Parameters counts the trained numbers of the model in a store.
func Parameters(store *model.Store) int {
	n := 0
	for v := range store.IterVariables() {
		if v.Trainable && IsModelPath(v.Path()) {
			n += v.Shape().Size()
		}
	}
	return n
}

// productAxes finds the contracted axes of the left operand in the text of a
// DotGeneral node: GoMLX keeps them in a private type.
var productAxes = regexp.MustCompile(`lhsContractingAxes=\[([0-9 ,]*)\]`)

// graphCost is what a graph computes.
type graphCost struct {
	flops float64 // of matrix products, two for each multiplication and addition
	bytes int64   // of all arrays it makes
}

// costOf counts over the nodes that the roots need; backends drop the others.
func costOf(roots []*graph.Node) graphCost {
	var c graphCost
	seen := map[*graph.Node]bool{}
	todo := slices.Clone(roots)
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		todo = append(todo, n.Inputs()...)
		if n.Type() != graph.NodeTypeParameter && n.NumOutputs() == 1 && n.Shape().Ok() {
			c.bytes += n.Shape().ByteSize()
		}
		c.flops += productFLOPs(n)
	}
	return c
}

// productFLOPs counts the operations of a node if it is a matrix product.
func productFLOPs(n *graph.Node) float64 {
	if n.Type() != graph.NodeTypeDotGeneral {
		return 0
	}
	ops := 2 * float64(n.Shape().Size())
	lhs := n.Inputs()[0].Shape()
	found := productAxes.FindStringSubmatch(n.String())
	if found == nil {
		panic(fmt.Errorf("no contracted axes in %q: this version of GoMLX writes it another way", n.String()))
	}
	for _, field := range strings.FieldsFunc(found[1], func(r rune) bool { return r == ' ' || r == ',' }) {
		if axis, err := strconv.Atoi(field); err == nil && axis < lhs.Rank() {
			ops *= float64(lhs.Dimensions[axis])
		}
	}
	return ops
}
