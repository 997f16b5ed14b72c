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

// memory keeps pasts up to a number of bytes, the least recently used go first. Of a
// known user the two newest stay, lest every action leave a past that nobody will ask
// for again. Who gets or puts holds the engine's lock; counts may be read by anyone.
type memory struct {
	limit  int64
	order  *list.List // of *kept, most recent first
	by     map[key]*list.Element
	newest map[int32][2]key // of users; the later first
	stale  []key            // dropped by sweep, once nobody uses them

	mu     sync.Mutex // guards counts
	counts Stats
}

type kept struct {
	key   key
	user  int32 // -1 for a stranger
	past  []*tensors.Tensor
	bytes int64
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, order: list.New(), by: map[key]*list.Element{}, newest: map[int32][2]key{}}
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

// put keeps a user's past and drops what is over the limit.
func (m *memory) put(k key, user int32, past []*tensors.Tensor, bytes int64) {
	if e, ok := m.by[k]; ok {
		m.drop(e)
	}
	m.by[k] = m.order.PushFront(&kept{k, user, past, bytes})
	if user >= 0 {
		two := m.newest[user]
		m.stale = append(m.stale, two[1])
		m.newest[user] = [2]key{k, two[0]}
	}
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

// sweep drops the pasts that newer ones of their users have taken the place of.
func (m *memory) sweep() {
	for _, k := range m.stale {
		if e, ok := m.by[k]; ok {
			m.drop(e)
		}
	}
	m.stale = m.stale[:0]
}

func (m *memory) drop(e *list.Element) {
	x := m.order.Remove(e).(*kept)
	delete(m.by, x.key)
	if two, ok := m.newest[x.user]; ok {
		if two[0] == x.key {
			two[0] = two[1]
		}
		if two[1] == x.key || two[0] == two[1] {
			two[1] = key{}
		}
		if m.newest[x.user] = two; two[0] == (key{}) {
			delete(m.newest, x.user)
		}
	}
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
