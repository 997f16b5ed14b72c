package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestConfig(t *testing.T) {
	good := Default()
	good.URL, good.Model = "http://localhost:8000/v1", "m"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(*Config){
		"no url":      func(c *Config) { c.URL = "" },
		"scheme":      func(c *Config) { c.URL = "ftp://host/v1" },
		"password":    func(c *Config) { c.URL = "https://me:" + secret + "@host/v1" },
		"query":       func(c *Config) { c.URL = "https://host/v1?key=" + secret },
		"broken url":  func(c *Config) { c.URL = "https://me:" + secret + "@ho st:x/" },
		"no model":    func(c *Config) { c.Model = " " },
		"rate":        func(c *Config) { c.PerMinute = -1 },
		"concurrency": func(c *Config) { c.Concurrency = 0 },
		"timeout":     func(c *Config) { c.Timeout = 0 },
		"attempts":    func(c *Config) { c.Attempts = 0 },
		"backoff":     func(c *Config) { c.Backoff = 0 },
		"max_wait":    func(c *Config) { c.MaxWait = c.Backoff - 1 },
		"batch":       func(c *Config) { c.Batch = 0 },
		"max_answer":  func(c *Config) { c.MaxAnswer = 1 },
	} {
		c := good
		edit(&c)
		if _, err := New(c); !errors.Is(err, ErrInput) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Setenv("WHERETO_TEST_KEY", secret+"\nX-Other: 1")
	good.KeyEnv = "WHERETO_TEST_KEY"
	if _, err := New(good); !errors.Is(err, ErrInput) || strings.Contains(err.Error(), secret) {
		t.Errorf("a key with a line end: %v", err)
	}
}

// Settings of other programs in the environment are not ours.
func TestEnvironmentIsNotRead(t *testing.T) {
	f := serve(t, embed)
	t.Setenv("OPENAI_API_KEY", "sk-other")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/elsewhere")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-custom")
	c, _ := client(t, f.URL, func(c *Config) { c.KeyEnv = "WHERETO_NO_SUCH_KEY" })
	if _, err := c.Embed(context.Background(), texts(1), 3); err != nil || f.auth[0] != "" {
		t.Errorf("error %v, authorization %q", err, f.auth)
	}
}

// Never more attempts in flight than Concurrency, and the rate limiter is asked.
func TestConcurrency(t *testing.T) {
	var now, most atomic.Int64
	gate := make(chan struct{})
	f := serve(t, func(n int, r request, w http.ResponseWriter) {
		if v := now.Add(1); v > most.Load() {
			most.Store(v)
		}
		if n < 3 { // the first three wait for each other
			if n == 2 {
				close(gate)
			}
			<-gate
		}
		now.Add(-1)
		embed(n, r, w)
	})
	c, _ := client(t, f.URL, func(c *Config) { c.Batch, c.Concurrency = 1, 3 })
	if _, err := c.Embed(context.Background(), texts(30), 3); err != nil || most.Load() != 3 || f.calls() != 30 {
		t.Errorf("error %v, %d at once, %d calls; want none, 3, 30", err, most.Load(), f.calls())
	}
	// One a minute and a deadline before the second turn: it is refused, not sent.
	f = serve(t, embed)
	c, _ = client(t, f.URL, func(c *Config) { c.Batch, c.Concurrency, c.PerMinute, c.Attempts = 1, 1, 1, 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := c.Embed(ctx, texts(2), 3); !errors.Is(err, ErrRateLimited) || f.calls() != 1 {
		t.Errorf("error %v after %d calls, want the rate limit after 1", err, f.calls())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "3", 3 * time.Second}, {"Retry-After", " 0.5 ", 500 * time.Millisecond}, {"Retry-After", "-1", 0},
		{"Retry-After", "NaN", 0}, {"Retry-After", "1e300", 1000 * time.Hour}, {"Retry-After", "soon", 0}, {"Retry-After", "", 0},
		{"Retry-After", "Wed, 01 May 2024 12:00:09 GMT", 9 * time.Second}, {"Retry-After", "Wed, 01 May 2024 11:00:00 GMT", 0},
		{"Retry-After", "Wed, 01 May 2999 11:00:00 GMT", 1000 * time.Hour}, {"Retry-After-Ms", "250", 250 * time.Millisecond},
	} {
		if got := retryAfter(http.Header{tc.name: {tc.value}}, now); got != tc.want {
			t.Errorf("%s: %s is %s, want %s", tc.name, tc.value, got, tc.want)
		}
	}
}

// Backoff doubles, keeps its upper half random and never passes MaxWait.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Client{cfg: Config{Backoff: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "backoff"))}}
		c.cfg.MaxWait = c.cfg.Backoff + time.Duration(rapid.Int64Range(0, int64(20*time.Hour)).Draw(t, "more"))
		n := rapid.IntRange(1, 100).Draw(t, "attempt")
		want := c.cfg.Backoff
		for i := 1; i < n && want < c.cfg.MaxWait; i++ {
			want *= 2
		}
		if want > c.cfg.MaxWait {
			want = c.cfg.MaxWait
		}
		if got := c.backoff(n); got < want/2 || got > want {
			t.Fatalf("wait %s after attempt %d, want between %s and %s", got, n, want/2, want)
		}
	})
}

func TestSleep(t *testing.T) {
	if err := sleep(context.Background(), time.Microsecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := fmt.Errorf("enough")
	cancel(why)
	if err := sleep(ctx, time.Hour); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
}
