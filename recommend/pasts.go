package recommend

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/evidence"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/spacetime"
)

// past is what a window's actions left in the decoder; see spacetime.Model.Past.
type past = []*tensors.Tensor

// maxGrowth is how many actions are added to a kept past one by one; for more it is
// made from nothing.
const maxGrowth = 4

// maxScores bounds the attention scores of a layer when pasts are made together: 64 MB.
// A network with more in one past gains nothing from company, which only has to wait.
const maxScores = 1 << 24

// freshAtOnce is how many pasts are made from nothing together at most.
func (l *Live) freshAtOnce() int {
	tokens := l.r.p.Model.Kept(l.r.p.Batch.Window)
	fit := maxScores / (l.r.p.Model.Config.Decoder.Heads * tokens * tokens)
	at, _ := slices.BinarySearch(l.sizes, fit+1)
	return l.sizes[max(0, at-1)]
}

// making is a past on its way to the end of a job's window.
type making struct {
	j    *job
	have int   // actions in it so far
	from *kept // what it grows from, held; nil once it has grown, or made from nothing
	past past  // ours alone; nil: nothing yet
}

func (m *making) want() int { return len(m.j.trail) - 1 }

// soFar is the past as far as it goes.
func (m *making) soFar() past {
	if m.from != nil {
		return m.from.past
	}
	return m.past
}

// remember gives each job its past, held, from memory where it is kept. Those that are
// not are made together: small networks cost an engine little more for eight than for
// one. After an error some jobs may have theirs.
func (l *Live) remember(jobs []*job) error {
	var fresh, grow []*making
	var same []*job
	first := make(map[key]*job, len(jobs))
	for _, j := range jobs {
		k := j.key()
		if j.past = l.memory.get(k); j.past != nil || first[k] != nil {
			l.memory.hit()
			same = append(same, j)
			continue
		}
		first[k] = j
		if m := l.begun(j); m.from != nil {
			l.memory.grew()
			grow = append(grow, m)
		} else {
			l.memory.miss()
			fresh = append(fresh, m)
		}
	}
	err := l.make(fresh)
	for err == nil && len(grow) > 0 {
		err = l.step(grow)
		grow = slices.DeleteFunc(grow, func(m *making) bool { return m.j.past != nil })
	}
	for _, m := range grow {
		l.free(m)
	}
	if err != nil {
		return err
	}
	for _, j := range same {
		if j.past == nil {
			j.past = l.memory.share(first[j.key()].past)
		}
	}
	return nil
}

// begun starts from the longest kept past that a job's can be grown from, if there is
// one.
func (l *Live) begun(j *job) *making {
	n := len(j.trail) - 1
	for back := 1; back <= min(maxGrowth, n); back++ {
		if x := l.memory.get(j.trail[n-back]); x != nil {
			return &making{j: j, have: n - back, from: x}
		}
	}
	return &making{j: j}
}

// make makes pasts from nothing and keeps them.
func (l *Live) make(list []*making) error {
	return l.together(list, l.freshAtOnce(), func(some []*making) error {
		rows := make([]batch.Row, len(some))
		for i, m := range some {
			rows[i] = m.j.history(m.want())
		}
		made, err := l.call(l.past, rows, nil)
		if err != nil {
			return err
		}
		for i, m := range some {
			m.past, m.have = made[i], m.want()
			l.keep(m)
		}
		return nil
	})
}

// step adds an action to each past and keeps those that are whole then.
func (l *Live) step(list []*making) error {
	return l.together(list, l.c.Batch, func(some []*making) error {
		rows, old := make([]batch.Row, len(some)), make([]past, len(some))
		for i, m := range some {
			rows[i], old[i] = m.j.history(m.have+1), m.soFar()
			rows[i].Requests = []int{len(rows[i].Sequence) - 1}
		}
		longer, err := l.call(l.grow, rows, old)
		if err != nil {
			return err
		}
		for i, m := range some {
			l.free(m)
			if m.past, m.have = longer[i], m.have+1; m.have == m.want() {
				l.keep(m)
			}
		}
		return nil
	})
}

// free lets go of what a past was made of so far.
func (l *Live) free(m *making) {
	l.memory.release(m.from)
	freeAll(m.past)
	m.from, m.past = nil, nil
}

// keep hands a whole past over to the memory and to its job.
func (l *Live) keep(m *making) {
	m.j.past = l.memory.put(m.j.key(), m.j.row.User, m.past, l.pastBytes())
	m.past = nil
}

// together runs a list in parts that fill the batches there are graphs for, up to most:
// the next larger batch if at most a quarter of it stays empty, the next smaller
// otherwise.
func (l *Live) together(list []*making, most int, run func([]*making) error) error {
	for len(list) > 0 {
		n := min(len(list), most)
		if size := l.holds(n); size < n || 4*n < 3*size {
			at, _ := slices.BinarySearch(l.sizes, n+1)
			n = l.sizes[at-1]
		}
		if err := run(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// call runs a graph that makes pasts, one for each row, from the given ones if any.
func (l *Live) call(e *model.Exec, rows []batch.Row, from []past) ([]past, error) {
	size := l.holds(len(rows))
	shape := batch.Shape{B: size, N: l.r.p.Batch.Window, M: 1, C: 1}
	args := tensorsOf(l.r.p.Encoder.Encode(rows, shape, always, func(*batch.Row, int) *evidence.Set { return &evidence.Set{} }))
	defer spacetime.Free(args)
	for from != nil && len(from) < size {
		from = append(from, from[0])
	}
	out, err := e.Call(withPasts(l.withPlaces(args), from)...)
	if err != nil {
		return nil, err
	}
	made, each := make([]past, len(rows)), len(out)/size
	for i := range made {
		made[i] = slices.Clone(out[i*each : (i+1)*each])
	}
	freeAll(out[len(rows)*each:])
	return made, nil
}

// history is the window of a job up to its n-th action.
func (j *job) history(n int) batch.Row {
	return batch.Row{User: j.row.User, Sequence: j.row.Sequence[:j.row.From+n], From: j.row.From}
}

// warmPasts compiles the graphs that make and lengthen pasts.
func (l *Live) warmPasts(ctx context.Context) error {
	if len(l.r.p.Dataset.Places) == 0 {
		return nil
	}
	l.making.Lock()
	defer l.making.Unlock()
	for _, size := range l.sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, longer := make([]batch.Row, size), make([]batch.Row, size)
		j := l.job(ctx, &poi.Query{User: -1, History: []poi.Visit{{}}, TimeMS: time.Now().UnixMilli()}, &Want{K: 1})
		for i := range rows {
			rows[i], longer[i] = j.history(0), j.history(1)
			longer[i].Requests = []int{len(longer[i].Sequence) - 1}
		}
		err := l.warmPast(rows, longer)
		if err != nil {
			return fmt.Errorf("warm %s up for %d pasts at once: %w", l.r.p.Name, size, err)
		}
	}
	return nil
}

// warmPast makes pasts, as many at once as may be, and lengthens them.
func (l *Live) warmPast(rows, longer []batch.Row) error {
	most := min(len(rows), l.freshAtOnce())
	pasts, err := l.call(l.past, rows[:most], nil)
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range pasts {
			freeAll(p)
		}
	}()
	from := make([]past, len(longer))
	for i := range from {
		from[i] = pasts[0]
	}
	grown, err := l.call(l.grow, longer, from)
	for _, p := range grown {
		freeAll(p)
	}
	return err
}
