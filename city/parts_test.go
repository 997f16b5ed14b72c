package city

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuotaSumsAndLeavesNoCategoryOut(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(len(categories), 100_000).Draw(r, "n")
		sum := 0
		for i, q := range quota(n) {
			if q < 1 {
				r.Fatalf("category %d gets %d places", i, q)
			}
			sum += q
		}
		if sum != n {
			r.Fatalf("%d places dealt, want %d", sum, n)
		}
	})
}

func TestLotteryIsFair(t *testing.T) {
	weights := []float64{1, 0, 3, 6}
	counts := make([]float64, len(weights))
	rng := rand.New(rand.NewPCG(5, 6))
	const draws = 20_000
	for range draws {
		l := newLottery(rng)
		for i, w := range weights {
			l.offer(i, w)
		}
		counts[l.winner]++
	}
	for i, w := range weights {
		if got := counts[i] / draws; math.Abs(got-w/10) > 0.015 {
			t.Errorf("candidate of weight %g of 10 wins %.3f of the draws", w, got)
		}
	}
	if l := newLottery(rng); l.winner != -1 {
		t.Errorf("an empty lottery has winner %d", l.winner)
	}
}

// Opening half an hour later is the same as asking half an hour earlier.
func TestOpenAtShifts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		category := rapid.IntRange(0, len(categories)-1).Draw(r, "category")
		shift := rapid.SampledFrom([]int{-30, 30}).Draw(r, "shift")
		week := rapid.IntRange(0, 7*minutesPerDay-1).Draw(r, "minute of the week")
		at := func(m int) (time.Weekday, int) {
			m = (m + 7*minutesPerDay) % (7 * minutesPerDay)
			return time.Weekday(m / minutesPerDay), m % minutesPerDay
		}
		day, minute := at(week)
		then, before := at(week - shift)
		hours := categories[category].hours
		if openAt(hours, shift, day, minute) != openAt(hours, 0, then, before) {
			r.Fatalf("%s at minute %d of %s: shift %d is not a shift", categories[category].path, minute, day, shift)
		}
	})
}

// What the table of categories must hold for the rest to work.
func TestCategoryTable(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range categories {
		if seen[c.path] || c.share <= 0 || len(c.serves) == 0 || len(c.names) == 0 {
			t.Errorf("category %q is double or incomplete", c.path)
		}
		seen[c.path] = true
		for _, s := range c.hours {
			if s.open < 0 || s.close <= s.open || s.close > minutesPerDay+h(6)-30 || s.on == 0 {
				t.Errorf("category %q has the span %+v", c.path, s)
			}
		}
	}
	for p := range purposes {
		if len(servers[p]) == 0 {
			t.Errorf("no category serves purpose %d", p)
		}
	}
}

// Habits spread people around a slot's chance without moving the mean, though
// those who like a thing do it more often.
func TestHabitsKeepTheMean(t *testing.T) {
	life := &life{slots: []slot{{coffee, weekdays, 8, 10, .1}, {park, daily, 12, 10, .3}, {atWork, daily, 9, 10, .85}}}
	var byFondness [2]struct{ n, sum float64 }
	const people = 4000
	for i, s := range life.slots {
		sum := 0.0
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		for range people {
			p := &person{}
			p.likings(rng)
			p.tastes(rng)
			p.habits(rng, life)
			sum += p.habit[i][time.Wednesday]
			if s.purpose == park && p.fondness(park) > 1 {
				byFondness[1].n++
				byFondness[1].sum += p.habit[i][time.Wednesday]
			} else if s.purpose == park {
				byFondness[0].n++
				byFondness[0].sum += p.habit[i][time.Wednesday]
			}
			if off := p.habit[i][time.Sunday]; !s.on.has(time.Sunday) && off != 0 {
				t.Fatalf("slot %d has probability %g on a day it is not on", i, off)
			}
		}
		if mean := sum / people; math.Abs(mean-s.chance) > 0.025 {
			t.Errorf("slot of chance %.2f happens with %.3f on average", s.chance, mean)
		}
	}
	if cool, fond := byFondness[0].sum/byFondness[0].n, byFondness[1].sum/byFondness[1].n; fond < 1.5*cool {
		t.Errorf("who likes parks goes with %.3f, who does not with %.3f", fond, cool)
	}
}
