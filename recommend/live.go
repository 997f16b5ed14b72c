package recommend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// ErrClosed is returned by a Live that was closed.
var ErrClosed = errors.New("the model is closed")

// Stages of a request, as Observe is told.
const (
	StageEvidence = "evidence" // what the past says of each candidate
	StageQueue    = "queue"    // waiting for the engine, once for a past and once for an answer
	StagePrefill  = "prefill"  // the past of people whose past is not kept
	StageDecode   = "decode"   // the token u
	StageSearch   = "search"   // the beam, of a hierarchical network
	StageChoose   = "choose"   // limits, order, distances
)

// LiveConfig sets the serving side of a Predictor. The zero value is not valid; see
// DefaultLive.
type LiveConfig struct {
	// Batch is the number of requests run together at most: those that wait while the
	// engine is busy go together, so a lone request never waits for company.
	Batch int
	// Queue is the number of requests that may wait for their pasts, and the number that
	// may wait for their answers; more get ErrBusy.
	Queue int
	// PastBytes bounds the memory of kept pasts; the least recently used go first.
	PastBytes int64
	// Align makes windows begin at a multiple of so many actions of the history given,
	// so that a kept past can grow: a window that slides with every action moves all
	// positions. 1 slides, which is what the network was evaluated with.
	Align int
	// Observe, if set, is told how long each stage of a request, or of the batch it
	// ran in, took. It is called from several goroutines.
	Observe func(stage string, took time.Duration)
	// Ran, if set, is told how many requests each run of the engine answered.
	Ran func(requests int)
}

// DefaultLive is the setting of the service.
func DefaultLive() LiveConfig {
	return LiveConfig{Batch: 8, Queue: 1024, PastBytes: 512 << 20, Align: 1}
}

// Validate reports the first value out of range.
func (c LiveConfig) Validate() error {
	switch {
	case c.Batch < 1 || c.Batch > 256:
		return fmt.Errorf("batch is %d, want 1 to 256: %w", c.Batch, poi.ErrBadInput)
	case c.Queue < 1 || c.Queue > 1<<20:
		return fmt.Errorf("queue is %d, want 1 to %d: %w", c.Queue, 1<<20, poi.ErrBadInput)
	case c.PastBytes < 0:
		return fmt.Errorf("past_bytes is %d, want 0 or more: %w", c.PastBytes, poi.ErrBadInput)
	case c.Align < 1 || c.Align > 1024:
		return fmt.Errorf("align is %d, want 1 to 1024: %w", c.Align, poi.ErrBadInput)
	}
	return nil
}

// Live answers single requests with little delay: it keeps what people's pasts left in
// the decoder, runs only a request's own token, and runs the requests that wait
// together. One worker makes pasts that are lacking while another answers those who have
// theirs. Its answers are those of the Predictor within rounding. It is safe for
// concurrent use; Close it to free the engine's memory.
type Live struct {
	r      *Predictor
	c      LiveConfig
	places *tensors.Tensor
	sizes  []int // of batches, ascending
	keys   keys
	memory *memory

	making     sync.Mutex // guards past and grow
	past, grow *model.Exec

	decoding    sync.Mutex  // guards ask and branch
	ask, branch *model.Exec // branch is nil for a flat index

	lacking chan *job // who waits for a past
	ready   chan *job // who has one and waits for an answer
	quit    chan struct{}
	stopped sync.WaitGroup
	closing sync.Once
}

// Live returns the serving side of a predictor.
func (r *Predictor) Live(c LiveConfig) (*Live, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("serve %s: %w", r.p.Name, err)
	}
	if c.Align >= r.p.Batch.Window {
		return nil, fmt.Errorf("serve %s: align is %d, the network's window %d actions: %w", r.p.Name, c.Align, r.p.Batch.Window, poi.ErrBadInput)
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration) {}
	}
	if c.Ran == nil {
		c.Ran = func(int) {}
	}
	l := &Live{r: r, c: c, keys: newKeys(), lacking: make(chan *job, c.Queue), ready: make(chan *job, c.Queue), quit: make(chan struct{})}
	for n := 1; n < c.Batch; n *= 2 {
		l.sizes = append(l.sizes, n)
	}
	l.sizes = append(l.sizes, c.Batch)
	if err := l.prepare(); err != nil {
		return nil, fmt.Errorf("prepare the network of %s for serving: %w", r.p.Name, err)
	}
	// Room for the pasts that the batches under way were found with and have made.
	l.memory = newMemory(max(c.PastBytes, 2*int64(c.Batch)*l.pastBytes()))
	l.stopped.Go(func() { l.work(l.lacking, l.supply) })
	l.stopped.Go(func() { l.work(l.ready, l.serve) })
	return l, nil
}

