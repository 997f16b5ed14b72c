package load

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestQuantile(t *testing.T) {
	upTo := func(n int) (out []int) {
		for i := range n {
			out = append(out, i+1)
		}
		return out
	}
	for _, c := range []struct {
		n    int
		p    float64
		want int
	}{
		{1, 0.5, 1}, {1, 0.999, 1}, {2, 0.5, 1}, {3, 0.5, 2}, {4, 0.5, 2}, {10, 0.9, 9}, {11, 0.9, 10}, {100, 0.99, 99}, {101, 0.99, 100},
		{100, 0.07, 7}, {1000, 0.999, 999}, {999, 0.999, 999}, {1001, 0.999, 1000}, {5, 0, 1}, {5, 1, 5},
	} {
		if got := quantile(upTo(c.n), c.p); got != c.want {
			t.Errorf("quantile %g of 1..%d is %d, want %d", c.p, c.n, got, c.want)
		}
	}
}

// Weights mean that an answer counts that often.
func TestWeighted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(0, 3), 4, 4).Draw(t, "weights")
		var list []timed
		var plain []time.Duration
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			a := timed{took: time.Duration(rapid.IntRange(0, 9).Draw(t, "took")) * time.Millisecond, block: rapid.IntRange(0, 3).Draw(t, "block")}
			list = append(list, a)
			plain = append(plain, slices.Repeat([]time.Duration{a.took}, weights[a.block])...)
		}
		slices.SortFunc(list, func(a, b timed) int { return int(a.took - b.took) })
		slices.Sort(plain)
		var want []float64
		for _, p := range shares {
			if len(plain) > 0 {
				want = append(want, ms(quantile(plain, p)))
			}
		}
		if got := weighted(list, weights); !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestEstimate(t *testing.T) {
	full := func(n int) []int { return slices.Repeat([]int{n}, blocks) }
	make := func(took func(block, i int) time.Duration) (out []timed) {
		for b := range blocks {
			for i := range 25 {
				out = append(out, timed{took: took(b, i), block: b})
			}
		}
		return out
	}
	q, within := estimate(make(func(int, int) time.Duration { return 2 * time.Millisecond }), full(25), full(25), 1)
	for _, e := range append(q, within) {
		if e.Interval == nil || e.Interval[0] != e.Interval[1] || e.Interval[0] != e.Value {
			t.Errorf("all are equal, the figure is %v", e)
		}
	}
	// A minute whose second half is slow: single answers would make the median look
	// certain, blocks show that it hangs on which half is seen.
	q, _ = estimate(make(func(b, _ int) time.Duration { return time.Duration(1+b/(blocks/2)) * time.Millisecond }), full(25), full(25), 1)
	if q[0].Value != 1 || *q[0].Interval != [2]float64{1, 2} || *q[2].Interval != [2]float64{2, 2} {
		t.Errorf("median %v %v, p99 %v", q[0].Value, q[0].Interval, q[2].Interval)
	}
	// Half of the blocks are good: the share is 0.5 give or take 1.96 * 0.5/sqrt(40).
	good := full(25)
	for b := range blocks / 2 {
		good[b] = 0
	}
	_, within = estimate(make(func(int, int) time.Duration { return 1 }), good, full(25), 1)
	if within.Value != 0.5 || math.Abs(within.Interval[0]-0.345) > 0.03 || math.Abs(within.Interval[1]-0.655) > 0.03 {
		t.Errorf("share %v %v", within.Value, within.Interval)
	}
	q, within = estimate(nil, full(0), full(3), 1)
	if q[0] != (Estimate{}) || within != (Estimate{}) {
		t.Errorf("without answers: %v %v", q[0], within)
	}
	q, _ = estimate([]timed{{took: 3 * time.Millisecond}}, full(0), full(1), 1)
	if q[3].Value != 3 || q[3].Interval != nil {
		t.Errorf("of one answer: %v", q[3])
	}
}

