// Package load puts a measured load on a service and says how it bore it.
//
// An open loop asks at the moments of a Poisson process, whether or not the service
// keeps up, and counts time from the moment a request was DUE: if the service stalls,
// every request that should have been asked meanwhile counts its wait. A closed loop
// keeps a number of clients busy, each asking when it has its answer; it shows what one
// caller sees on a quiet service, and hides stalls.
//
// People, their habits and the places come from the service itself and are read before
// the clock starts: who asks is drawn by how much he does, when by the hours of his own
// past, where from around his last place. What is asked is a function of the seed and
// the request's number.
//
// A run has three parts: the warm-up, which is not counted; the measured window; and
// the cool-down, in which the load goes on, uncounted, until the last measured request
// has ended. A request belongs to the part in which it was due.
//
// Errors wrap ErrInput, ErrWorld, or what the client returned. Failures of requests are
// results and no errors. A cancelled context ends the load; what was measured until
// then is the result, and the requests under way may still end.
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
)

// Sentinel errors; every message also says what to do.
var (
	// ErrInput is returned for a setting outside its documented range.
	ErrInput = errors.New("bad input for the load")
	// ErrWorld is returned if the service holds too little to draw requests from.
	ErrWorld = errors.New("nothing to draw requests from")
	// ErrInterrupted is returned if the run was stopped before anything was measured.
	ErrInterrupted = errors.New("stopped before measuring began")
)

const (
	maxRequests  = 20_000_000 // of one run: each is remembered with its latency
	maxInFlight  = 1000       // connections of an open loop; requests beyond wait, and their wait counts
	answersAsked = 10         // places of a recommendation
)

// Config says which load to put on which service.
type Config struct {
	URL   string       // of the service
	Key   string       // API key; "" sends none
	HTTP  *http.Client // nil: one with a connection for each request in flight
	Admin string       // URL of the service's admin listener, for its memory; "" leaves it out

	// One of the two is set.
	Rate    float64 // requests per second of an open loop, at most 100,000
	Clients int     // of a closed loop, at most 1,000

	Warmup   time.Duration // not counted
	Duration time.Duration // measured, 1 s to 7 days
	Timeout  time.Duration // of one request, from the moment it was due; 1 ms to 10 minutes
	SLO      time.Duration // an answer is good within it

	Mix        Mix
	Candidates int // of a rank request, 1 to 500
	Seed       uint64
	// VerifyWrites looks every acknowledged action up after the run.
	VerifyWrites bool
	// Progress gets a line every ten seconds; nil gets none.
	Progress func(line string)
}

// Default is a load without a service and a rate.
func Default() Config {
	return Config{Warmup: 5 * time.Second, Duration: time.Minute, Timeout: 10 * time.Second, SLO: 100 * time.Millisecond,
		Mix: Mix{Recommend: 85, Rank: 10, Similar: 5}, Candidates: 100, Seed: 1}
}

// Window is a time in which the service is meant to be away, as while it is restarted.
type Window struct {
	From, To time.Time
	Why      string
}

// Validate returns ErrInput for the first setting outside its range.
func (c Config) Validate() error {
	if c.Rate != 0 && c.Clients != 0 || c.Rate == 0 && c.Clients == 0 {
		return fmt.Errorf("load: %w: rate is %v and clients %d; set one of them", ErrInput, c.Rate, c.Clients)
	}
	if math.IsNaN(c.Rate) || c.Rate < 0 || c.Rate > 100_000 {
		return fmt.Errorf("load: %w: rate is %v requests per second, want more than 0 and at most 100000", ErrInput, c.Rate)
	}
	for _, r := range []struct {
		name         string
		v, least, at float64
	}{
		{"clients", float64(c.Clients), 0, maxInFlight},
		{"duration in seconds", c.Duration.Seconds(), 1, 7 * 86400}, {"warm-up in seconds", c.Warmup.Seconds(), 0, 86400},
		{"timeout in seconds", c.Timeout.Seconds(), 0.001, 600}, {"SLO in seconds", c.SLO.Seconds(), 1e-6, 600},
		{"candidates", float64(c.Candidates), 1, api.MaxCandidates},
	} {
		if r.v < r.least || r.v > r.at {
			return fmt.Errorf("load: %w: %s is %v, want %v to %v", ErrInput, r.name, r.v, r.least, r.at)
		}
	}
	if n := c.Rate * (c.Warmup + c.Duration).Seconds(); n > maxRequests {
		return fmt.Errorf("load: %w: %.0f requests, at most %d are kept; lower the rate or the duration", ErrInput, n, maxRequests)
	}
	if c.VerifyWrites && c.Mix[Actions] == 0 {
		return fmt.Errorf("load: %w: writes are to be verified, but the mix %s has none; add actions=10", ErrInput, c.Mix)
	}
	return c.Mix.validate()
}

