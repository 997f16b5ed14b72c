package tune

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// Ranker returns the ranker of the stage: probabilities of a click of generative
// ranking, cosines of the two towers, or log P(place) of the generating heads.
func (a *Assembly) Ranker(name string, backend compute.Backend, store *model.Store) (poi.Ranker, error) {
	if a.Stage.Tune.Stage == spacetime.StageEmbed {
		return a.Towers(name, backend, store)
	}
	s, err := a.scorer(name, backend, store)
	if err != nil {
		return nil, err
	}
	s.squash = a.Stage.Tune.Stage == spacetime.StageRank
	return s, nil
}

// scorer prepares the graph of logits, or of log-probabilities.
func (a *Assembly) scorer(name string, backend compute.Backend, store *model.Store) (*scorer, error) {
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
	return &scorer{name: name, a: a, exec: exec}, nil
}

// scorer runs a graph over requests.
type scorer struct {
	name   string
	a      *Assembly
	exec   *model.Exec
	squash bool       // logits of a click become probabilities
	mu     sync.Mutex // one execution at a time: the backend uses all cores itself
}

// Name implements poi.Ranker.
func (s *scorer) Name() string { return s.name }

// Probabilities reports whether scores are probabilities of a click.
func (s *scorer) Probabilities() bool { return s.squash }

// Rank implements poi.Ranker.
func (s *scorer) Rank(ctx context.Context, requests []*poi.Request, dst [][]float64) error {
	return s.a.each(ctx, requests, func(part []bundle, in []any, room int) error {
		out, err := s.call(in)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		flat, width := floats(out[0])
		asks := s.a.Recipe.Feed.Requests
		for i, w := range part {
			for m, at := range w.at {
				for c := range requests[at].Options {
					x := float64(flat[(i*asks+m)*width+c])
					if s.squash {
						x = 1 / (1 + math.Exp(-x))
					}
					dst[at][c] = x
				}
			}
		}
		return nil
	})
}

func (s *scorer) call(in []any) ([]*tensors.Tensor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exec.Call(in...)
}

// bundle is requests of one user that see one and the same window, so that sharing
// it changes no score.
type bundle struct {
	row batch.FeedRow
	at  []int // positions of its requests in the caller's list
}

// bundles packs requests; neighbours in the list share a window where they can.
func (a *Assembly) bundles(requests []*poi.Request) []bundle {
	n := a.Recipe.Batch.Window
	var out []bundle
	for i, q := range requests {
		from := max(0, int(q.Pos)-n)
		if k := len(out) - 1; k >= 0 {
			last := &out[k]
			before := requests[last.at[len(last.at)-1]]
			if before.User == q.User && last.row.From == from && len(last.at) < a.Recipe.Feed.Requests && before.Pos <= q.Pos && before.TimeMS <= q.TimeMS {
				last.at, last.row.Requests = append(last.at, i), append(last.row.Requests, q)
				last.row.Visits = a.Dataset.Users[q.User].Visits[:q.Pos:q.Pos]
				continue
			}
		}
		out = append(out, bundle{at: []int{i}, row: batch.FeedRow{User: q.User, From: from,
			Visits: a.Dataset.Users[q.User].Visits[:q.Pos:q.Pos], Requests: []*poi.Request{q}}})
	}
	return out
}

// each encodes requests in batches of few shapes, however many candidates there are.
func (a *Assembly) each(ctx context.Context, requests []*poi.Request, f func(part []bundle, in []any, room int) error) error {
	size := a.Recipe.Recommend.Batch
	all := a.bundles(requests)
	for from := 0; from < len(all); from += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := all[from:min(from+size, len(all))]
		rows := make([]batch.FeedRow, len(part))
		room := a.Recipe.Feed.Options
		for i, w := range part {
			rows[i] = w.row
			for _, q := range w.row.Requests {
				for room < len(q.Options) {
					room *= 2
				}
			}
		}
		if err := f(part, a.encode(rows, room, a.shown()), room); err != nil {
			return err
		}
	}
	return nil
}

// encode makes the inputs of a batch of windows, padded to the batch size.
func (a *Assembly) encode(rows []batch.FeedRow, room int, shown batch.Media) []any {
	s := batch.Shape{B: a.Recipe.Recommend.Batch, N: a.Recipe.Batch.Window, M: a.Recipe.Feed.Requests, C: room}
	b := a.Encoder.EncodeFeed(rows, s, shown)
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