func TestReadMetrics(t *testing.T) {
	const gauges = "# HELP go_goroutines Number.\n# TYPE go_goroutines gauge\ngo_goroutines 42\ngo_memstats_heap_inuse_bytes 1.048576e+07\nprocess_resident_memory_bytes 2.097152e+07 1700000000\n"
	for _, c := range []struct {
		name, text string
		want       Sample
		ok         bool
	}{
		{"all", gauges, Sample{ResidentMiB: 20, HeapMiB: 10, Goroutines: 42}, true},
		{"no heap", "process_resident_memory_bytes 1048576\n", Sample{ResidentMiB: 1}, true},
		{"other series", "process_resident_memory_bytes{x=\"y\"} 1\nxprocess_resident_memory_bytes 1\n", Sample{}, false},
		{"not numbers", "process_resident_memory_bytes NaN\nprocess_resident_memory_bytes -1\nprocess_resident_memory_bytes +Inf\nprocess_resident_memory_bytes\n", Sample{}, false},
		{"a page", "<html>", Sample{}, false},
		{"nothing", "", Sample{}, false},
	} {
		got, err := readMetrics(strings.NewReader(c.text))
		if c.ok != (err == nil) || c.ok && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

// The three outputs hold the same run.
func TestOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.metrics = "process_resident_memory_bytes 52428800\n"
		cfg := f.config()
		cfg.Rate, cfg.Duration, cfg.Mix, cfg.VerifyWrites = 20, 30*time.Second, Mix{Recommend: 3, Rank: 1, Actions: 1}, true
		cfg.Admin = "http://whereto.test/"
		announce := make(chan Window, 1)
		announce <- Window{From: time.Now(), To: time.Now().Add(time.Second), Why: "a drill"}
		r := mustRun(t, cfg, announce)
		if len(r.Memory.Samples) < 30 || r.Memory.Samples[0].ResidentMiB != 50 || r.Memory.Failed != 0 {
			t.Errorf("memory %+v", r.Memory)
		}
		var text, md strings.Builder
		if err := r.Text(&text); err != nil {
			t.Fatal(err)
		}
		if err := r.Markdown(&md); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"open loop, 20 requests/s offered", "seed 1", "% within 100 ms", "recommend", "all", "Conditions", "3 of 3 people with 100 actions, 196 places", "answers of v1", "answers of a fallback",
			"50 MiB at the start", "0 LOST", "0.0 s to 1.0 s: a drill"} {
			if !strings.Contains(text.String(), part) || !strings.Contains(md.String(), part) {
				t.Errorf("no %q in\n%s\n%s", part, text.String(), md.String())
			}
		}
		if strings.Contains(text.String(), "Failures") || strings.Contains(text.String(), "INTERRUPTED") || strings.Contains(text.String(), "share this machine") || strings.Contains(text.String(), "too much for") {
			t.Errorf("failures were none:\n%s", text.String())
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Result
		if err := json.Unmarshal(b, &back); err != nil || back.Total.P99.Value != r.Total.P99.Value || back.Kinds[1].Asked != r.Kinds[1].Asked || back.Writes.Found != r.Writes.Found || !strings.Contains(string(b), `"p999_ms"`) {
			t.Errorf("%v\n%s", err, b)
		}
		r.Kinds[0].Errors["503"], r.Kinds[0].Announced, r.Interrupted = 2, 3, true
		r.Kinds[1] = Row{Kind: "rank", Asked: 4}
		r.Total.P99.Value, r.Late.P99 = 20, 3
		text.Reset()
		if err := r.Text(&text); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"Failures", "recommend  503", "recommend  announced: no connection, 503", "INTERRUPTED, 30 s were asked for", "too much for these latencies"} {
			if !strings.Contains(text.String(), part) {
				t.Errorf("no %q in\n%s", part, text.String())
			}
		}
	})
}

func TestShort(t *testing.T) {
	for x, want := range map[float64]string{0: "0.00", 0.123: "0.12", 9.876: "9.88", 12.34: "12.3", 123.4: "123", 12345.6: "12346"} {
		if got := short(x); got != want {
			t.Errorf("short(%v) = %s, want %s", x, got, want)
		}
	}
}

func TestSharedMachine(t *testing.T) {
	for address, want := range map[string]bool{"http://localhost:8080": true, "http://127.0.0.9:1": true, "http://[::1]:1": true, "http://10.0.0.1": false, "https://whereto.example": false, "http://localhost.example": false} {
		if m := thisMachine(address); m.Shared != want || m.Cores < 1 || m.System == "" {
			t.Errorf("%s: %+v, want shared %v", address, m, want)
		}
	}
}
