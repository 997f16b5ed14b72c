package tune

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
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
	build := a.Stage.Scores
	if a.Stage.Tune.Stage != spacetime.StageRank {
		build = func(s *model.Scope, in []*graph.Node) []*graph.Node { return []*graph.Node{a.Model.LogProbs(s, in)} }
	}
	exec, err := model.NewExec(backend, store, build)
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
	if err := s.parts(ctx, requests, dst); err != nil {
		return err
	}
	if s.squash {
		for _, row := range dst {
			for c, x := range row {
				row[c] = squash(x)
			}
		}
	}
	return nil
}

// squash is the probability of a logit.
func squash(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// parts fills dst with the first outputs of the graph, the scores before all.
func (s *scorer) parts(ctx context.Context, requests []*poi.Request, dst ...[][]float64) error {
	return s.a.each(ctx, requests, func(part []bundle, in []any, shape batch.Shape) error {
		out, width, err := s.call(in)
		if err != nil {
			return err
		}
		for k := range dst {
			for i, w := range part {
				for m, at := range w.at {
					for c := range requests[at].Options {
						dst[k][at][c] = float64(out[k][(i*shape.M+m)*width+c])
					}
				}
			}
		}
		return nil
	})
}

// call runs the graph and frees its inputs. It returns the outputs and the size of
// their last axis.
func (s *scorer) call(in []any) (out [][]float32, width int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer spacetime.Free(in)
	res, err := s.exec.Call(in...)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	out = make([][]float32, len(res))
	for k, x := range res {
		out[k], width = spacetime.Floats(x)
	}
	return out, width, nil
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
func (a *Assembly) each(ctx context.Context, requests []*poi.Request, f func(part []bundle, in []any, s batch.Shape) error) error {
	cfg := a.Recipe.Feed
	cfg.Size = a.Recipe.Recommend.Batch
	byShape := map[batch.Shape][]bundle{}
	var shapes []batch.Shape
	for _, w := range a.bundles(requests) {
		s := a.Encoder.FeedShape(&w.row, cfg)
		if byShape[s] == nil {
			shapes = append(shapes, s)
		}
		byShape[s] = append(byShape[s], w)
	}
	for _, s := range shapes {
		for all := byShape[s]; len(all) > 0; {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := all[:min(s.B, len(all))]
			all = all[len(part):]
			if err := f(part, a.encode(part, s, a.shown()), s); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode makes the inputs of a batch of windows, padded to the shape.
func (a *Assembly) encode(part []bundle, s batch.Shape, shown batch.Media) []any {
	rows := make([]batch.FeedRow, len(part))
	for i := range part {
		rows[i] = part[i].row
	}
	b := a.Encoder.EncodeFeed(rows, s, shown)
	out := make([]any, len(b.Arrays))
	for i, x := range b.Arrays {
		out[i] = spacetime.Tensor(x)
	}
	return out
}