// prepare makes the graphs and what depends on the weights alone.
func (l *Live) prepare() error {
	m := l.r.p.Model
	for _, g := range []struct {
		exec **model.Exec
		fn   func(s *model.Scope, in []*graph.Node) []*graph.Node
		want bool
	}{
		{&l.past, m.Past, true},
		{&l.grow, m.Grow, true},
		{&l.ask, m.Ask, true},
		{&l.branch, func(s *model.Scope, in []*graph.Node) []*graph.Node { return []*graph.Node{m.Branch(s, in)} }, m.Tables.Hier},
	} {
		if !g.want {
			continue
		}
		e, err := model.NewExec(l.r.p.Backend, l.r.p.Store, g.fn)
		if err != nil {
			return err
		}
		e.SetMaxCache(-1)
		*g.exec = e
	}
	if !m.SharesPlaces() {
		return nil
	}
	var err error
	l.places, err = l.vectors()
	return err
}

// pastBytes is the memory of one past.
func (l *Live) pastBytes() int64 {
	bytes := int64(4 * l.r.p.Model.PastSize())
	for _, n := range l.r.p.Model.Config.Decoder.CacheShape(l.r.p.Model.Kept(l.r.p.Batch.Window)) {
		bytes *= int64(n)
	}
	return bytes
}

// Warm compiles every graph that a request may need, so that no request waits for a
// compiler.
func (l *Live) Warm(ctx context.Context) error {
	needs := []int{1}
	if l.r.p.Stats != nil {
		needs = batch.Buckets(l.r.p.Evidence)
	}
	for _, size := range l.sizes {
		for _, need := range needs {
			if err := ctx.Err(); err != nil {
				return err
			}
			jobs := make([]*job, size)
			for i := range jobs {
				jobs[i] = l.job(ctx, &poi.Query{User: -1, TimeMS: time.Now().UnixMilli()}, &Want{K: 1})
				jobs[i].need = need
			}
			if err := l.runNow(jobs); err != nil {
				return fmt.Errorf("warm %s up for %d requests at once: %w", l.r.p.Name, size, err)
			}
		}
	}
	return l.warmPasts(ctx)
}

// Answer is what a network says of one request.
type Answer struct {
	Places []poi.Ranked // what was wanted, likeliest first
	Gate   float64      // probability of returning to the past rather than generating
	a      *answer
}

// Prob returns the probability of any place, and whether the network gave one: a beam
// reaches some places only.
func (a *Answer) Prob(p int32) (float64, bool) { return a.a.prob(p) }

// Recommend returns the places that w wants, likeliest first. With enough places
// there it returns K.
func (l *Live) Recommend(ctx context.Context, q poi.Query, w Want) (*Answer, error) {
	if w.K < 1 || w.K > MaxK {
		return nil, fmt.Errorf("recommend: k is %d, want 1 to %d: %w", w.K, MaxK, poi.ErrBadInput)
	}
	if err := check(&q, len(l.r.p.Dataset.Users), len(l.r.p.Dataset.Places)); err != nil {
		return nil, err
	}
	j := l.job(ctx, &q, &w)
	if err := l.submit(ctx, j); err != nil {
		return nil, err
	}
	start := time.Now()
	out := &Answer{Places: l.r.choose(&q, &j.answer, &w), Gate: j.answer.gate, a: &j.answer}
	l.c.Observe(StageChoose, time.Since(start))
	return out, nil
}

