package tune

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// One answers single requests of people who need not be in the data, as a service has
// them: click probabilities of the rank stage, vectors of the embed stage. It is safe
// for concurrent use.
type One struct {
	a      *Assembly
	rank   *scorer // nil unless of the rank stage
	towers *Towers // nil unless of the embed stage
}

// One prepares the rank or the embed stage for a service.
func (a *Assembly) One(name string, backend compute.Backend, store *model.Store) (*One, error) {
	o := &One{a: a}
	var err error
	switch stage := a.Stage.Tune.Stage; stage {
	case spacetime.StageRank:
		o.rank, err = a.scorer(name, backend, store)
	case spacetime.StageEmbed:
		o.towers, err = a.Towers(name, backend, store)
	default:
		err = fmt.Errorf("%s is a run of stage %q: %w; a service asks runs of rank and embed", name, stage, poi.ErrBadInput)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// bundle is one question as the stage reads it.
func (o *One) bundle(q *poi.Query, places []int32) bundle {
	r := &poi.Request{User: q.User, Pos: int32(len(q.History)), TimeMS: q.TimeMS, OffsetMin: q.OffsetMin,
		HasUser: q.HasPos, UserLat: float32(q.Lat), UserLng: float32(q.Lng), Options: make([]poi.Option, len(places))}
	for i, p := range places {
		r.Options[i].POI = p
	}
	from := max(0, len(q.History)-o.a.Recipe.Batch.Window)
	return bundle{at: []int{0}, row: batch.FeedRow{User: q.User, Visits: q.History, From: from, Requests: []*poi.Request{r}}}
}

// run encodes a question alone and runs f on it.
func (o *One) run(ctx context.Context, w bundle, f func(in []any) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cfg := o.a.Recipe.Feed
	cfg.Size = 1
	shape := o.a.Encoder.FeedShape(&w.row, cfg)
	return f(o.a.encode([]bundle{w}, shape, o.a.shown()))
}

// Rank returns the probability of a click on each of the places, in one pass behind the
// person's past.
func (o *One) Rank(ctx context.Context, q poi.Query, places []int32) ([]float64, error) {
	if o.rank == nil {
		return nil, fmt.Errorf("a run of stage %s cannot rank: %w", o.a.Stage.Tune.Stage, poi.ErrBadInput)
	}
	out := make([]float64, len(places))
	err := o.run(ctx, o.bundle(&q, places), func(in []any) error {
		res, _, err := o.rank.call(in)
		for i := range places {
			if err == nil {
				out[i] = squash(float64(res[0][i]))
			}
		}
		return err
	})
	return out, err
}

// User returns the vector of a person at a moment, [Dim], of length one.
func (o *One) User(ctx context.Context, q poi.Query) ([]float32, error) {
	if o.towers == nil {
		return nil, fmt.Errorf("a run of stage %s gives no vectors: %w", o.a.Stage.Tune.Stage, poi.ErrBadInput)
	}
	var out []float32
	err := o.run(ctx, o.bundle(&q, nil), func(in []any) (err error) {
		out, err = o.towers.user(in)
		return err
	})
	return out, err
}

// Places returns the vectors of all places by dense id, [places, dim], each of length one.
func (o *One) Places(ctx context.Context) (data []float32, dim int, err error) {
	if o.towers == nil {
		return nil, 0, fmt.Errorf("a run of stage %s gives no vectors: %w", o.a.Stage.Tune.Stage, poi.ErrBadInput)
	}
	data, err = o.towers.Places(ctx)
	return data, o.towers.Dim(), err
}

// Close frees what was compiled for questions. Nobody may ask any more.
func (o *One) Close() error {
	if o.rank != nil {
		o.rank.exec.Finalize()
	}
	if o.towers != nil {
		o.towers.users.Finalize()
		o.towers.places.Finalize()
	}
	return nil
}

// Warm compiles what requests of up to so many places need.
func (o *One) Warm(ctx context.Context, places int) error {
	window := o.a.Recipe.Batch.Window
	for _, n := range []int{0, window} { // half a window and all of it
		q := poi.Query{User: -1, History: make([]poi.Visit, n)}
		if o.towers != nil {
			if _, err := o.User(ctx, q); err != nil {
				return err
			}
			continue
		}
		for c := 1; ; c *= 2 {
			if _, err := o.Rank(ctx, q, make([]int32, min(c, places))); err != nil {
				return err
			}
			if c >= places {
				break
			}
		}
	}
	return nil
}
