package recommend

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"
)

// TestMemoryLaws: whatever is kept, held and dropped in whatever order, a past lives as
// long as it is kept or held and no longer, and what is kept stays within the limit.
func TestMemoryLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 60).Draw(t, "limit")
		m := newMemory(limit)
		var all, held []*kept
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := key{rapid.Uint64Range(1, 8).Draw(t, "key")}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				x := m.put(k, rapid.Int32Range(-1, 2).Draw(t, "user"), past{tensors.FromScalar(float32(1))}, rapid.Int64Range(1, 20).Draw(t, "bytes"))
				all, held = append(all, x), append(held, x)
			case 1:
				if x := m.get(k); x != nil {
					held = append(held, x)
				}
			case 2:
				if len(held) > 0 {
					held = append(held, m.share(held[0]))
				}
			case 3:
				if len(held) > 0 {
					i := rapid.IntRange(0, len(held)-1).Draw(t, "released")
					m.release(held[i])
					held = slices.Delete(held, i, i+1)
				}
			}
			m.check(t, all, held)
		}
		m.clear()
		for _, x := range held {
			m.release(x)
		}
		m.check(t, all, nil)
		if s := m.stats(); s.Pasts != 0 || s.Bytes != 0 || len(m.newest) != 0 {
			t.Fatalf("an empty memory counts %+v and knows %d users", s, len(m.newest))
		}
	})
}

func (m *memory) check(t *rapid.T, all, held []*kept) {
	var bytes int64
	users := map[int32]int{}
	for _, x := range all {
		e, ok := m.by[x.key]
		inside := ok && e.Value.(*kept) == x
		if inside {
			bytes += x.bytes
			users[x.user]++
		}
		if alive := x.past[0].Ok(); alive != (inside || slices.Contains(held, x)) {
			t.Fatalf("past %v: alive %v, kept %v, held %v", x.key, alive, inside, slices.Contains(held, x))
		}
	}
	if bytes != m.counts.Bytes || bytes > m.limit || len(m.by) != m.order.Len() {
		t.Fatalf("%d bytes are kept of at most %d, %d are counted; %d pasts by name, %d in order", bytes, m.limit, m.counts.Bytes, len(m.by), m.order.Len())
	}
	for user, n := range users {
		if user >= 0 && n > 2 {
			t.Fatalf("%d pasts of user %d are kept", n, user)
		}
	}
}
