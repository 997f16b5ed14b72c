// Package training fits a model: AdamW inside the compute graph, a warm-up and
// cosine schedule, clipping, gradient accumulation, an optional moving average
// of the weights, validation with early choice, checkpoints, exact resumption,
// progress, metrics and TensorBoard files.
//
// Vocabulary: a batch is one forward and backward pass; a step is one update of
// the weights, made of Accumulate batches; an epoch is Batches.Steps batches. A
// shape is the list of input dimensions of a batch: each new one is compiled.
//
// Promises. A batch, its dropout noise and the learning rate are functions of
// (seed, epoch, batch, step) alone, so training that is stopped and resumed on
// the same backend gives bit for bit the weights of training in one go. A step
// whose loss or gradient is not finite changes nothing and ends the run with
// ErrNotFinite. Cancelling the context saves the checkpoint "last" after the
// current step and returns ErrInterrupted.
//
// It fails by returning errors; it panics only inside graph building, where
// GoMLX turns panics into errors.
package training

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/run"
)

// Sentinel errors; wrapped with where it happened and what to do.
var (
	// ErrInterrupted is returned when the context ends; "last" is saved.
	ErrInterrupted = errors.New("training interrupted")
	// ErrNotFinite is returned when a loss or gradient is NaN or infinite.
	ErrNotFinite = errors.New("loss or gradient is not finite")
	// ErrBadConfig is returned for a setting outside its range.
	ErrBadConfig = errors.New("bad training setting")
	// ErrBadBatch is returned for a batch that cannot be trained on.
	ErrBadBatch = errors.New("bad batch")
)

// Model builds the graph of the loss.
type Model interface {
	// Loss returns the scalar float32 loss, the mean over the batch's targets,
	// and one scalar a name of AuxNames. Inputs are the batch's arrays in order.
	// Noise is a scalar float32 holding a whole number in [0, 2^24), fresh for
	// every batch: the seed of dropout.
	Loss(s *model.Scope, inputs []*graph.Node, noise *graph.Node) (loss *graph.Node, aux []*graph.Node)
	// AuxNames names the diagnostics that Loss returns, for records and plots.
	AuxNames() []string
}

// Batches gives the batches of an epoch as a pure function of (seed, epoch,
// step), so that any of them is reached in O(1). Batch is called from one
// goroutine at a time, ahead of its use.
type Batches interface {
	Steps(epoch int) int
	Batch(ctx context.Context, epoch, step int) (Batch, error)
}

// Batch is one forward and backward pass.
type Batch struct {
	Inputs []Array
	Weight float64 // number of targets the mean loss is over; > 0
	Tokens int     // real positions, for tokens per second
}

// Array is a dense array on the host in row-major order. It is copied before
// use, because a tensor belongs to the backend that first used it.
type Array struct {
	Data any   // []float32, []int32, []int64 or []bool
	Dims []int // empty for a scalar
}

// Tensor copies the array into a new tensor. It wraps ErrBadBatch where type or size
// are wrong.
func (a Array) Tensor() (*tensors.Tensor, error) {
	size := 1
	for _, d := range a.Dims {
		if d <= 0 {
			return nil, fmt.Errorf("array with dimensions %v: %w: each must be positive", a.Dims, ErrBadBatch)
		}
		size *= d
	}
	var have int
	var make func() *tensors.Tensor
	switch data := a.Data.(type) {
	case []float32:
		have, make = len(data), func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(data, a.Dims...) }
	case []int32:
		have, make = len(data), func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(data, a.Dims...) }
	case []int64:
		have, make = len(data), func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(data, a.Dims...) }
	case []bool:
		have, make = len(data), func() *tensors.Tensor { return tensors.FromFlatDataAndDimensions(data, a.Dims...) }
	default:
		return nil, fmt.Errorf("array of type %T: %w: use []float32, []int32, []int64 or []bool", a.Data, ErrBadBatch)
	}
	if have != size {
		return nil, fmt.Errorf("array with dimensions %v needs %d values, has %d: %w", a.Dims, size, have, ErrBadBatch)
	}
	return make(), nil
}

// ValidateFunc measures the model in store on held-out data. With EMADecay the
// store holds the averaged weights while it runs. Higher is better unless the
// configuration says otherwise.
type ValidateFunc func(ctx context.Context, store *model.Store) (map[string]float64, error)

// Options says what to train and where the results go.
type Options struct {
	Backend  compute.Backend
	Store    *model.Store // empty, or with weights to start from
	Model    Model
	Batches  Batches
	Validate ValidateFunc // nil: no validation, no best checkpoint
	Run      *run.Run     // nil: nothing is kept on disk
	Resume   bool         // continue from the checkpoint "last" of Run if there is one
	Progress Progress
}

// Result says how training went. The store holds the last weights (not averaged).
type Result struct {
	Steps           int         `json:"steps"`
	Epochs          int         `json:"epochs"` // begun
	Best            *run.Choice `json:"best,omitempty"`
	LastLoss        float64     `json:"last_loss"`
	StoppedEarly    bool        `json:"stopped_early"`
	ResumedAt       int         `json:"resumed_at_step"` // 0 if from the start
	Compilations    int         `json:"compilations"`
	Seconds         float64     `json:"seconds"`      // of this call, all in
	StepSeconds     float64     `json:"step_seconds"` // of it in steps, without compilation and validation
	Tokens          int         `json:"tokens"`       // in those steps
	TokensPerSecond float64     `json:"tokens_per_second"`
	GFLOPs          float64     `json:"gflops_per_second"` // matrix products only
}

// seconds since start, for records.
func seconds(start time.Time) float64 { return time.Since(start).Seconds() }
