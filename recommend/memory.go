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
// for again. What is dropped while somebody holds it is freed by its last holder. It is
// safe for concurrent use.
type memory struct {
	limit int64

	mu     sync.Mutex
	order  *list.List // of *kept, most recent first
	by     map[key]*list.Element
	newest map[int32][2]key // of users; the later first
	counts Stats
}

// kept is a past in memory, or one that was.
type kept struct {
	key     key
	user    int32 // -1 for a stranger
	past    []*tensors.Tensor
	bytes   int64
	holders int
	dropped bool
}

func newMemory(limit int64) *memory {
	return &memory{limit: limit, order: list.New(), by: map[key]*list.Element{}, newest: map[int32][2]key{}}
}

// get returns a past, to be released, or nil if it is not kept.
func (m *memory) get(k key) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.by[k]
	if !ok {
		return nil
	}
	m.order.MoveToFront(e)
	return e.Value.(*kept).hold()
}

// share returns a past that is held once more.
func (m *memory) share(x *kept) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	return x.hold()
}

func (x *kept) hold() *kept {
	x.holders++
	return x
}

// release gives back what get, share or put returned; nil is nothing.
func (m *memory) release(x *kept) {
	if x == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x.holders--; x.holders == 0 && x.dropped {
		freeAll(x.past)
	}
}

// put keeps a user's past, drops what it supersedes and what is over the limit, and
// returns it, to be released.
func (m *memory) put(k key, user int32, past []*tensors.Tensor, bytes int64) *kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.by[k]; ok {
		m.drop(e)
	}
	x := &kept{key: k, user: user, past: past, bytes: bytes, holders: 1}
	m.by[k] = m.order.PushFront(x)
	m.counts.Bytes += bytes
	if user >= 0 {
		two := m.newest[user]
		m.newest[user] = [2]key{k, two[0]}
		if e, ok := m.by[two[1]]; ok {
			m.drop(e)
		}
	}
	for m.counts.Bytes > m.limit && m.order.Len() > 0 {
		m.drop(m.order.Back())
		m.counts.Evictions++
	}
	return x
}

// drop forgets a past and frees it unless it is held. Who calls holds the lock.
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
	m.counts.Bytes -= x.bytes
	if x.dropped = true; x.holders == 0 {
		freeAll(x.past)
	}
}

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.order.Len() > 0 {
		m.drop(m.order.Back())
	}
}

func (m *memory) count(change func(s *Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.counts)
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
	s := m.counts
	s.Pasts = len(m.by)
	return s
}
