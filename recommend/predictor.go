// Package recommend answers "where next" with a trained network: history in,
// ranked places out. It is the only inference path: eval and serving call it, so
// the two cannot drift.
//
// A Predictor is safe for concurrent use. Requests are run in fixed-shape
// batches, so that nothing is compiled for a single request once Warm has run.
package recommend

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// Config sets the search.
type Config struct {
	Beam  beam.Width `yaml:"beam"`
	Batch int        `yaml:"batch"` // requests run together when scoring many
}

// Default is the paper's beam.
func Default() Config { return Config{Beam: beam.Width{Blocks: 10, Inners: 10}, Batch: 32} }

// Validate reports the first value out of range.
func (c Config) Validate() error {
	if c.Batch < 1 || c.Batch > 4096 {
		return fmt.Errorf("recommend.batch is %d, want 1 to 4096", c.Batch)
	}
	return c.Beam.Validate()
}

// Parts are what a Predictor is made of.
type Parts struct {
	Name     string
	Backend  compute.Backend
	Store    *model.Store // trained variables
	Model    *spacetime.Model
	Dataset  *poi.Dataset
	Index    *index.Index
	Stats    *evidence.Stats // nil without a copy head
	Evidence evidence.Config
	Encoder  *batch.Encoder
	Batch    batch.Config
	Config   Config
}

// Predictor runs a trained network.
type Predictor struct {
	p         Parts
	first     *model.Exec
	expand    *model.Exec
	builders  sync.Pool
	names     map[string]int32
	onlyBatch sync.Mutex // one execution at a time: an engine has all cores to itself here
}

// New prepares a Predictor. Nothing is compiled yet.
func New(p Parts) (*Predictor, error) {
	r := &Predictor{p: p, names: make(map[string]int32, len(p.Dataset.Users))}
	for i := range p.Dataset.Users {
		r.names[p.Dataset.Users[i].ID] = int32(i)
	}
	if p.Stats != nil {
		r.builders.New = func() any { return evidence.NewBuilder(p.Stats, p.Evidence) }
	}
	var err error
	r.first, err = model.NewExec(p.Backend, p.Store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		return p.Model.First(s, in)
	})
	if err == nil && p.Model.Tables.Hier {
		r.expand, err = model.NewExec(p.Backend, p.Store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
			return []*graph.Node{p.Model.Expand(s, in)}
		})
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the network of %s: %w", p.Name, err)
	}
	for _, e := range []*model.Exec{r.first, r.expand} {
		if e != nil {
			e.SetMaxCache(-1)
		}
	}
	return r, nil
}

// Weights is their size in bytes.
func (r *Predictor) Weights() (bytes int64) {
	for v := range r.p.Store.IterVariables() {
		bytes += int64(v.Shape().ByteSize())
	}
	return bytes
}

// Close frees what was compiled. Nobody may ask any more; the weights are the caller's.
func (r *Predictor) Close() {
	for _, e := range []*model.Exec{r.first, r.expand} {
		if e != nil {
			e.Finalize()
		}
	}
}

// Name implements poi.Scorer.
func (r *Predictor) Name() string { return r.p.Name }

// Window is the number of actions the decoder sees, the request among them.
func (r *Predictor) Window() int { return r.p.Batch.Window }

// User returns the dense id of a user, or poi.ErrUnknownUser.
func (r *Predictor) User(id string) (int32, error) {
	if u, ok := r.names[id]; ok {
		return u, nil
	}
	return -1, fmt.Errorf("user %q is not among the %d users of the run: %w; give --history FILE for somebody new", id, len(r.names), poi.ErrUnknownUser)
}

// answer is what the network says of one request.
type answer struct {
	set   evidence.Set
	copy  []float64 // probability of each candidate of set, times the copy gate
	gate  float64   // probability of copying
	place map[int32]float64
	// blocks are the probabilities of the blocks of the beam, by block token.
	blocks map[int32]float64
	dense  []float32 // log-probabilities by place + 1 (flat)
}

