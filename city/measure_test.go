package city_test

import (
	"math"
	"slices"
	"testing"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// mustNew builds a city.
func mustNew(t testing.TB, cfg city.Config) *city.City {
	t.Helper()
	c, err := city.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everyone returns the log of each user.
func everyone(c *city.City) [][]poi.Action {
	logs := make([][]poi.Action, c.Users())
	for u := range logs {
		logs[u] = c.Actions(u)
	}
	return logs
}

// figures are what make a log easy or hard to predict, over the last fifth of
// every person's actions given all before.
type figures struct {
	n                                        int
	perUser                                  []int
	returns, repeat, counter, kernel, markov float64
	tripKM                                   []float64 // sorted, from action to action of a person within a day
}

func measure(logs [][]poi.Action) figures {
	var f figures
	for _, log := range logs {
		f.perUser = append(f.perUser, len(log))
		for i := 1; i < len(log); i++ {
			a, b := log[i-1], log[i]
			if b.TimeMS-a.TimeMS < 24*3600_000 && a.POI != b.POI {
				f.tripKM = append(f.tripKM, geo.Metres(a.Lat, a.Lng, b.Lat, b.Lng)/1000)
			}
			if i >= len(log)*4/5 {
				f.score(log[:i], b)
			}
		}
	}
	slices.Sort(f.perUser)
	slices.Sort(f.tripKM)
	for _, share := range []*float64{&f.returns, &f.repeat, &f.counter, &f.kernel, &f.markov} {
		*share /= float64(f.n)
	}
	return f
}

// score adds one target. The counter ranks places by visits; the kernel weighs
// a visit by hour, weekend, age and whether it followed the same place. Ties go
// to the latest place.
func (f *figures) score(history []poi.Action, target poi.Action) {
	f.n++
	now := poi.LocalTime(target.TimeMS, target.OffsetMin)
	last := history[len(history)-1].POI
	counts, kernel, markov := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for i, a := range history {
		if a.POI == target.POI {
			counts["return"] = 1
		}
		then := poi.LocalTime(a.TimeMS, a.OffsetMin)
		hours := math.Abs(now.Sub(now.Truncate(24*3600e9)).Hours() - then.Sub(then.Truncate(24*3600e9)).Hours())
		hours = min(hours, 24-hours)
		w := math.Exp(-hours*hours/2) + 0.01
		if weekend(now.Weekday()) == weekend(then.Weekday()) {
			w *= 3
		}
		w *= math.Exp(-now.Sub(then).Hours() / 24 / 60)
		if i > 0 && history[i-1].POI == last {
			w *= 3
			markov[a.POI] += 1
		}
		kernel[a.POI] += w
		markov[a.POI] += 1e-3
	}
	f.returns += counts["return"]
	delete(counts, "return")
	for _, a := range history {
		counts[a.POI]++
	}
	hit := func(score map[string]float64, sum *float64) {
		best := last
		for _, a := range history {
			if score[a.POI] >= score[best] {
				best = a.POI
			}
		}
		if best == target.POI {
			*sum++
		}
	}
	hit(counts, &f.counter)
	hit(kernel, &f.kernel)
	hit(markov, &f.markov)
	if last == target.POI {
		f.repeat++
	}
}

func weekend(d interface{ String() string }) bool {
	return d.String() == "Saturday" || d.String() == "Sunday"
}

// quantile returns the q-quantile of sorted values.
func quantile[T int | float64](sorted []T, q float64) T {
	return sorted[int(q*float64(len(sorted)-1))]
}

// The simulated task must be like the real one: mostly returns, a weak counter,
// and time worth knowing.
func TestTaskIsLikeTheRealOne(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users = 600 // a person's log does not depend on the others
	f := measure(everyone(mustNew(t, cfg)))
	t.Logf("targets %d; visits a person p5 %d, median %d, p95 %d; return share %.3f; repeat last %.3f; counter acc@1 %.3f; "+
		"hour kernel acc@1 %.3f; markov %.3f; trip km p25 %.2f p50 %.2f p75 %.2f p95 %.2f p99 %.1f", f.n,
		quantile(f.perUser, .05), quantile(f.perUser, .5), quantile(f.perUser, .95),
		f.returns, f.repeat, f.counter, f.kernel, f.markov, quantile(f.tripKM, .25), quantile(f.tripKM, .5),
		quantile(f.tripKM, .75), quantile(f.tripKM, .95), quantile(f.tripKM, .99))
	for _, c := range []struct {
		name           string
		got, low, high float64
	}{
		{"median visits a person", float64(quantile(f.perUser, .5)), 60, 85},
		{"5 % of persons have at most", float64(quantile(f.perUser, .05)), 28, 55},
		{"95 % of persons have at most", float64(quantile(f.perUser, .95)), 95, 145},
		{"return share", f.returns, 0.70, 0.80},
		{"repeat-last share", f.repeat, 0, 0.12},
		{"counter acc@1", f.counter, 0.18, 0.26},
		{"hour kernel over counter", f.kernel / f.counter, 1.4, 3},
		{"median trip km", quantile(f.tripKM, .5), 0.8, 5},
	} {
		if c.got < c.low || c.got > c.high {
			t.Errorf("%s is %.3f, want %.2f to %.2f", c.name, c.got, c.low, c.high)
		}
	}
}
