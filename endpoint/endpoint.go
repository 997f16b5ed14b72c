// Package endpoint talks to OpenAI-compatible servers: embeddings and chat answers
// that follow a JSON schema. Judges and encoders of text share its one client.
//
// A call is what the user of this package asks for; an attempt is one HTTP request.
// A call makes at most Config.Attempts attempts, none longer than Config.Timeout;
// between them it waits twice as long each time, with jitter, or as long as the
// server's Retry-After says. Attempts of one client together keep to a rate and to
// a number in flight.
//
// Answers are checked before anyone sees them: an embedding has the expected count
// and dimension and only finite numbers, a chat answer fits its schema. Checked
// answers are kept in a cache on disk under a hash of what was asked, so that a
// stopped run goes on at no cost.
//
// The key of the server comes from an environment variable and goes into request
// headers only: never into an error, a log or a file.
//
// Errors wrap one of five sentinels: ErrInput, ErrUnreachable, ErrRateLimited,
// ErrRefused and ErrAnswer, or the cause of a cancelled context. Work done before
// an error stays in the cache. A Client is safe for concurrent use, its cache also
// for several processes.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Sentinel errors; every message also says what to do.
var (
	// ErrInput is returned for a setting, text or schema outside its documented range.
	ErrInput = errors.New("bad input for the endpoint")
	// ErrUnreachable is returned when no attempt got a whole answer: no connection,
	// time-outs, or only server errors (status 5xx).
	ErrUnreachable = errors.New("endpoint unreachable")
	// ErrRateLimited is returned when the server still answers 429, or asks for a
	// longer wait than Config.MaxWait.
	ErrRateLimited = errors.New("endpoint limits the rate")
	// ErrRefused is returned when the server says that the request itself is wrong
	// (status 4xx): key, model, path or input.
	ErrRefused = errors.New("endpoint refused the request")
	// ErrAnswer is returned for an answer that cannot be right: wrong count or
	// dimension, numbers that are not finite, invalid JSON, JSON that does not fit
	// the schema, or more bytes than Config.MaxAnswer.
	ErrAnswer = errors.New("endpoint gave a wrong answer")
)

// Config says which server to ask, and how often.
type Config struct {
	URL         string        `yaml:"url"`          // base, with the version: http://localhost:8000/v1
	Model       string        `yaml:"model"`        // as the server names it
	KeyEnv      string        `yaml:"key_env"`      // environment variable that holds the key; unset: no key is sent
	PerMinute   int           `yaml:"per_minute"`   // attempts, of all callers together; 0: no limit
	Concurrency int           `yaml:"concurrency"`  // attempts in flight
	Timeout     time.Duration `yaml:"timeout"`      // of one attempt
	Attempts    int           `yaml:"attempts"`     // of one call
	Backoff     time.Duration `yaml:"backoff"`      // first wait between attempts
	MaxWait     time.Duration `yaml:"max_wait"`     // longest wait between attempts
	Batch       int           `yaml:"batch"`        // inputs in one embeddings request
	MaxAnswer   int64         `yaml:"max_answer"`   // bytes of one answer
	Cache       string        `yaml:"cache_folder"` // "" keeps nothing on disk
}

// Default returns the settings of an unknown server; URL and Model have no default.
func Default() Config {
	return Config{KeyEnv: "WHERETO_API_KEY", PerMinute: 600, Concurrency: 4, Timeout: time.Minute, Attempts: 6,
		Backoff: 500 * time.Millisecond, MaxWait: time.Minute, Batch: 64, MaxAnswer: 64 << 20}
}

// Validate returns ErrInput for the first setting outside its range.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("endpoint: %w: url must look like https://host/v1", ErrInput) // not quoted: it may hold a password
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("endpoint: %w: url must hold no user, password or query; put the key into the environment variable of key_env", ErrInput)
	}
	if strings.TrimSpace(c.Model) == "" {
		return fmt.Errorf("endpoint: %w: model is empty; name one that the server at %s offers", ErrInput, c.URL)
	}
	for _, r := range []struct {
		name          string
		v, least, top int64
	}{
		{"per_minute", int64(c.PerMinute), 0, 1e6}, {"concurrency", int64(c.Concurrency), 1, 256},
		{"timeout", int64(c.Timeout), int64(time.Millisecond), int64(time.Hour)}, {"attempts", int64(c.Attempts), 1, 100},
		{"backoff", int64(c.Backoff), 1, int64(time.Hour)}, {"max_wait", int64(c.MaxWait), int64(c.Backoff), int64(24 * time.Hour)},
		{"batch", int64(c.Batch), 1, 2048}, {"max_answer", c.MaxAnswer, 1 << 10, 1 << 30},
	} {
		if r.v < r.least || r.v > r.top {
			return fmt.Errorf("endpoint: %w: %s is %d, must be in [%d, %d]", ErrInput, r.name, r.v, r.least, r.top)
		}
	}
	return nil
}

// Stats counts what a client did since it was made.
type Stats struct {
	Hits         int64 `json:"hits"`          // answers found in the cache
	Calls        int64 `json:"calls"`         // attempts sent
	Retries      int64 `json:"retries"`       // attempts after the first of a call
	Corrupt      int64 `json:"corrupt"`       // cache entries that were damaged and dropped
	PromptTokens int64 `json:"prompt_tokens"` // as the server counts them
	AnswerTokens int64 `json:"answer_tokens"`
}

// Client asks one model of one server.
type Client struct {
	cfg     Config
	key     string // redacted from every message
	http    http.Client
	limiter *rate.Limiter
	slots   chan struct{}
	cache   *Cache      // nil: none
	plain   atomic.Bool // the server knows no response_format

	mu        sync.Mutex
	notBefore time.Time // the server asked everyone to wait until then

	calls, hits, retries, promptTokens, answerTokens atomic.Int64

	sleep func(context.Context, time.Duration) error // replaced in tests
}

// New checks the settings, reads the key and opens the cache. It sends nothing.
func New(c Config) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	key := ""
	if c.KeyEnv != "" {
		key = strings.TrimSpace(os.Getenv(c.KeyEnv))
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return nil, fmt.Errorf("endpoint: %w: the key in %s holds characters that no header can carry; set it again", ErrInput, c.KeyEnv)
		}
	}
	limit := rate.Inf
	if c.PerMinute > 0 {
		limit = rate.Limit(float64(c.PerMinute) / 60)
	}
	cl := &Client{cfg: c, key: key, limiter: rate.NewLimiter(limit, max(1, min(c.Concurrency, c.PerMinute))),
		slots: make(chan struct{}, c.Concurrency), sleep: sleep}
	if c.Cache != "" {
		cache, err := OpenCache(c.Cache)
		if err != nil {
			return nil, err
		}
		cl.cache = cache
	}
	return cl, nil
}

// Config returns the settings the client was made with.
func (c *Client) Config() Config { return c.cfg }

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Calls: c.calls.Load(), Retries: c.retries.Load(),
		PromptTokens: c.promptTokens.Load(), AnswerTokens: c.answerTokens.Load()}
	if c.cache != nil {
		s.Corrupt = c.cache.Corrupt()
	}
	return s
}

// lookup reads the cache and counts a hit.
func (c *Client) lookup(k Key, kind Kind) ([]byte, bool, error) {
	if c.cache == nil {
		return nil, false, nil
	}
	return c.cache.Get(k, kind)
}

func (c *Client) keep(k Key, kind Kind, value []byte) error {
	if c.cache == nil {
		return nil
	}
	return c.cache.Put(k, kind, value)
}

// sleep waits for d or for the end of the context.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
