package recommend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/beam"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/spacetime"
)

// ErrBusy is returned when too many requests wait.
var ErrBusy = errors.New("too many requests are waiting")

// submit queues a job and waits until it has run: for the network if its past is kept,
// otherwise for the past first, so that who is known does not wait for who is not.
func (l *Live) submit(ctx context.Context, j *job) error {
	j.queued = time.Now()
	select {
	case <-l.quit:
		return ErrClosed
	default:
	}
	line := l.lacking
	if j.past = l.memory.get(j.key()); j.past != nil {
		l.memory.hit()
		line = l.ready
	}
	select {
	case line <- j:
	default:
		l.memory.release(j.past)
		return fmt.Errorf("%d requests wait for %s: %w; ask again in a moment", cap(line), l.r.p.Name, ErrBusy)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.quit:
		// The workers may be at it still: their answer counts if it comes.
		l.stopped.Wait()
		select {
		case err := <-j.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// work runs what waits in a line until Close.
func (l *Live) work(line chan *job, serve func([]*job)) {
	for {
		select {
		case <-l.quit:
			return
		case j := <-line:
			if jobs := l.gather(line, j); len(jobs) > 0 {
				serve(jobs)
			}
		}
	}
}

// gather takes what waits beside a job, at most a batch. Whoever has given up is
// answered at once and not run.
func (l *Live) gather(line chan *job, j *job) []*job {
	var jobs []*job
	for {
		if err := j.ctx.Err(); err != nil {
			l.answer(j, err)
		} else if jobs = append(jobs, j); len(jobs) == l.c.Batch {
			return jobs
		}
		select {
		case j = <-line:
		default:
			return jobs
		}
	}
}

// answer ends a job.
func (l *Live) answer(j *job, err error) {
	l.memory.release(j.past)
	j.past = nil
	j.done <- err
}

// supply gives jobs their pasts and passes them on.
func (l *Live) supply(jobs []*job) {
	for _, j := range jobs {
		l.c.Observe(StageQueue, time.Since(j.queued))
	}
	l.making.Lock()
	start := time.Now()
	err := l.remember(jobs)
	l.c.Observe(StagePrefill, time.Since(start))
	l.making.Unlock()
	for _, j := range jobs {
		if err != nil {
			l.answer(j, fmt.Errorf("run %s on the pasts of %d requests: %w", l.r.p.Name, len(jobs), err))
			continue
		}
		j.queued = time.Now()
		select {
		case l.ready <- j:
		case <-l.quit:
			l.answer(j, ErrClosed)
		}
	}
}

// serve runs jobs that have their pasts together and answers them.
func (l *Live) serve(jobs []*job) {
	for _, j := range jobs {
		l.c.Observe(StageQueue, time.Since(j.queued))
	}
	err := l.decode(jobs)
	if err != nil {
		err = fmt.Errorf("run %s on %d requests: %w", l.r.p.Name, len(jobs), err)
	}
	l.memory.ran(len(jobs))
	l.c.Ran(len(jobs))
	for _, j := range jobs {
		l.answer(j, err)
	}
}

// decode runs the network on jobs that have their pasts, at most a batch of them.
func (l *Live) decode(jobs []*job) error {
	l.decoding.Lock()
	defer l.decoding.Unlock()
	start := time.Now()
	size := l.holds(len(jobs))
	pasts := make([]past, size)
	for i := range pasts {
		pasts[i] = jobs[min(i, len(jobs)-1)].past.past
	}
	encoded := l.encode(jobs, size)
	args := tensorsOf(encoded)
	defer func() { spacetime.Free(args) }()
	out, err := l.ask.Call(withPasts(l.withPlaces(args), pasts)...)
	if err != nil {
		return err
	}
	first, width := spacetime.Floats(out[0])
	copied, c := spacetime.Floats(out[1])
	gates, _ := spacetime.Floats(out[2])
	for i, j := range jobs {
		l.r.take(&j.answer, first[i*width:(i+1)*width], copied[i*c:(i+1)*c], gates[i])
	}
	l.c.Observe(StageDecode, time.Since(start))
	if l.branch == nil {
		return nil
	}
	defer freeAll(out[3:])
	start = time.Now()
	err = l.search(jobs, args, pasts, out[3:], first, width)
	l.c.Observe(StageSearch, time.Since(start))
	return err
}

// holds is the smallest batch that holds n requests.
func (l *Live) holds(n int) int {
	at, _ := slices.BinarySearch(l.sizes, n)
	return l.sizes[min(at, len(l.sizes)-1)]
}

// withPlaces adds the vectors of all places, if the network shares them.
func (l *Live) withPlaces(args []any) []any {
	if l.places == nil {
		return args
	}
	return append(args[:len(args):len(args)], l.places)
}

// withPasts adds the tensors of pasts, window by window.
func withPasts(args []any, pasts []past) []any {
	out := args[:len(args):len(args)]
	for _, past := range pasts {
		for _, t := range past {
			out = append(out, t)
		}
	}
	return out
}

func freeAll(list []*tensors.Tensor) {
	for _, t := range list {
		t.MustFinalizeAll()
	}
}

// encode fills the arrays of a batch of requests.
func (l *Live) encode(jobs []*job, size int) *batch.Batch {
	rows, need := make([]batch.Row, len(jobs)), 1
	of := make(map[*batch.Row]*evidence.Set, len(jobs))
	for i, j := range jobs {
		rows[i] = j.row
		of[&rows[i]] = &j.answer.set
		need = max(need, j.need)
	}
	shape := batch.Shape{B: size, N: l.r.p.Batch.Window, M: 1, C: 1}
	var sets func(*batch.Row, int) *evidence.Set
	if l.r.p.Stats != nil {
		shape.C = l.r.bucket(need)
		sets = func(row *batch.Row, _ int) *evidence.Set { return of[row] }
	}
	return l.r.p.Encoder.Encode(rows, shape, always, sets)
}

func always(*batch.Row, int) float64 { return 1 }

// search walks the beams of jobs until each has found as many places as it wants, or
// all there are.
func (l *Live) search(jobs []*job, args []any, pasts []past, kept []*tensors.Tensor, first []float32, width int) error {
	beams := make([]walk, len(jobs))
	for i, j := range jobs {
		beams[i] = walk{trie: l.r.trieOf(j.want), first: first[i*width+1 : (i+1)*width]}
	}
	wide, size := l.r.p.Config.Beam.Blocks, len(pasts)
	for more := true; more; {
		blocks := make([]int32, size*wide)
		for i := range beams {
			for k, b := range beams[i].next(wide) {
				blocks[i*wide+k] = b + 1
			}
		}
		tree := tensors.FromFlatDataAndDimensions(blocks, size, wide)
		in := withPasts(append(args[:len(args):len(args)], tree), pasts)
		for _, t := range kept {
			in = append(in, t)
		}
		out, err := l.branch.Call(in...)
		tree.MustFinalizeAll()
		if err != nil {
			return err
		}
		inner, tokens := spacetime.Floats(out[0])
		more = false
		for i, j := range jobs {
			beams[i].found(inner[i*wide*tokens:(i+1)*wide*tokens], tokens)
			more = l.harvest(j, &beams[i]) || more
		}
	}
	return nil
}

// walk is a beam on its way through a trie.
type walk struct {
	trie    beam.Trie
	first   []float32 // by block
	order   []int32   // blocks, likeliest first
	visited int
	fresh   int // of the wave under way
	inners  [][]float32
}

// next returns the blocks of the next wave, which may be none.
func (w *walk) next(wide int) []int32 {
	if w.order == nil {
		w.order = beam.Blocks(w.first, w.trie, len(w.trie.Blocks()))
	}
	w.fresh = min(wide, len(w.order)-w.visited)
	return w.order[w.visited : w.visited+w.fresh]
}

// found takes what the network says of the inner tokens of the wave.
func (w *walk) found(inner []float32, tokens int) {
	for k := range w.fresh {
		w.inners = append(w.inners, inner[k*tokens+1:(k+1)*tokens])
	}
	w.visited, w.fresh = w.visited+w.fresh, 0
}

// harvest gives a job what its beam has found and reports whether it needs more: the
// paper's beam keeps ten inner tokens of each block, but n answers come when n are
// there.
func (l *Live) harvest(j *job, w *walk) (more bool) {
	if w.visited == 0 { // nothing may be returned at all
		j.answer.place = map[int32]float64{}
		return false
	}
	for perBlock := l.r.p.Config.Beam.Inners; ; perBlock = 1 << 30 {
		var invalid int
		j.answer.place, invalid = l.r.places(beam.Join(w.first, w.order[:w.visited], w.inners, w.trie, perBlock))
		l.memory.invalid(invalid)
		if l.enough(j) || perBlock == 1<<30 {
			return false
		}
		if w.visited < len(w.order) {
			return true
		}
	}
}

// enough reports whether a job has as many answers as it wants.
func (l *Live) enough(j *job) bool {
	n := 0
	for p := range j.answer.place {
		if l.r.allows(j.want, p) {
			n++
		}
	}
	if n >= j.want.K {
		return true
	}
	for i, p := range j.answer.set.POIs {
		if _, twice := j.answer.place[p]; !twice && i < len(j.answer.copy) && l.r.allows(j.want, p) {
			n++
		}
	}
	return n >= j.want.K
}
