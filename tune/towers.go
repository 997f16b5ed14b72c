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

// towerRows is how many places are embedded in one execution.
const towerRows = 512

// Towers gives the vectors of the embed stage. The places' are computed once, when
// first asked for (the paper's offline tower).
type Towers struct {
	name   string
	a      *Assembly
	users  *model.Exec
	places *model.Exec

	mu    sync.Mutex
	table []float32 // [places, dim]
}

// Towers prepares the vectors of users and places.
func (a *Assembly) Towers(name string, backend compute.Backend, store *model.Store) (*Towers, error) {
	t := &Towers{name: name, a: a}
	var err error
	if t.users, err = model.NewExec(backend, store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{a.Stage.Users(s, in)}
	}); err == nil {
		t.places, err = model.NewExec(backend, store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
			return []*graph.Node{a.Stage.Places(s, in[0], in[1])}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the towers of %s: %w", name, err)
	}
	t.users.SetMaxCache(-1)
	return t, nil
}

// Name implements poi.Ranker.
func (t *Towers) Name() string { return t.name }

// Dim is the width of the vectors.
func (t *Towers) Dim() int { return t.a.Stage.Tune.Dim }

// Forget drops the places' vectors: the weights have changed.
func (t *Towers) Forget() {
	t.mu.Lock()
	t.table = nil
	t.mu.Unlock()
}

// Places returns the vectors of all places, [places, Dim], each of length one. The
// slice is shared: do not write to it.
func (t *Towers) Places(ctx context.Context) ([]float32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.table != nil {
		return t.table, nil
	}
	n, dim := len(t.a.Dataset.Places), t.Dim()
	table := make([]float32, n*dim)
	width := 1
	if t.a.Media != nil {
		width = t.a.Media.Dim
	}
	for from := 0; from < n; from += towerRows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ids, shown := make([]int32, towerRows), make([]float32, towerRows*width)
		for i := range min(towerRows, n-from) {
			ids[i] = int32(from+i) + 1
			if t.a.Media != nil {
				copy(shown[i*width:], t.a.Media.Row(from+i))
			}
		}
		in := []any{tensors.FromFlatDataAndDimensions(ids, towerRows), tensors.FromFlatDataAndDimensions(shown, towerRows, width)}
		out, err := t.places.Call(in...)
		spacetime.Free(in)
		if err != nil {
			return nil, fmt.Errorf("%s: vectors of places from %d: %w", t.name, from, err)
		}
		flat, _ := spacetime.Floats(out[0])
		copy(table[from*dim:], flat)
	}
	t.table = table
	return table, nil
}

// Users returns the vectors of the users of requests at their moments, [requests,
// Dim], each of length one.
func (t *Towers) Users(ctx context.Context, requests []*poi.Request) ([]float32, error) {
	dim := t.Dim()
	bare := make([]*poi.Request, len(requests)) // without options: the user's side does not see them
	for i, q := range requests {
		c := *q
		c.Options = nil
		bare[i] = &c
	}
	out := make([]float32, len(requests)*dim)
	err := t.a.each(ctx, bare, func(part []bundle, in []any, s batch.Shape) error {
		flat, err := t.user(in)
		if err != nil {
			return err
		}
		for i, w := range part {
			for m, at := range w.at {
				copy(out[at*dim:(at+1)*dim], flat[(i*s.M+m)*dim:(i*s.M+m+1)*dim])
			}
		}
		return nil
	})
	return out, err
}

// user runs the users' tower on the inputs of a batch and frees them.
func (t *Towers) user(in []any) ([]float32, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	res, err := t.users.Call(in...)
	spacetime.Free(in)
	if err != nil {
		return nil, fmt.Errorf("%s: vectors of users: %w", t.name, err)
	}
	flat, _ := spacetime.Floats(res[0])
	return flat, nil
}

// Rank implements poi.Ranker by the cosine of user and place.
func (t *Towers) Rank(ctx context.Context, requests []*poi.Request, dst [][]float64) error {
	places, err := t.Places(ctx)
	if err != nil {
		return err
	}
	users, err := t.Users(ctx, requests)
	if err != nil {
		return err
	}
	dim := t.Dim()
	for i, q := range requests {
		u := users[i*dim : (i+1)*dim]
		for c, o := range q.Options {
			sum := 0.0
			for k, x := range places[int(o.POI)*dim : (int(o.POI)+1)*dim] {
				sum += float64(x) * float64(u[k])
			}
			dst[i][c] = sum
		}
	}
	return nil
}
