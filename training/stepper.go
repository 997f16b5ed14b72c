package training

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// stepper runs the training graphs. With one batch a step, forward, backward
// and update are one execution; else each batch adds its weighted gradient to
// /optimizer/sum and a second graph applies the sum.
type stepper struct {
	backend compute.Backend
	store   *model.Store
	model   Model
	cfg     Config
	fused   *model.Exec // Accumulate == 1
	gather  *model.Exec // Accumulate > 1: sums gradients
	apply   *model.Exec
	params  []*model.Variable // set while building the first graph

	costs        map[string]graphCost // by shape of the inputs, one entry a compilation
	built        graphCost            // of the graph built last
	firstCompile time.Duration
}

// outcome is what one batch or update tells the host.
type outcome struct {
	loss, norm float64
	aux        []float64
	compiled   time.Duration // > 0: the shape was new
	flops      float64
}

func newStepper(o Options, cfg Config) (*stepper, error) {
	s := &stepper{backend: o.Backend, store: o.Store, model: o.Model, cfg: cfg, costs: map[string]graphCost{}}
	var err error
	if cfg.Accumulate == 1 {
		s.fused, err = model.NewExec(o.Backend, o.Store, s.buildFused)
	} else {
		s.gather, err = model.NewExec(o.Backend, o.Store, s.buildGather)
		if err == nil {
			s.apply, err = model.NewExec(o.Backend, o.Store, s.buildApply)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("prepare training: %w", err)
	}
	for _, e := range []*model.Exec{s.fused, s.gather, s.apply} {
		if e != nil {
			e.SetMaxCache(-1)
		}
	}
	return s, nil
}

// lossOf builds forward and backward pass. The graph is marked as training, or
// the ONNX backend would embed the optimiser's state as constants.
func (s *stepper) lossOf(scope *model.Scope, inputs []*graph.Node) (loss *graph.Node, aux, grads []*graph.Node) {
	hyper := inputs[0]
	g := hyper.Graph()
	s.store.SetTraining(g, true)
	loss, aux = s.model.Loss(scope, inputs[1:], hyperAt(hyper, hyperNoise))
	loss.AssertScalar()
	if len(aux) != len(s.model.AuxNames()) {
		panic(fmt.Errorf("Loss returned %d diagnostics for %d names", len(aux), len(s.model.AuxNames())))
	}
	params := trainables(s.store, g)
	if s.params != nil && !slices.Equal(s.params, params) {
		panic(fmt.Errorf("the loss uses %d trained variables for this shape of batch and %d for an earlier one: it must use the same for all", len(params), len(s.params)))
	}
	s.params = params
	values := make([]*graph.Node, len(s.params))
	for i, p := range s.params {
		values[i] = p.NodeValue(g)
	}
	grads = graph.Gradient(loss, values...)
	s.built = costOf(slices.Concat([]*graph.Node{loss}, aux, grads))
	return loss, aux, grads
}

// report packs all scalars in one vector, so that one transfer brings them home.
func report(scalars ...*graph.Node) *graph.Node {
	parts := make([]*graph.Node, len(scalars))
	for i, x := range scalars {
		x.AssertScalar()
		parts[i] = graph.Reshape(graph.ConvertDType(x, dtypes.Float32), 1)
	}
	return graph.Concatenate(parts, 0)
}

func (s *stepper) buildFused(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
	loss, aux, grads := s.lossOf(scope, inputs)
	norm := s.cfg.adamW(s.store, s.params, grads, loss, inputs[0])
	return []*graph.Node{report(append([]*graph.Node{loss, norm}, aux...)...)}
}

// sums returns the accumulators of the gradients.
func (s *stepper) sums() []*model.Variable {
	list := make([]*model.Variable, len(s.params))
	for i, p := range s.params {
		list[i] = companion(s.store, sumScope, p)
	}
	return list
}

func (s *stepper) buildGather(scope *model.Scope, inputs []*graph.Node) []*graph.Node {
	loss, aux, grads := s.lossOf(scope, inputs)
	weight := hyperAt(inputs[0], hyperWeight)
	for i, sum := range s.sums() {
		sum.SetNodeValue(graph.Add(sum.NodeValue(loss.Graph()), graph.Mul(weight, grads[i])))
	}
	return []*graph.Node{report(append([]*graph.Node{loss, graph.ZerosLike(loss)}, aux...)...)}
}

func (s *stepper) buildApply(_ *model.Scope, inputs []*graph.Node) []*graph.Node {
	hyper := inputs[0]
	g := hyper.Graph()
	s.store.SetTraining(g, true)
	share := hyperAt(hyper, hyperWeight)
	grads := make([]*graph.Node, len(s.params))
	for i, sum := range s.sums() {
		value := sum.NodeValue(g)
		grads[i] = graph.Mul(value, share)
		sum.SetNodeValue(graph.ZerosLike(value))
	}
	norm := s.cfg.adamW(s.store, s.params, grads, graph.ScalarZero(g, dtypes.Float32), hyper)
	return []*graph.Node{report(graph.ZerosLike(norm), norm)}
}

// prepare compiles the graphs for the shape of b and gives every variable its
// first value. After it the store can be loaded from a checkpoint.
func (s *stepper) prepare(b Batch) error {
	if err := s.store.SetRNGStateFromSeed(s.cfg.Seed); err != nil {
		return fmt.Errorf("seed the random numbers: %w", err)
	}
	list := []shapes.Shape{shapes.Make(dtypes.Float32, hyperSize)}
	for i, in := range b.Inputs {
		t, err := in.tensor()
		if err != nil {
			return fmt.Errorf("first batch, input %d: %w", i, err)
		}
		list = append(list, t.Shape())
	}
	exec := s.fused
	if exec == nil {
		exec = s.gather
	}
	start := time.Now()
	if _, err := exec.Compile(list...); err != nil {
		return fmt.Errorf("build the training graph for the first batch: %w", err)
	}
	s.costs[shapeKey(b)] = s.built
	if s.apply != nil {
		if _, err := s.apply.Compile(list[0]); err != nil {
			return fmt.Errorf("build the update graph: %w", err)
		}
	}
	s.firstCompile = time.Since(start)
	if err := s.store.InitializeVariables(s.backend, nil); err != nil {
		return fmt.Errorf("initialise the weights: %w", err)
	}
	return nil
}

// hyper fills the host's numbers for update number step (from 1).
func (s *stepper) hyper(step, total int, noise float32, weight float64) *tensors.Tensor {
	h := make([]float32, hyperSize)
	h[hyperRate] = float32(s.cfg.Rate(step, total))
	h[hyperFix1] = float32(1 / (1 - math.Pow(s.cfg.Beta1, float64(step))))
	h[hyperFix2] = float32(1 / (1 - math.Pow(s.cfg.Beta2, float64(step))))
	h[hyperEMA] = float32(s.cfg.emaDecay(step))
	h[hyperNoise] = noise
	h[hyperWeight] = float32(weight)
	return tensors.FromFlatDataAndDimensions(h, hyperSize)
}

// batch runs forward and backward on b, and the update too if Accumulate is 1.
func (s *stepper) batch(b Batch, hyper *tensors.Tensor) (outcome, error) {
	exec := s.fused
	if exec == nil {
		exec = s.gather
	}
	args := []any{hyper}
	defer func() {
		for _, a := range args {
			a.(*tensors.Tensor).MustFinalizeAll()
		}
	}()
	for i, in := range b.Inputs {
		t, err := in.tensor()
		if err != nil {
			return outcome{}, fmt.Errorf("input %d: %w", i, err)
		}
		args = append(args, t)
	}
	key, start := shapeKey(b), time.Now()
	cost, known := s.costs[key]
	results, err := exec.Call(args...)
	if err != nil {
		return outcome{}, fmt.Errorf("run the training graph: %w", err)
	}
	out, err := unpack(results)
	if err != nil {
		return outcome{}, err
	}
	if !known {
		cost = s.built
		s.costs[key] = cost
		out.compiled = time.Since(start)
	}
	out.flops = cost.flops
	return out, nil
}

// update applies the gathered gradients.
func (s *stepper) update(hyper *tensors.Tensor) (outcome, error) {
	defer hyper.MustFinalizeAll()
	results, err := s.apply.Call(hyper)
	if err != nil {
		return outcome{}, fmt.Errorf("run the update graph: %w", err)
	}
	return unpack(results)
}

func unpack(results []*tensors.Tensor) (outcome, error) {
	if len(results) != 1 {
		return outcome{}, fmt.Errorf("training graph gave %d results, want 1", len(results))
	}
	values, err := tensors.CopyFlatData[float32](results[0])
	if err = errors.Join(err, results[0].FinalizeAll()); err != nil {
		return outcome{}, fmt.Errorf("read the results of a step: %w", err)
	}
	out := outcome{loss: float64(values[0]), norm: float64(values[1])}
	for _, v := range values[2:] {
		out.aux = append(out.aux, float64(v))
	}
	return out, nil
}

// close frees the compiled graphs.
func (s *stepper) close() {
	for _, e := range []*model.Exec{s.fused, s.gather, s.apply} {
		if e != nil {
			e.Finalize()
		}
	}
}

// shapeKey names the shape of a batch.
func shapeKey(b Batch) string {
	key := make([]byte, 0, 16*len(b.Inputs))
	for _, in := range b.Inputs {
		key = fmt.Appendf(key, "%T%v ", in.Data, in.Dims)
	}
	return string(key)
}