// prob is the mixed probability of a place, and whether there is one: a beam reaches
// some places only.
func (a *answer) prob(p int32) (x float64, ok bool) {
	if a.dense != nil {
		x, ok = (1-a.gate)*math.Exp(float64(a.dense[p+1])), true
	} else if generated, found := a.place[p]; found {
		x, ok = (1-a.gate)*generated, true
	}
	if i := a.set.Index(p); i >= 0 && int(i) < len(a.copy) {
		x, ok = x+a.copy[i], true
	}
	return x, ok
}

// Scores implements poi.Scorer: probabilities by place. A hierarchical network
// gives those of its beam and of the copied places; the rest is zero.
func (r *Predictor) Scores(ctx context.Context, queries []poi.Query, dst [][]float64) error {
	for from := 0; from < len(queries); from += r.p.Config.Batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+r.p.Config.Batch, len(queries))
		answers, err := r.ask(queries[from:to], r.p.Config.Batch, r.p.Index.Trie())
		if err != nil {
			return err
		}
		for i := range answers {
			r.fill(&answers[i], dst[from+i])
		}
	}
	return nil
}

// fill writes the mixed probabilities of all places.
func (r *Predictor) fill(a *answer, dst []float64) {
	generate := 1 - a.gate
	if a.dense != nil {
		for p := range dst {
			dst[p] = generate * math.Exp(float64(a.dense[p+1]))
		}
	} else {
		clear(dst)
		for p, x := range a.place {
			dst[p] = generate * x
		}
	}
	for i, x := range a.copy {
		dst[a.set.POIs[i]] += x
	}
	for p := range r.p.Dataset.Places {
		if r.p.Dataset.Places[p].Closed {
			dst[p] = 0
		}
	}
}

// ask runs the network on at most size requests, padded to size.
func (r *Predictor) ask(queries []poi.Query, size int, trie *index.Trie) ([]answer, error) {
	answers := make([]answer, len(queries))
	rows := make([]batch.Row, len(queries))
	need := 1
	for i := range queries {
		rows[i] = r.row(&queries[i])
		if r.p.Stats != nil {
			b := r.builders.Get().(*evidence.Builder)
			b.Compute(&queries[i], &answers[i].set)
			r.builders.Put(b)
			need = max(need, len(answers[i].set.POIs))
		}
	}
	encoded := r.encode(rows, answers, size, need)
	if err := r.execute(encoded, answers, trie); err != nil {
		return nil, fmt.Errorf("run %s on %d requests: %w", r.p.Name, len(queries), err)
	}
	return answers, nil
}

// row is the window of a request: the last actions and the request's own slot.
func (r *Predictor) row(q *poi.Query) batch.Row { return r.rowFrom(q, 1) }

// rowFrom is row with a window that begins at a multiple of align actions of the
// history.
func (r *Predictor) rowFrom(q *poi.Query, align int) batch.Row {
	from := max(0, len(q.History)+1-r.p.Batch.Window)
	from = (from + align - 1) / align * align
	skip := max(0, from-1) // one more than fits, for where the user stood
	history := q.History[skip:]
	seq := make([]poi.Visit, len(history)+1)
	copy(seq, history)
	seq[len(history)] = poi.Visit{TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, HasUser: q.HasPos,
		UserLat: float32(q.Lat), UserLng: float32(q.Lng)}
	return batch.Row{User: q.User, Sequence: seq, From: from - skip, Requests: []int{len(seq) - 1}, Open: true}
}

func (r *Predictor) encode(rows []batch.Row, answers []answer, size, need int) *batch.Batch {
	shape := batch.Shape{B: size, N: r.p.Batch.Window, M: 1, C: 1}
	var sets func(*batch.Row, int) *evidence.Set
	if r.p.Stats != nil {
		shape.C = r.bucket(need)
		of := make(map[*batch.Row]*evidence.Set, len(rows))
		for i := range rows {
			of[&rows[i]] = &answers[i].set
		}
		sets = func(row *batch.Row, _ int) *evidence.Set { return of[row] }
	}
	return r.p.Encoder.Encode(rows, shape, always, sets)
}