// Run puts the load on the service and returns what it measured. Failed connections in
// an announced window count apart; windows may come at any time before the end, also
// after they began. Run reads announce until it returns; nil announces nothing.
func Run(ctx context.Context, cfg Config, announce <-chan Window) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	hc := cfg.HTTP
	if hc == nil {
		hc = newHTTP()
	}
	patient, err := client.New(cfg.URL, client.Options{Key: cfg.Key, HTTP: hc, UserAgent: "whereto-load"})
	if err != nil {
		return nil, err
	}
	plain, err := client.New(cfg.URL, client.Options{Key: cfg.Key, HTTP: hc, UserAgent: "whereto-load", Retry: client.Retry{Attempts: 1}})
	if err != nil {
		return nil, err
	}
	cfg.Progress("reading people and places of " + cfg.URL)
	w, err := readWorld(ctx, patient, cfg)
	if err != nil {
		return nil, err
	}
	watch, err := newWatch(ctx, hc, cfg)
	if err != nil {
		return nil, err
	}
	g := &generator{cfg: cfg, client: plain, world: w, slots: make(chan struct{}, maxInFlight),
		models: map[string]int{}, written: ledger{}}
	windows := g.run(ctx, watch, announce)
	r, err := g.result(ctx, windows, watch)
	if err != nil {
		return nil, err
	}
	if cfg.VerifyWrites {
		r.Writes = g.written.verify(ctx, patient, cfg.Progress)
	}
	return r, nil
}

// newHTTP is a client that neither limits nor closes connections of the load.
func newHTTP() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxInFlight
	return &http.Client{Transport: t}
}

// checkURL refuses an address that cannot be asked, or that holds a password.
func checkURL(name, text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return fmt.Errorf("load: %w: %s must look like http://host:port, without user and password", ErrInput, name)
	}
	return nil
}

// Mix is how often each kind of request is asked, by weight.
type Mix map[Kind]float64

// ParseMix reads weights such as recommend=80,rank=20.
func ParseMix(text string) (Mix, error) {
	m := Mix{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		weight, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("load: %w: mix %q: want weights such as recommend=80,rank=20", ErrInput, part)
		}
		if _, twice := m[Kind(name)]; twice {
			return nil, fmt.Errorf("load: %w: mix: %s has two weights", ErrInput, name)
		}
		m[Kind(name)] = weight
	}
	return m, m.validate()
}

func (m Mix) validate() error {
	sum := 0.0
	for name, weight := range m {
		if name.number() < 0 {
			return fmt.Errorf("load: %w: mix: there is no kind %q; there are %s", ErrInput, name, kindNames())
		}
		if !(weight >= 0 && weight <= 1e6) {
			return fmt.Errorf("load: %w: mix: the weight of %s is %v, want 0 to 1e6", ErrInput, name, weight)
		}
		sum += weight
	}
	if sum == 0 {
		return fmt.Errorf("load: %w: mix: all weights are 0", ErrInput)
	}
	return nil
}

func kindNames() string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// String writes the mix as ParseMix reads it.
func (m Mix) String() string {
	var out []string
	for _, k := range kinds {
		if m[k] > 0 {
			out = append(out, fmt.Sprintf("%s=%g", k, m[k]))
		}
	}
	return strings.Join(out, ",")
}