// job is a request on its way through the queue.
type job struct {
	ctx    context.Context
	q      *poi.Query
	want   *Want
	row    batch.Row
	trail  []key
	past   *kept // held; nil: not there yet
	need   int   // candidates
	answer answer
	queued time.Time
	done   chan error
}

// job prepares what needs no engine.
func (l *Live) job(ctx context.Context, q *poi.Query, w *Want) *job {
	start := time.Now()
	j := &job{ctx: ctx, q: q, want: w, need: 1, done: make(chan error, 1), row: l.r.rowFrom(q, l.c.Align)}
	if l.r.p.Stats != nil {
		b := l.r.builders.Get().(*evidence.Builder)
		b.Compute(q, &j.answer.set)
		l.r.builders.Put(b)
		j.need = max(1, len(j.answer.set.POIs))
	}
	j.trail = l.keys.trail(&j.row)
	l.c.Observe(StageEvidence, time.Since(start))
	return j
}

// key is that of the past the job needs.
func (j *job) key() key { return j.trail[len(j.trail)-1] }

// runNow answers jobs, at most a batch, without the workers.
func (l *Live) runNow(jobs []*job) error {
	defer func() {
		for _, j := range jobs {
			l.memory.release(j.past)
			j.past = nil
		}
	}()
	l.making.Lock()
	err := l.remember(jobs)
	l.making.Unlock()
	if err != nil {
		return err
	}
	return l.decode(jobs)
}

// Stats of a Live.
type Stats struct {
	Pasts     int   // kept
	Bytes     int64 // of them
	Hits      int64 // requests whose past was kept
	Grown     int64 // requests whose past was kept but for the last actions
	Misses    int64 // requests whose past was made from nothing
	Evictions int64
	Invalid   int64 // answers of the beam that named no place: none, or index and weights do not belong together
	Batches   int64 // runs of the engine
	Requests  int64 // in them
	Waiting   int   // now
}

// Stats returns counts since the start.
func (l *Live) Stats() Stats {
	s := l.memory.stats()
	s.Waiting = len(l.lacking) + len(l.ready)
	return s
}

// Close waits for the requests that are running, refuses those that wait and frees
// the engine's memory.
func (l *Live) Close() error {
	l.closing.Do(func() {
		close(l.quit)
		l.stopped.Wait()
		for _, line := range []chan *job{l.lacking, l.ready} {
			for len(line) > 0 {
				l.answer(<-line, ErrClosed)
			}
		}
		l.memory.clear()
		for _, e := range []*model.Exec{l.past, l.grow, l.ask, l.branch} {
			if e != nil {
				e.Finalize()
			}
		}
		if l.places != nil {
			l.places.MustFinalizeAll()
		}
	})
	return nil
}

// tensorsOf copies a batch into inputs of a graph.
func tensorsOf(b *batch.Batch) []any {
	args := make([]any, batch.NumInputs)
	for i, a := range b.Arrays {
		args[i] = spacetime.Tensor(a)
	}
	return args
}

// Vectors returns E(place) of all places by dense id, [places, dim], row after row: what
// the network knows a place by.
func (l *Live) Vectors() (data []float32, dim int, err error) {
	dim = l.r.p.Model.Config.Decoder.Dim
	if l.places != nil {
		return tensors.MustCopyFlatData[float32](l.places)[dim:], dim, nil
	}
	t, err := l.vectors()
	if err != nil {
		return nil, 0, err
	}
	data, _ = spacetime.Floats(t)
	return data[dim:], dim, nil
}

// vectors runs the graph of all places, padding first.
func (l *Live) vectors() (*tensors.Tensor, error) {
	e, err := model.NewExec(l.r.p.Backend, l.r.p.Store, func(s *model.Scope, in []*graph.Node) []*graph.Node {
		return []*graph.Node{l.r.p.Model.Places(s, in)}
	})
	if err != nil {
		return nil, err
	}
	defer e.Finalize()
	out, err := e.Call(float32(0))
	if err != nil {
		return nil, fmt.Errorf("vectors of the places of %s: %w", l.r.p.Name, err)
	}
	return out[0], nil
}