// bucket is the size that so many candidates are padded to.
func (r *Predictor) bucket(need int) int {
	sizes := batch.Buckets(r.p.Evidence)
	for _, c := range sizes {
		if need <= c {
			return c
		}
	}
	return sizes[len(sizes)-1]
}

// execute runs the graphs and reads their answers.
func (r *Predictor) execute(b *batch.Batch, answers []answer, trie *index.Trie) error {
	r.onlyBatch.Lock()
	defer r.onlyBatch.Unlock()
	args := tensorsOf(b)
	defer func() { spacetime.Free(args) }()
	out, err := r.first.Call(args...)
	if err != nil {
		return err
	}
	for _, kept := range out[3:] {
		args = append(args, kept)
	}
	first, width := spacetime.Floats(out[0])
	copied, c := spacetime.Floats(out[1])
	gates, _ := spacetime.Floats(out[2])
	for i := range answers {
		r.take(&answers[i], first[i*width:(i+1)*width], copied[i*c:(i+1)*c], gates[i])
	}
	if r.p.Model.Tables.Hier {
		return r.search(args, b.Arrays[batch.InPlace].Dims[0], first, width, answers, trie)
	}
	return nil
}

// take reads one request's rows of the first step.
func (r *Predictor) take(a *answer, first, copied []float32, gate float32) {
	if r.p.Model.Config.CopyHead && len(a.set.POIs) > 0 { // with nothing to copy all is generated
		a.gate = 1 / (1 + math.Exp(-float64(gate)))
		a.copy = make([]float64, len(a.set.POIs))
		for k := range a.copy {
			a.copy[k] = a.gate * math.Exp(float64(copied[k]))
		}
	}
	if !r.p.Model.Tables.Hier {
		a.dense = first
	}
}

// search is the second step of a hierarchical network: the beam.
func (r *Predictor) search(args []any, size int, first []float32, width int, answers []answer, trie *index.Trie) error {
	w := r.p.Config.Beam
	chosen := make([][]int32, len(answers))
	blocks := make([]int32, size*w.Blocks)
	for i := range answers {
		chosen[i] = beam.Blocks(first[i*width+1:(i+1)*width], trie, w.Blocks)
		for k, b := range chosen[i] {
			blocks[i*w.Blocks+k] = b + 1
		}
	}
	tree := tensors.FromFlatDataAndDimensions(blocks, size, w.Blocks)
	defer tree.MustFinalizeAll()
	res, err := r.expand.Call(slices.Insert(slices.Clone(args), int(batch.NumInputs), any(tree))...)
	if err != nil {
		return err
	}
	inner, tokens := spacetime.Floats(res[0])
	for i := range answers {
		lists := make([][]float32, len(chosen[i]))
		for k := range lists {
			at := (i*w.Blocks + k) * tokens
			lists[k] = inner[at+1 : at+tokens]
		}
		answers[i].place, _ = r.places(beam.Join(first[i*width+1:(i+1)*width], chosen[i], lists, trie, w.Inners))
		answers[i].blocks = make(map[int32]float64, len(chosen[i]))
		for _, b := range chosen[i] {
			answers[i].blocks[b] = math.Exp(float64(first[i*width+1+int(b)]))
		}
	}
	return nil
}

// places are the probabilities of what a beam found. Invalid counts what names no place:
// none, as long as trie and index belong together.
func (r *Predictor) places(found []beam.Hypothesis) (out map[int32]float64, invalid int) {
	out = make(map[int32]float64, len(found))
	for _, h := range found {
		if p, ok := r.p.Index.POI(h.Block, h.Inner); ok {
			out[p] = math.Exp(h.LogProb)
		} else {
			invalid++
		}
	}
	return out, invalid
}
