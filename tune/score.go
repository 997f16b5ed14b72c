package tune

import (
	"context"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// Ranker returns the ranker of the stage: logits of generative ranking, cosines of
// the two towers, or log P(place) of the generating heads.
func (a *Assembly) Ranker(name string, backend compute.Backend, store *model.Store) (poi.Ranker, error) {
	if a.Stage.Tune.Stage == spacetime.StageEmbed {
		return a.Towers(name, backend, store)
	}
	build := a.Model.LogProbs
	if a.Stage.Tune.Stage == spacetime.StageRank {
		build = a.Stage.Scores
	}
	exec, err := model.NewExec(backend, store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{build(s, in)}
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the ranker %s: %w", name, err)
	}
	exec.SetMaxCache(-1)
	return &scorer{name: name, a: a, exec: exec, probs: a.Stage.Tune.Stage == spacetime.StageRank}, nil
}

// scorer runs a graph over requests, each alone in its window, so that a score does
// not depend on what else is asked.
type scorer struct {
	name  string
	a     *Assembly
	exec  *model.Exec
	probs bool       // scores are logits of a click
	mu    sync.Mutex // one execution at a time: the backend uses all cores itself
}

// Name implements poi.Ranker.
func (s *scorer) Name() string { return s.name }

// Logits reports whether scores are logits of the probability of a click.
func (s *scorer) Logits() bool { return s.probs }

// Rank implements poi.Ranker.
func (s *scorer) Rank(ctx context.Context, requests []*poi.Request, dst [][]float64) error {
	return s.a.each(ctx, requests, func(from int, part []*poi.Request, room int) error {
		out, err := s.run(part, room)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		flat, width := floats(out[0])
		for i, q := range part {
			for c := range q.Options {
				dst[from+i][c] = float64(flat[i*width+c])
			}
		}
		return nil
	})
}

func (s *scorer) run(part []*poi.Request, room int) ([]*tensors.Tensor, error) {
	in := s.a.encode(part, room)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exec.Call(in...)
}

// each calls f on batches of requests with about equal room for options.
func (a *Assembly) each(ctx context.Context, requests []*poi.Request, f func(from int, part []*poi.Request, room int) error) error {
	size := a.Recipe.Recommend.Batch
	for from := 0; from < len(requests); from += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := requests[from:min(from+size, len(requests))]
		need := 1
		for _, q := range part {
			need = max(need, len(q.Options))
		}
		room := a.Recipe.Feed.Options
		for room < need {
			room *= 2 // few shapes, however many candidates there are
		}
		if err := f(from, part, room); err != nil {
			return err
		}
	}
	return nil
}

// encode makes the inputs of a batch of requests, padded to the batch size.
func (a *Assembly) encode(part []*poi.Request, room int) []any {
	n := a.Recipe.Batch.Window
	rows := make([]batch.FeedRow, len(part))
	for i, q := range part {
		rows[i] = batch.FeedRow{User: q.User, Visits: a.Dataset.Users[q.User].Visits[:q.Pos:q.Pos], From: max(0, int(q.Pos)-n), Requests: []*poi.Request{q}}
	}
	b := a.Encoder.EncodeFeed(rows, batch.Shape{B: a.Recipe.Recommend.Batch, N: n, M: 1, C: room}, a.shown())
	out := make([]any, len(b.Arrays))
	for i, x := range b.Arrays {
		out[i] = tensorOf(x)
	}
	return out
}

func tensorOf(a batch.Array) *tensors.Tensor {
	if a.I != nil {
		return tensors.FromFlatDataAndDimensions(a.I, a.Dims...)
	}
	return tensors.FromFlatDataAndDimensions(a.F, a.Dims...)
}

// floats copies a float32 tensor and returns the size of its last axis.
func floats(t *tensors.Tensor) ([]float32, int) {
	dims := t.Shape().Dimensions
	return tensors.MustCopyFlatData[float32](t), dims[len(dims)-1]
}
