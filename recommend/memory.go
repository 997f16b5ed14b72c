package recommend

import (
	"container/list"
	"hash/maphash"
	"sync"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/whereto/whereto/batch"
	"github.com/whereto/whereto/poi"
)

// key names a past by what it was made of, so that nothing need ever be declared out
// of date: another action, another window or another user is another key. The seeds
// are drawn at the start, lest somebody choose a history that collides.
type key [2]uint64

// keys makes keys.
type keys [2]maphash.Seed

func newKeys() keys { return keys{maphash.MakeSeed(), maphash.MakeSeed()} }

// trail returns the keys of a window's pasts of 0, 1, 2 ... actions, the open request
// left out.
func (k keys) trail(r *batch.Row) []key {
	type start struct {
		user     int32
		followed bool
		before   poi.Visit // where the user stood at the first action
	}
	first := start{user: r.User}
	if r.From > 0 {
		first.followed, first.before = true, r.Sequence[r.From-1]
	}
	visits := r.Sequence[r.From : len(r.Sequence)-1]
	out := make([]key, len(visits)+1)
	for i, seed := range k {
		out[0][i] = maphash.Comparable(seed, first)
		for n := range visits {
			out[n+1][i] = maphash.Comparable(seed, struct {
				before uint64
				visit  poi.Visit
			}{out[n][i], visits[n]})
		}
	}
	return out
}

// memory keeps pasts up to a number of bytes, the least recently used go first. Who gets
// or puts holds the engine's lock; counts may be read by anyone.
type memory struct {
	limit int64
	order *list.List // of *kept, most recent first
	by    map[key]*list.Element

	mu     sync.Mutex // guards counts
	counts Stats
}

type kept struct {
	key   key
	past  []*tensors.Tensor
	bytes int64
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, order: list.New(), by: map[key]*list.Element{}}
}

// get returns a past, nil if it is not kept.
func (m *memory) get(k key) []*tensors.Tensor {
	e, ok := m.by[k]
	if !ok {
		return nil
	}
	m.order.MoveToFront(e)
	return e.Value.(*kept).past
}

// put keeps a past and drops what is over the limit.
func (m *memory) put(k key, past []*tensors.Tensor, bytes int64) {
	if e, ok := m.by[k]; ok {
		m.drop(e)
	}
	m.by[k] = m.order.PushFront(&kept{k, past, bytes})
	m.mu.Lock()
	m.counts.Pasts, m.counts.Bytes = len(m.by), m.counts.Bytes+bytes
	over := m.counts.Bytes > m.limit
	m.mu.Unlock()
	for over {
		m.drop(m.order.Back())
		m.mu.Lock()
		m.counts.Evictions++
		over = m.counts.Bytes > m.limit
		m.mu.Unlock()
	}
}

func (m *memory) drop(e *list.Element) {
	x := m.order.Remove(e).(*kept)
	delete(m.by, x.key)
	freeAll(x.past)
	m.mu.Lock()
	m.counts.Pasts, m.counts.Bytes = len(m.by), m.counts.Bytes-x.bytes
	m.mu.Unlock()
}

func (m *memory) clear() {
	for m.order.Len() > 0 {
		m.drop(m.order.Back())
	}
}

func (m *memory) count(change func(s *Stats)) {
	m.mu.Lock()
	change(&m.counts)
	m.mu.Unlock()
}

func (m *memory) hit()  { m.count(func(s *Stats) { s.Hits++ }) }
func (m *memory) grew() { m.count(func(s *Stats) { s.Grown++ }) }
func (m *memory) miss() { m.count(func(s *Stats) { s.Misses++ }) }

func (m *memory) invalid(n int) { m.count(func(s *Stats) { s.Invalid += int64(n) }) }

func (m *memory) ran(requests int) {
	m.count(func(s *Stats) { s.Batches++; s.Requests += int64(requests) })
}

func (m *memory) stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts
}
