package recommend_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
)

// TestGrowthInOneBatch: pasts that grow together in too little memory do not push each
// other out while they are in use.
func TestGrowthInOneBatch(t *testing.T) {
	g := build(t, true, nil)
	l := g.live(t, g.p, func(c *recommend.LiveConfig) { c.PastBytes, c.Batch = 1, 4 })
	queries := g.queries()[:4]
	for i := range queries {
		queries[i] = g.query(i)
		queries[i].User = int32(i)
		queries[i].History = queries[i].History[:3]
		if _, err := l.Recommend(ctx, queries[i], recommend.Want{K: 24}); err != nil {
			t.Fatal(err)
		}
	}
	var longer []poi.Query
	for i, q := range queries {
		q.History = g.query(i).History[:6]
		longer = append(longer, q)
	}
	for i, got := range l.Together(ctx, longer, 24) {
		want, err := g.p.Recommend(ctx, longer[i], 24)
		if err != nil {
			t.Fatal(err)
		}
		sameAnswers(t, fmt.Sprintf("query %d", i), got, want)
	}
	if s := l.Stats(); s.Grown != 4 || s.Pasts > 8 {
		t.Errorf("four pasts grown at once: %+v", s)
	}
}

// TestTheKnownDoNotWait: while pasts of others are being made, who has one is answered;
// those others are once theirs is made.
func TestTheKnownDoNotWait(t *testing.T) {
	g := build(t, true, nil)
	l := g.live(t, g.p, nil)
	known, unknown := g.query(0), g.query(1)
	if _, err := l.Recommend(ctx, known, recommend.Want{K: 3}); err != nil {
		t.Fatal(err)
	}
	release := l.HoldPasts()
	late := make(chan error, 1)
	go func() {
		_, err := l.Recommend(ctx, unknown, recommend.Want{K: 3})
		late <- err
	}()
	if _, err := l.Recommend(ctx, known, recommend.Want{K: 3}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-late:
		t.Errorf("the unknown was answered without a past: %v", err)
	default:
	}
	release()
	if err := <-late; err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Hits != 1 || s.Misses != 2 {
		t.Errorf("%+v, want 1 hit and 2 misses", s)
	}
}

// TestSupersededPasts: of a user the two newest pasts are kept, of strangers all.
func TestSupersededPasts(t *testing.T) {
	g := build(t, true, nil)
	l := g.live(t, g.p, nil)
	for i, user := range []int32{0, -1} {
		q := g.query(0)
		q.User = user
		whole := q.History
		for _, n := range []int{1, 2, 3, 4, 5, 4, 5, 7, 6, 7} {
			q.History = whole[:n]
			if _, err := l.Recommend(ctx, q, recommend.Want{K: 3}); err != nil {
				t.Fatal(err)
			}
		}
		want := []recommend.Stats{{Pasts: 2, Hits: 3, Grown: 6, Misses: 1}, {Pasts: 2 + 7, Hits: 6, Grown: 12, Misses: 2}}[i]
		s := l.Stats()
		if s.Pasts != want.Pasts || s.Hits != want.Hits || s.Grown != want.Grown || s.Misses != want.Misses || s.Evictions != 0 {
			t.Errorf("user %d: %+v, want %+v", user, s, want)
		}
	}
}

// TestPastsMadeTogether puts pasts that are kept, that lack one to four actions, that
// are made from nothing and that two people share into the same batches.
func TestPastsMadeTogether(t *testing.T) {
	modes(t, nil, func(t *testing.T, g *rig) {
		for _, bytes := range []int64{1, 1 << 20} {
			l := g.live(t, g.p, func(c *recommend.LiveConfig) { c.PastBytes, c.Batch = bytes, 6 })
			draw := rand.New(rand.NewPCG(7, uint64(bytes)))
			have := make([]int, len(g.queries()))
			for round := range 12 {
				queries := make([]poi.Query, 1+draw.IntN(6))
				for n := range queries {
					i := draw.IntN(len(have))
					have[i] = min(7, have[i]+draw.IntN(3))
					queries[n] = g.query(i)
					queries[n].History = queries[n].History[:have[i]]
				}
				for n, got := range l.Together(ctx, queries, 24) {
					want, err := g.p.Recommend(ctx, queries[n], 24)
					if err != nil {
						t.Fatal(err)
					}
					sameAnswers(t, fmt.Sprintf("room for %d bytes, round %d, query %d", bytes, round, n), got, want)
				}
			}
			if s := l.Stats(); s.Hits == 0 || s.Grown == 0 || s.Misses == 0 || s.Bytes > max(bytes, s.Bytes/int64(s.Pasts)*12) {
				t.Errorf("room for %d bytes: %+v", bytes, s)
			}
		}
	})
}
