package telemetry

import (
	"hash/maphash"
	"time"
)

// Bounds of what is remembered of answers.
const (
	memoryUsers = 50_000
	memoryAge   = 24 * time.Hour
	memoryRanks = 10 // the largest k of hitRanks
)

// memory keeps the first places of the latest answer to each of a bounded number of
// users. It holds hashes under a seed of this process, no ids: two in 2^64 may be
// taken for one another, and what is in memory names nobody.
type memory struct {
	seed  maphash.Seed
	now   func() time.Time
	slots []remembered
	next  int // slot that the next new user takes, the oldest once all are in use
	where map[uint64]int32
}

// remembered is one answer; the zero value is a free slot.
type remembered struct {
	user  uint64
	given time.Time // by the clock of the machine
	asked time.Time // the moment asked about
	top   int64     // probability of the first place, in millionths
	n     int
	pois  [memoryRanks]uint64
}

func newMemory(now func() time.Time) memory {
	return memory{seed: maphash.MakeSeed(), now: now, where: map[uint64]int32{}}
}

func (m *memory) remember(user string, asked time.Time, pois []string, top int64) {
	u := maphash.String(m.seed, user)
	slot, known := m.where[u]
	if !known {
		slot = m.take()
		m.where[u] = slot
	}
	r := &m.slots[slot]
	*r = remembered{user: u, given: m.now(), asked: asked, top: top, n: min(len(pois), memoryRanks)}
	for i := range r.n {
		r.pois[i] = maphash.String(m.seed, pois[i])
	}
}

// take returns a slot for a new user: one more, or that of the user whose first
// answer is longest ago.
func (m *memory) take() int32 {
	if len(m.slots) < memoryUsers {
		m.slots = append(m.slots, remembered{})
		return int32(len(m.slots) - 1)
	}
	slot := int32(m.next)
	m.next = (m.next + 1) % len(m.slots)
	if old := m.slots[slot].user; m.where[old] == slot {
		delete(m.where, old)
	}
	return slot
}

// follow returns the rank, from 1, of a place in the latest answer to a user, 0 if it
// is not among the first ten, and the probability of the first place. Follows is false
// where no answer waits for this action. An answer waits for one action only.
func (m *memory) follow(user, poi string, at time.Time) (rank int, top int64, follows bool) {
	u := maphash.String(m.seed, user)
	slot, known := m.where[u]
	if !known {
		return 0, 0, false
	}
	r := &m.slots[slot]
	if m.now().Sub(r.given) > memoryAge {
		m.free(u, slot)
		return 0, 0, false
	}
	if since := at.Sub(r.asked); since < 0 || since > memoryAge {
		return 0, 0, false
	}
	p := maphash.String(m.seed, poi)
	for i := range r.n {
		if r.pois[i] == p {
			rank = i + 1
			break
		}
	}
	top = r.top
	m.free(u, slot)
	return rank, top, true
}

func (m *memory) forget(user string) {
	u := maphash.String(m.seed, user)
	if slot, known := m.where[u]; known {
		m.free(u, slot)
	}
}

// free drops an answer. Its slot is used again when its turn comes.
func (m *memory) free(u uint64, slot int32) {
	delete(m.where, u)
	m.slots[slot] = remembered{}
}
