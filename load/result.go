package load

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Result is what a load measured. Times are milliseconds from the moment a request was
// due to the end of its answer.
type Result struct {
	URL         string         `json:"url"`
	Started     time.Time      `json:"started"` // of the measured window
	Seconds     float64        `json:"seconds"` // measured; less than asked for if interrupted
	Asked       float64        `json:"seconds_asked_for"`
	Interrupted bool           `json:"interrupted"`
	Rate        float64        `json:"offered_per_second,omitempty"` // of an open loop
	Clients     int            `json:"clients,omitempty"`            // of a closed one
	Warmup      float64        `json:"warmup_seconds"`
	Timeout     float64        `json:"timeout_ms"`
	SLO         float64        `json:"slo_ms"`
	Mix         Mix            `json:"mix"`
	Candidates  int            `json:"candidates"`
	Seed        uint64         `json:"seed"`
	World       WorldSize      `json:"world"`
	Machine     Machine        `json:"machine"`
	Late        Late           `json:"late"`
	Total       Row            `json:"total"`
	Kinds       []Row          `json:"kinds"`
	Models      map[string]int `json:"models,omitempty"` // answers by version
	Memory      *Memory        `json:"memory,omitempty"`
	Writes      *Writes        `json:"writes,omitempty"`
	Windows     []Announced    `json:"announced,omitempty"`
}

// Row is how the requests of a kind fared.
type Row struct {
	Kind      string         `json:"kind"`
	Asked     int            `json:"asked"` // due in the measured window
	Answered  int            `json:"answered"`
	Errors    map[string]int `json:"errors"`              // by HTTP status, connection, timeout, wrong answer, rejected
	Announced int            `json:"announced,omitempty"` // without a connection, or status 503, in announced windows; in no other figure
	Fallback  int            `json:"fallback,omitempty"`  // answers of something simpler than the model
	PerSecond float64        `json:"answered_per_second"`
	P50       Estimate       `json:"p50_ms"` // of answers, as the rest; failures have no latency
	P90       Estimate       `json:"p90_ms"`
	P99       Estimate       `json:"p99_ms"`
	P999      Estimate       `json:"p999_ms"`
	Max       float64        `json:"max_ms"`
	Within    Estimate       `json:"within_slo"`         // share of the asked requests, failures count as not within
	Goodput   float64        `json:"goodput_per_second"` // answers within the SLO
}

// Late is how late the load itself was in asking. If it is not small against the
// latencies, the machine of the load is too slow for them.
type Late struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// WorldSize is what requests were drawn from.
type WorldSize struct {
	Users   int `json:"users"`  // of the service
	People  int `json:"people"` // of the sample
	Actions int `json:"actions"`
	Places  int `json:"places"`
}

// Machine is where the load ran.
type Machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu,omitempty"`
	System string `json:"system"`
	Go     string `json:"go"`
	// Shared: the service is on the same machine, so that load and service take
	// compute from each other.
	Shared bool `json:"shared_with_service"`
}

// Announced is a window in seconds of the measured window.
type Announced struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Why  string  `json:"why"`
}

// Seconds is its length.
func (a Announced) Seconds() float64 { return a.To - a.From }

// result makes the figures of the measured requests.
func (g *generator) result(ctx context.Context, windows []Window, w *watch) (*Result, error) {
	cfg := g.cfg
	cut := cfg.Duration
	interrupted := (ctx.Err() != nil || g.full) && g.stopped.Sub(g.zero) < cut
	if interrupted { // the load ended when it stopped asking, not with the last answer
		cut = max(1, g.stopped.Sub(g.zero))
	}
	var list []answer
	for _, a := range g.answers {
		if g.measured(a.due) {
			list = append(list, a)
		}
	}
	if interrupted && len(list) == 0 {
		return nil, fmt.Errorf("load: %w; %d requests of the warm-up are not counted", ErrInterrupted, len(g.answers))
	}
	r := &Result{URL: cfg.URL, Started: g.zero.Round(0), Seconds: cut.Seconds(), Asked: cfg.Duration.Seconds(), Interrupted: interrupted,
		Rate: cfg.Rate, Clients: cfg.Clients, Warmup: cfg.Warmup.Seconds(), Timeout: ms(cfg.Timeout), SLO: ms(cfg.SLO), Mix: cfg.Mix,
		Candidates: cfg.Candidates, Seed: cfg.Seed, Machine: thisMachine(cfg.URL), Models: g.models,
		World: WorldSize{Users: g.world.users, People: len(g.world.people), Actions: g.world.actions, Places: len(g.world.places)}}
	for _, w := range windows {
		r.Windows = append(r.Windows, Announced{From: w.From.Sub(g.zero).Seconds(), To: w.To.Sub(g.zero).Seconds(), Why: w.Why})
	}
	if w.url != "" {
		r.Memory = &w.memory
	}
	r.Late = lateness(list)
	r.Total = makeRow("all", list, windows, g.zero, cut, cfg)
	for i, k := range kinds {
		if cfg.Mix[k] == 0 {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(list), func(a answer) bool { return int(a.kind) != i })
		r.Kinds = append(r.Kinds, makeRow(string(k), of, windows, g.zero, cut, cfg))
	}
	return r, nil
}

func makeRow(kind string, list []answer, windows []Window, zero time.Time, length time.Duration, cfg Config) Row {
	row := Row{Kind: kind, Asked: len(list), Errors: map[string]int{}}
	good, asked := make([]int, blocks), make([]int, blocks)
	var times []timed
	for _, a := range list {
		if (a.outcome == noConnection || a.outcome == http.StatusServiceUnavailable) && inside(a, windows, zero) {
			row.Announced++
			continue
		}
		block := min(blocks-1, int(float64(a.due)/float64(length)*blocks))
		asked[block]++
		if a.outcome != answered {
			row.Errors[a.outcome.String()]++
			continue
		}
		times = append(times, timed{took: a.took, block: block})
		row.Max = max(row.Max, ms(a.took))
		if a.took <= cfg.SLO {
			good[block]++
			row.Goodput++
		}
		if a.fallback {
			row.Fallback++
		}
	}
	row.Answered = len(times)
	row.PerSecond = float64(row.Answered) / length.Seconds()
	row.Goodput /= length.Seconds()
	var q []Estimate
	q, row.Within = estimate(times, good, asked, cfg.Seed)
	row.P50, row.P90, row.P99, row.P999 = q[0], q[1], q[2], q[3]
	return row
}

// inside says whether a request was under way in an announced window.
func inside(a answer, windows []Window, zero time.Time) bool {
	return slices.ContainsFunc(windows, func(w Window) bool {
		return a.due <= w.To.Sub(zero) && a.due+a.took >= w.From.Sub(zero)
	})
}

func lateness(list []answer) Late {
	if len(list) == 0 {
		return Late{}
	}
	late := make([]time.Duration, len(list))
	for i, a := range list {
		late[i] = a.late
	}
	slices.Sort(late)
	return Late{P50: ms(quantile(late, 0.5)), P99: ms(quantile(late, 0.99)), Max: ms(late[len(late)-1])}
}

func thisMachine(service string) Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: cpuModel(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if u, err := url.Parse(service); err == nil {
		ip := net.ParseIP(u.Hostname())
		m.Shared = u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	}
	return m
}

// cpuModel is the name the system gives its processor; "" where it gives none.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "" // not a Linux system
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
