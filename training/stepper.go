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

// stepper runs the training graphs. Where Go reaches the backend's buffers (CPU),
// the graph gives the gradients and hostUpdate does the rest. Else, with one
// batch a step, forward, backward and update are one execution; with more, each
// batch adds its weighted gradient to /optimizer/sum and a second graph applies
// the sum.
type stepper struct {
	backend compute.Backend
	store   *model.Store
	model   Model
	cfg     Config
	pass    *model.Exec       // one batch
	apply   *model.Exec       // the update, if it is a graph of its own
	host    *hostUpdate       // the update, if it is done in Go
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
	build := s.buildFused
	switch {
	case cfg.onHost(o.Backend):
		build, s.host = s.buildGrads, &hostUpdate{cfg: cfg, store: o.Store}
	case cfg.Accumulate > 1:
		build = s.buildGather
	}
	var err error
	if s.pass, err = model.NewExec(o.Backend, o.Store, build); err != nil {
		return nil, fmt.Errorf("prepare training: %w", err)
	}
	s.pass.SetMaxCache(-1)
	if s.host == nil && cfg.Accumulate > 1 {
		if s.apply, err = model.NewExec(o.Backend, o.Store, s.buildApply); err != nil {
			return nil, fmt.Errorf("prepare training: %w", err)
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
		t, err := in.Tensor()
		if err != nil {
			return fmt.Errorf("first batch, input %d: %w", i, err)
		}
		list = append(list, t.Shape())
	}
	start := time.Now()
	if _, err := s.pass.Compile(list...); err != nil {
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
	if s.host != nil {
		if err := s.host.prepare(s.params); err != nil {
			return fmt.Errorf("initialise the optimiser: %w", err)
		}
	}
	return nil
}

// numbers are what the host computes for a batch or an update, in float64.
type numbers struct {
	rate       float64 // learning rate
	fix1, fix2 float64 // 1/(1-beta^t)
	ema        float64 // decay of the averaged weights
	noise      float32 // dropout seed
	weight     float64 // of the batch; for an update 1/sum of weights
}

// at returns the numbers of update number step (from 1).
func (s *stepper) at(step, total int, noise float32, weight float64) numbers {
	return numbers{rate: s.cfg.Rate(step, total), fix1: 1 / (1 - math.Pow(s.cfg.Beta1, float64(step))),
		fix2: 1 / (1 - math.Pow(s.cfg.Beta2, float64(step))), ema: s.cfg.emaDecay(step), noise: noise, weight: weight}
}

// tensor packs the numbers as the first input of a training graph.
func (n numbers) tensor() *tensors.Tensor {
	h := make([]float32, hyperSize)
	h[hyperRate], h[hyperFix1], h[hyperFix2] = float32(n.rate), float32(n.fix1), float32(n.fix2)
	h[hyperEMA], h[hyperNoise], h[hyperWeight] = float32(n.ema), n.noise, float32(n.weight)
	return tensors.FromFlatDataAndDimensions(h, hyperSize)
}

// separate reports whether update must follow the batches of a step.
func (s *stepper) separate() bool { return s.host != nil || s.apply != nil }

// batch runs forward and backward on b, and the update too unless separate.
func (s *stepper) batch(b Batch, n numbers) (out outcome, err error) {
	args := []any{n.tensor()}
	defer func() {
		for _, a := range args {
			err = errors.Join(err, a.(*tensors.Tensor).FinalizeAll())
		}
	}()
	for i, in := range b.Inputs {
		t, err := in.Tensor()
		if err != nil {
			return outcome{}, fmt.Errorf("input %d: %w", i, err)
		}
		args = append(args, t)
	}
	key, start := shapeKey(b), time.Now()
	cost, known := s.costs[key]
	results, err := s.pass.Call(args...)
	if err != nil {
		return outcome{}, fmt.Errorf("run the training graph: %w", err)
	}
	if out, err = unpack(results[0]); err != nil {
		return outcome{}, err
	}
	if s.host != nil {
		if err := s.host.take(results[1:], n.weight); err != nil {
			return outcome{}, fmt.Errorf("read the gradients: %w", err)
		}
	}
	if !known {
		cost = s.built
		s.costs[key] = cost
		out.compiled = time.Since(start)
	}
	out.flops = cost.flops
	return out, nil
}

// update applies the gradients of the step; n.weight is 1/sum of weights.
func (s *stepper) update(n numbers) (norm float64, err error) {
	if s.host != nil {
		return s.host.apply(s.params, n)
	}
	input := n.tensor()
	defer func() { err = errors.Join(err, input.FinalizeAll()) }()
	results, err := s.apply.Call(input)
	if err != nil {
		return 0, fmt.Errorf("run the update graph: %w", err)
	}
	out, err := unpack(results[0])
	return out.norm, err
}

// unpack reads what report packed.
func unpack(result *tensors.Tensor) (outcome, error) {
	values, err := tensors.CopyFlatData[float32](result)
	if err = errors.Join(err, result.FinalizeAll()); err != nil {
		return outcome{}, fmt.Errorf("read the results of a step: %w", err)
	}
	out := outcome{loss: float64(values[0]), norm: float64(values[1])}
	for _, v := range values[2:] {
		out.aux = append(out.aux, float64(v))
	}
	return out, nil
}

// close frees the compiled graphs, and gradients that a failed step left.
func (s *stepper) close() error {
	s.pass.Finalize()
	if s.apply != nil {
		s.apply.Finalize()
	}
	if s.host != nil {
		return release(s.host.grads)
	}
	return nil
}

// shapeKey names the shape of a batch.
func shapeKey(b Batch) string {
	key := make([]byte, 0, 16*len(b.Inputs))
	for _, in := range b.Inputs {
		key = fmt.Appendf(key, "%T%v ", in.Data, in.Dims)
	}
	return string(key)
}
