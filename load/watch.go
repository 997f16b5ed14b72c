package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sample is the service's memory at a moment.
type Sample struct {
	Seconds     float64 `json:"seconds"` // from the start of the measured window
	ResidentMiB float64 `json:"resident_mib"`
	HeapMiB     float64 `json:"heap_mib"`
	Goroutines  int     `json:"goroutines"`
}

// Memory is how the service's memory went, in MiB.
type Memory struct {
	Samples []Sample `json:"samples"`
	Failed  int      `json:"failed"` // moments at which the admin listener did not answer
}

// watch reads the metrics of the service now and then.
type watch struct {
	http   *http.Client
	url    string // "" watches nothing
	every  time.Duration
	memory Memory
}

const (
	maxSamples = 500
	maxMetrics = 16 << 20 // bytes
)

// newWatch looks once, so that a wrong address is found before the load begins.
func newWatch(ctx context.Context, hc *http.Client, cfg Config) (*watch, error) {
	if cfg.Admin == "" {
		return &watch{}, nil
	}
	if err := checkURL("the admin URL", cfg.Admin); err != nil {
		return nil, err
	}
	w := &watch{http: hc, url: strings.TrimSuffix(strings.TrimRight(cfg.Admin, "/"), "/metrics") + "/metrics",
		every: max(time.Second, (cfg.Warmup+cfg.Duration)/maxSamples)}
	if _, err := w.look(ctx); err != nil {
		return nil, fmt.Errorf("load: memory of the service: %w; give the address of its admin listener, or none", err)
	}
	return w, nil
}

func (w *watch) run(stop <-chan struct{}, zero time.Time) {
	if w.url == "" {
		return
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		s, err := w.look(context.Background())
		if err != nil {
			w.memory.Failed++
		} else {
			s.Seconds = time.Since(zero).Seconds()
			w.memory.Samples = append(w.memory.Samples, s)
		}
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// look reads the metrics once.
func (w *watch) look(ctx context.Context) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return Sample{}, err
	}
	res, err := w.http.Do(req)
	if err != nil {
		return Sample{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Sample{}, fmt.Errorf("%s: status %d", w.url, res.StatusCode)
	}
	return readMetrics(io.LimitReader(res.Body, maxMetrics))
}

// readMetrics finds three gauges without labels in the Prometheus text format.
func readMetrics(r io.Reader) (Sample, error) {
	var s Sample
	found := false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		v, err := strconv.ParseFloat(fields[1], 64)
		if err != nil || !(v >= 0 && v < math.MaxInt32*float64(1<<20)) {
			continue
		}
		switch fields[0] {
		case "process_resident_memory_bytes":
			s.ResidentMiB, found = v/(1<<20), true
		case "go_memstats_heap_inuse_bytes":
			s.HeapMiB = v / (1 << 20)
		case "go_goroutines":
			s.Goroutines = int(min(v, math.MaxInt32))
		}
	}
	if err := lines.Err(); err != nil {
		return s, err
	}
	if !found {
		return s, fmt.Errorf("the metrics have no process_resident_memory_bytes")
	}
	return s, nil
}
