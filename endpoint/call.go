package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// errTooLarge ends the reading of an answer beyond the limit.
var errTooLarge = errors.New("answer too large")

// post sends one request and returns the answer's whole body, at most MaxAnswer
// bytes of it, and its head. It is written by hand: a client library's own retries
// and environment variables would have to be switched off for these two routes.
func (c *Client) post(ctx context.Context, route string, payload []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(c.cfg.URL, "/")+"/"+route, bytes.NewReader(payload))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, c.cfg.MaxAnswer+1))
	if err == nil && int64(len(body)) > c.cfg.MaxAnswer {
		err = errTooLarge
	}
	return res, body, err
}

// outcome is how an attempt ended.
type outcome struct {
	err   error         // nil: done
	retry bool          // another attempt may end better
	wait  time.Duration // what the server asks for; 0: nothing
}

// call posts request as JSON and makes attempts until read accepts an answer, an error is final, or
// Config.Attempts are used up. Errors of read wrap ErrAnswer; they are retried if
// again says so, since a model that draws its answer may do better next time.
func (c *Client) call(ctx context.Context, what, route string, request any, again bool, read func(body []byte) error) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("endpoint: %s: %w: %v", what, ErrInput, err)
	}
	for n := 1; ; n++ {
		o := c.attempt(ctx, route, payload, read)
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
	d := c.cfg.Backoff
	for i := 1; i < n && d < c.cfg.MaxWait; i++ {
		d += min(d, c.cfg.MaxWait-d) // doubled, without overflow
	}
	return d/2 + rand.N(d/2+1)
}

// attempt sends once, within the limits of rate and concurrency.
func (c *Client) attempt(ctx context.Context, route string, payload []byte, read func([]byte) error) outcome {
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
	res, body, err := c.post(ctx, route, payload)
	if res != nil && res.StatusCode >= 300 {
		return c.status(res, body)
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
func (c *Client) status(res *http.Response, body []byte) outcome {
	wait := retryAfter(res.Header, time.Now())
	code := res.StatusCode
	said := ""
	if code != http.StatusUnauthorized && code != http.StatusForbidden { // there servers repeat parts of the key
		if text := body[:min(300, len(body))]; len(text) > 0 {
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
