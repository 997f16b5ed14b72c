package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3/option"
)

// errTooLarge ends the reading of an answer beyond the limit.
var errTooLarge = errors.New("answer too large")

// limitedTransport gives answers whose body fails after max bytes, so that a
// server cannot fill our memory.
type limitedTransport struct {
	next http.RoundTripper
	max  int64
}

func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err == nil {
		res.Body = &limitedBody{ReadCloser: res.Body, left: t.max}
	}
	return res, err
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}

// sendFn makes one attempt with the options given.
type sendFn func(ctx context.Context, opts ...option.RequestOption) error

// outcome is how an attempt ended.
type outcome struct {
	err   error         // nil: done
	retry bool          // another attempt may end better
	wait  time.Duration // what the server asks for; 0: nothing
}

// call makes attempts until read accepts an answer, an error is final, or
// Config.Attempts are used up. Errors of read wrap ErrAnswer; they are retried if
// again says so, since a model that draws its answer may do better next time.
func (c *Client) call(ctx context.Context, what string, again bool, send sendFn, read func(body []byte) error) error {
	for n := 1; ; n++ {
		o := c.attempt(ctx, send, read)
		if o.err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("endpoint: %s: stopped: %w", what, context.Cause(ctx))
		}
		if errors.Is(o.err, ErrAnswer) {
			o.retry = o.retry || again
		}
		if o.wait > c.cfg.MaxWait {
			return fmt.Errorf("endpoint: %s: %w: the server asks to wait %s, max_wait is %s; run again later, answers so far are kept if a cache folder is set",
				what, o.err, o.wait.Round(time.Second), c.cfg.MaxWait)
		}
		if !o.retry || n == c.cfg.Attempts {
			return fmt.Errorf("endpoint: %s: attempt %d of %d: %w", what, n, c.cfg.Attempts, o.err)
		}
		if o.wait == 0 {
			o.wait = c.backoff(n)
		}
		if err := c.sleep(ctx, o.wait); err != nil {
			return fmt.Errorf("endpoint: %s: stopped: %w", what, err)
		}
		c.retries.Add(1)
	}
}

// backoff returns the wait after attempt n: Backoff doubled n-1 times, at most
// MaxWait, of which the upper half is random so that clients do not march in step.
func (c *Client) backoff(n int) time.Duration {
	d := c.cfg.MaxWait
	if n < 32 && c.cfg.Backoff <= c.cfg.MaxWait>>(n-1) {
		d = c.cfg.Backoff << (n - 1)
	}
	return d/2 + rand.N(d/2+1)
}

// attempt sends once, within the limits of rate and concurrency.
func (c *Client) attempt(ctx context.Context, send sendFn, read func([]byte) error) outcome {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return outcome{err: context.Cause(ctx)}
	}
	c.mu.Lock()
	wait := time.Until(c.notBefore)
	c.mu.Unlock()
	if wait > 0 {
		if err := c.sleep(ctx, wait); err != nil {
			return outcome{err: err}
		}
	}
	if err := c.limiter.Wait(ctx); err != nil {
		return outcome{err: fmt.Errorf("%w: the deadline of the call comes before its turn; raise per_minute or the deadline", ErrRateLimited)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	c.calls.Add(1)
	var body []byte
	var res *http.Response
	err := send(ctx, option.WithResponseBodyInto(&body), option.WithResponseInto(&res))
	if res != nil && res.StatusCode >= 300 {
		return c.status(res)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return outcome{err: fmt.Errorf("%w: more than max_answer = %d bytes; raise it or ask for fewer inputs in a batch", ErrAnswer, c.cfg.MaxAnswer)}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{retry: true, err: fmt.Errorf("%w: no whole answer within timeout = %s; raise it, or ask for less at once", ErrUnreachable, c.cfg.Timeout)}
	case err != nil:
		return outcome{retry: true, err: fmt.Errorf("%w: %s; check that the server at %s runs", ErrUnreachable, c.clean(err.Error()), c.cfg.URL)}
	}
	if err := read(body); err != nil {
		return outcome{err: fmt.Errorf("%w; check that %s at %s is the model meant", err, c.cfg.Model, c.cfg.URL)}
	}
	return outcome{}
}

// status turns an HTTP status that is not success into an outcome.
func (c *Client) status(res *http.Response) outcome {
	wait := retryAfter(res.Header, time.Now())
	code := res.StatusCode
	said := ""
	if code != http.StatusUnauthorized && code != http.StatusForbidden { // there servers repeat parts of the key
		if text, err := io.ReadAll(io.LimitReader(res.Body, 300)); err == nil && len(text) > 0 {
			said = fmt.Sprintf(", saying %q", c.clean(string(text)))
		}
	}
	switch {
	case code == http.StatusTooManyRequests:
		c.pause(wait)
		return outcome{retry: true, wait: wait, err: fmt.Errorf("%w: status 429%s; lower per_minute and concurrency", ErrRateLimited, said)}
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusConflict:
		c.pause(wait)
		return outcome{retry: true, wait: wait, err: fmt.Errorf("%w: status %d%s; see the log of the server at %s", ErrUnreachable, code, said, c.cfg.URL)}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return outcome{err: fmt.Errorf("%w: status %d; check the key in the environment variable %q and its rights", ErrRefused, code, c.cfg.KeyEnv)}
	case code == http.StatusNotFound:
		return outcome{err: fmt.Errorf("%w: status 404%s; check the url %s (most end in /v1) and the model %s", ErrRefused, said, c.cfg.URL, c.cfg.Model)}
	}
	return outcome{err: &refusal{code: code, msg: fmt.Sprintf("%v: status %d%s; check the model %s and the length of the inputs", ErrRefused, code, said, c.cfg.Model)}}
}

// refusal is ErrRefused with the status, for requests that can be put otherwise.
type refusal struct {
	code int
	msg  string
}

func (r *refusal) Error() string { return r.msg }
func (r *refusal) Unwrap() error { return ErrRefused }

// pause makes every attempt of this client wait for d, at most MaxWait.
func (c *Client) pause(d time.Duration) {
	if d <= 0 || d > c.cfg.MaxWait {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := time.Now().Add(d); t.After(c.notBefore) {
		c.notBefore = t
	}
}

// clean takes the key out of a message.
func (c *Client) clean(s string) string {
	if c.key == "" {
		return s
	}
	return strings.ReplaceAll(s, c.key, "[key]")
}

// retryAfter reads Retry-After-Ms and Retry-After, in seconds or as a date
// (RFC 9110 section 10.2.3); 0 if the server asks for nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const most = 1000 * time.Hour // beyond any MaxWait, and no overflow
	for _, f := range []struct {
		name string
		unit time.Duration
	}{{"Retry-After-Ms", time.Millisecond}, {"Retry-After", time.Second}} {
		v := strings.TrimSpace(h.Get(f.name))
		if v == "" {
			continue
		}
		if x, err := strconv.ParseFloat(v, 64); err == nil {
			if !(x > 0) {
				return 0
			}
			if x > float64(most/f.unit) {
				return most
			}
			return time.Duration(x * float64(f.unit))
		}
		if t, err := http.ParseTime(v); err == nil {
			return max(0, min(t.Sub(now), most))
		}
	}
	return 0
}
