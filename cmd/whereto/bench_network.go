package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/table"
)

// benchNetwork is what `bench network -o json` prints.
type benchNetwork struct {
	Recipe     string       `json:"recipe"`
	Engine     string       `json:"engine"`
	Parameters int          `json:"parameters"`
	WeightsMiB float64      `json:"weights_mib"`
	People     int          `json:"people"`
	Actions    int          `json:"actions"` // of each person's past that the network sees, at least
	Tokens     int          `json:"tokens"`  // of a window
	Ready      float64      `json:"ready_seconds"`
	PastMiB    float64      `json:"past_mib"` // kept of one person
	Fit        int          `json:"pasts_that_fit"`
	Resident   float64      `json:"resident_mib,omitempty"`
	Peak       float64      `json:"peak_resident_mib,omitempty"`
	Rows       []networkRow `json:"rows"`
}

// networkRow is a kind of request, measured until the time is over.
type networkRow struct {
	What      string  `json:"what"`
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// networkBench is one bench under way.
type networkBench struct {
	out     benchNetwork
	each    time.Duration // for a row
	window  int
	clients int // of the last row
	threads int // of a graph; 0: by size
	live    *recommend.Live
	say     func(string)
}

func newBenchNetworkCmd() *cobra.Command {
	var from recipeFlags
	live := recommend.DefaultLive()
	people, each, pastMB, threads := 64, 10*time.Second, int(live.PastBytes>>20), 0
	output := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "network RECIPE",
		Short: "Measure what a network of a recipe's shape costs to serve; its weights are random",
		Long: "Measure what a network of a recipe's shape costs to serve, without training it: the\n" +
			"weights are random, people and places are those of the data. Asked are, in this\n" +
			"process and without HTTP, people with the longest pasts: with nothing kept of them,\n" +
			"with one action more than what is kept, with everything kept, and many at once.",
		Example: "  whereto data synth --recipe industrial --out runs/industrial-data\n" +
			"  whereto bench network industrial --data runs/industrial-data",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if people < 1 || people > 10_000 || each <= 0 || pastMB < 0 || threads < 0 {
				return usageError(cmd, "--people is %d, --for %s, --past-mb %d and --threads %d, want 1 to 10000 people, some time and 0 or more", people, each, pastMB, threads)
			}
			live.PastBytes = int64(pastMB) << 20
			a, backend, err := from.assemble(cmd, args[0])
			if err != nil {
				return err
			}
			defer backend.Finalize()
			if err := engine.Yield(); err != nil { // as the service does
				return err
			}
			b := networkBench{each: each, window: a.Recipe.Batch.Window, clients: 2 * live.Batch, threads: threads, say: sayTo(cmd)}
			b.out.Recipe, b.out.Engine = a.Recipe.Name, backend.Name()
			if err := b.measure(cmd.Context(), a, backend, live, people); err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), b.out)
			}
			return b.out.write(cmd.OutOrStdout())
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.IntVar(&people, "people", people, "people who ask")
	f.DurationVar(&each, "for", each, "time for each kind of request")
	f.IntVar(&pastMB, "past-mb", pastMB, "memory for what pasts left in the network, MB")
	f.IntVar(&live.Batch, "batch", live.Batch, "requests that run through the network together at most")
	f.IntVar(&threads, "threads", threads, "threads of a graph of ONNX Runtime; 0: one for a small network, all cores for a large one")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// measure makes the network and asks it.
func (b *networkBench) measure(ctx context.Context, a *fit.Assembly, backend compute.Backend, c recommend.LiveConfig, people int) (err error) {
	queries := longest(a.Dataset, people)
	b.out.People, b.out.Actions = len(queries), min(b.window-1, len(queries[len(queries)-1].History))
	b.out.Tokens = a.Model.Tokens(b.window)
	engine.Threads(threadsOf(b.threads, a.Model.Config.Decoder))
	start := time.Now()
	store := a.NewStore()
	p, err := a.Predictor(a.Recipe.Name, backend, store)
	if err != nil {
		return err
	}
	b.say("making the weights and compiling the graphs")
	if b.live, err = p.Live(c); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, b.live.Close()) }()
	if err := b.live.Warm(ctx); err != nil {
		return err
	}
	b.out.Ready = time.Since(start).Seconds()
	for v := range store.IterVariables() {
		b.out.Parameters += v.Shape().Size()
	}
	b.out.WeightsMiB = float64(p.Weights()) / (1 << 20)
	if err := b.weigh(ctx, queries[0], c.PastBytes); err != nil {
		return err
	}
	for _, step := range []func(context.Context, []poi.Query) error{b.fresh, b.grown, b.kept, b.together} {
		if err := step(ctx, queries); err != nil {
			return err
		}
	}
	b.out.Resident, b.out.Peak = resident()
	return nil
}

// weigh finds out how much is kept of a person, and of how many there is room.
func (b *networkBench) weigh(ctx context.Context, q poi.Query, room int64) error {
	if _, err := b.live.Recommend(ctx, q, recommend.Want{K: 10}); err != nil {
		return err
	}
	s := b.live.Stats()
	b.out.PastMiB = float64(s.Bytes) / float64(s.Pasts) / (1 << 20)
	b.out.Fit = int(room * int64(s.Pasts) / s.Bytes)
	return nil
}

// longest are the last requests of the people with the longest pasts, longest first.
func longest(d *poi.Dataset, n int) []poi.Query {
	users := make([]int32, len(d.Users))
	for i := range users {
		users[i] = int32(i)
	}
	slices.SortStableFunc(users, func(x, y int32) int { return len(d.Users[y].Visits) - len(d.Users[x].Visits) })
	var out []poi.Query
	for _, u := range users[:min(n, len(users))] {
		out = append(out, d.QueryOf(poi.Target{User: u, Pos: int32(len(d.Users[u].Visits) - 1)}))
	}
	return out
}

