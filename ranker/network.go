package ranker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/poi"
)

// Network ranks with trained weights: a poi.Ranker whose scores are probabilities
// of a click. It may be called from several goroutines, one at a time runs.
type Network struct {
	name  string
	fit   *Fit
	store *model.Store
	mu    sync.Mutex
	build *builder
	exec  *model.Exec
}

// Ranker returns the ranker of the weights in store, which may change between
// calls. The name is its row's in a table.
func (t *Fit) Ranker(name string, backend compute.Backend, store *model.Store) (*Network, error) {
	exec, err := model.NewExec(backend, store, func(s *model.Scope, in []*graph.Node) *graph.Node {
		return t.model.Logits(s, in)
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the base ranker %s: %w", name, err)
	}
	exec.SetMaxCache(-1)
	return &Network{name: name, fit: t, store: store, build: t.builder(false), exec: exec}, nil
}

// Name is the row's name in a table.
func (n *Network) Name() string { return n.name }

// Probabilities says that scores are probabilities of a click.
func (n *Network) Probabilities() bool { return true }

// Close frees the compiled graphs.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.exec.Finalize()
}

// Rank fills dst with probabilities of a click (poi.Ranker).
func (n *Network) Rank(ctx context.Context, requests []*poi.Request, dst [][]float64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(dst) != len(requests) {
		return fmt.Errorf("rank %d requests into %d rows: %w", len(requests), len(dst), poi.ErrBadInput)
	}
	widest := 0
	for i, r := range requests {
		if len(dst[i]) != len(r.Options) {
			return fmt.Errorf("rank request %s: %d options into %d scores: %w", r.ID, len(r.Options), len(dst[i]), poi.ErrBadInput)
		}
		if len(r.Options) > MaxOptions {
			return fmt.Errorf("rank request %s: %d options, at most %d: %w", r.ID, len(r.Options), MaxOptions, poi.ErrBadInput)
		}
		widest = max(widest, len(r.Options))
	}
	if widest == 0 {
		return nil
	}
	o := n.fit.options
	for o < widest { // few shapes: each is compiled
		o *= 2
	}
	for from := 0; from < len(requests); {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := 1
		for size < n.fit.Config.Batch && size < len(requests)-from {
			size = min(4*size, n.fit.Config.Batch)
		}
		to := min(from+size, len(requests))
		if err := n.chunk(requests[from:to], dst[from:to], size, o); err != nil {
			return fmt.Errorf("rank requests %d to %d with %s: %w", from, to-1, n.name, err)
		}
		from = to
	}
	return nil
}

// chunk ranks at most size requests in one call of the graph.
func (n *Network) chunk(requests []*poi.Request, dst [][]float64, size, o int) (err error) {
	a := n.build.newArrays(size, o)
	for i, r := range requests {
		if err := n.build.put(a, i, r); err != nil {
			return err
		}
	}
	var args []any
	defer func() {
		for _, t := range args {
			err = errors.Join(err, t.(*tensors.Tensor).FinalizeAll())
		}
	}()
	for _, in := range n.build.inputs(a) {
		t, err := in.Tensor()
		if err != nil {
			return err
		}
		args = append(args, t)
	}
	out, err := n.exec.Call(args...)
	if err != nil {
		return err
	}
	logits, err := tensors.CopyFlatData[float32](out[0])
	if err = errors.Join(err, out[0].FinalizeAll()); err != nil {
		return err
	}
	for i, r := range requests {
		for j := range r.Options {
			// In float64, so that large logits do not become equal probabilities.
			dst[i][j] = 1 / (1 + math.Exp(-float64(logits[i*o+j])))
		}
	}
	return nil
}

var _ poi.Ranker = (*Network)(nil)