// row asks one after the other until the time is over or next has nothing more.
func (b *networkBench) row(ctx context.Context, what string, next func(n int) (prepare, ask *poi.Query)) error {
	b.say(what)
	var took []time.Duration
	var sum time.Duration
	for n := 0; sum < b.each; n++ {
		prepare, ask := next(n)
		if ask == nil {
			break
		}
		if prepare != nil {
			if _, err := b.live.Recommend(ctx, *prepare, recommend.Want{K: 10}); err != nil {
				return err
			}
		}
		start := time.Now()
		if _, err := b.live.Recommend(ctx, *ask, recommend.Want{K: 10}); err != nil {
			return err
		}
		took = append(took, time.Since(start))
		sum += took[n]
	}
	b.add(what, took, sum)
	return nil
}

func (b *networkBench) add(what string, took []time.Duration, wall time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	ms := func(q float64) float64 { return took[int(q*float64(len(took)-1)+0.5)].Seconds() * 1000 }
	b.out.Rows = append(b.out.Rows, networkRow{What: what, Requests: len(took), PerSecond: float64(len(took)) / wall.Seconds(), P50: ms(0.5), P99: ms(0.99), Max: ms(1)})
}

// fresh asks of pasts that nobody asked of before: windows that end, and so begin, one
// action earlier each time a person's turn comes, so that nothing kept can grow into them.
func (b *networkBench) fresh(ctx context.Context, queries []poi.Query) error {
	return b.row(ctx, "nothing kept", func(n int) (_, ask *poi.Query) {
		back, q := n/len(queries)+1, queries[n%len(queries)]
		if len(q.History) < b.window+back {
			return nil, nil
		}
		q.History = q.History[len(q.History)-b.window-back : len(q.History)-back]
		return nil, &q
	})
}

// grown asks with one action more than what is kept. Where the window is full it moves
// on, and the past is made anew, unless the service aligns windows.
func (b *networkBench) grown(ctx context.Context, queries []poi.Query) error {
	return b.row(ctx, "one action more than kept, window not full", func(n int) (prepare, ask *poi.Query) {
		if n >= len(queries) {
			return nil, nil
		}
		less, more := queries[n], queries[n]
		length := min(b.window-2, len(more.History)-1)
		if length < 1 {
			return nil, nil
		}
		from := len(more.History) - length
		less.History, more.History = less.History[from:len(less.History)-1], more.History[from:]
		return &less, &more
	})
}

// kept asks no more people than there is room for.
func (b *networkBench) kept(ctx context.Context, queries []poi.Query) error {
	queries = queries[:max(1, min(len(queries), b.out.Fit))]
	for _, q := range queries {
		if _, err := b.live.Recommend(ctx, q, recommend.Want{K: 10}); err != nil {
			return err
		}
	}
	return b.row(ctx, "everything kept", func(n int) (_, ask *poi.Query) { return nil, &queries[n%len(queries)] })
}

// together keeps twice as many busy as run at once.
func (b *networkBench) together(ctx context.Context, queries []poi.Query) error {
	queries = queries[:max(1, min(len(queries), b.out.Fit))]
	what := fmt.Sprintf("everything kept, %d clients", b.clients)
	b.say(what)
	var (
		next  atomic.Int64
		mu    sync.Mutex
		took  []time.Duration
		wrong error
		all   sync.WaitGroup
	)
	begin := time.Now()
	for range b.clients {
		all.Go(func() {
			for time.Since(begin) < b.each {
				start := time.Now()
				_, err := b.live.Recommend(ctx, queries[int(next.Add(1))%len(queries)], recommend.Want{K: 10})
				mu.Lock()
				took, wrong = append(took, time.Since(start)), cmp.Or(wrong, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	b.add(what, took, time.Since(begin))
	return wrong
}

// resident is the memory of this process in MiB, now and at most; zeros where the
// system does not say.
func resident() (now, peak float64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			kb, _ := strconv.ParseFloat(f[1], 64) // the rest are no numbers and not looked at
			switch f[0] {
			case "VmRSS:":
				now = kb / 1024
			case "VmHWM:":
				peak = kb / 1024
			}
		}
	}
	return now, peak
}

func (b *benchNetwork) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"recipe", fmt.Sprintf("%s, %d parameters, %.1f MiB of random weights", b.Recipe, b.Parameters, b.WeightsMiB)},
		{"engine", b.Engine},
		{"asked", fmt.Sprintf("%d people with %d actions or more in the window of %d tokens, 10 places each", b.People, b.Actions, b.Tokens)},
		{"ready after", fmt.Sprintf("%.1f s", b.Ready)},
		{"kept of one person", fmt.Sprintf("%.2f MiB; there is room for %d people", b.PastMiB, b.Fit)},
		{"memory", fmt.Sprintf("%.0f MiB in the end, %.0f MiB at most", b.Resident, b.Peak)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	t := table.Table{Head: []string{"what", "requests", "a second", "p50 ms", "p99 ms", "max ms"}}
	for _, r := range b.Rows {
		t.Body = append(t.Body, []string{r.What, strconv.Itoa(r.Requests), fmt.Sprintf("%.1f", r.PerSecond), fmt.Sprintf("%.2f", r.P50), fmt.Sprintf("%.2f", r.P99), fmt.Sprintf("%.2f", r.Max)})
	}
	return t.Text(out)
}
