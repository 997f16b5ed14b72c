package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
)

// Content types of the interface.
const (
	typeJSON  = "application/json"
	typeLines = "application/x-ndjson"
)

// call is one request before it is sent.
type call struct {
	method string
	route  string   // as errors name it: holds no ids, which are personal
	ids    []string // stand in for the {...} of the route, in order
	query  url.Values
	kind   string // content type of body
	body   []byte
	again  bool // sending it twice does no more than sending it once
}

// withBody makes a call with a JSON body.
func withBody(method, route string, body any) (call, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return call{}, fmt.Errorf("%s %s: %w: %v", method, route, ErrInput, err)
	}
	return call{method: method, route: route, kind: typeJSON, body: b}, nil
}

// ask posts a question and reads the answer.
func ask[T any](ctx context.Context, c *Client, route string, body any) (T, error) {
	var out T
	q, err := withBody(http.MethodPost, route, body)
	if err != nil {
		return out, err
	}
	q.again = true
	err = c.do(ctx, q, &out)
	return out, err
}

// do sends a call until it is answered or asking again is of no use. out is a pointer,
// or nil if the answer has no body that matters.
func (c *Client) do(ctx context.Context, q call, out any) error {
	target, err := c.target(q)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		err := c.attempt(ctx, q, target, out)
		if err == nil {
			return nil
		}
		if n > 1 {
			err = fmt.Errorf("attempt %d of %d: %w", n, c.retry.Attempts, err)
		}
		err = fmt.Errorf("%s %s: %w", q.method, q.route, err)
		wait, ok := c.wait(ctx, q, n, err)
		if !ok {
			return err
		}
		if stopped := sleep(ctx, wait); stopped != nil {
			return fmt.Errorf("%w; %w", err, stopped)
		}
	}
}

// wait says whether to ask again after attempt n, and when.
func (c *Client) wait(ctx context.Context, q call, n int, err error) (time.Duration, bool) {
	var p *Problem
	if !q.again || n >= c.retry.Attempts || !errors.As(err, &p) || !p.Busy() {
		return 0, false
	}
	wait := p.RetryAfter
	if wait == 0 {
		wait = c.retry.backoff(n)
	}
	if wait > c.retry.MaxWait {
		return 0, false
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
		return 0, false // the problem tells more than a context that ran out
	}
	return wait, true
}

// backoff is the wait after attempt n: doubled each time, at most MaxWait, its upper
// half random so that many callers do not come back at once.
func (r Retry) backoff(n int) time.Duration {
	d := min(r.Backoff, r.MaxWait)
	for i := 1; i < n && d < r.MaxWait; i++ {
		d += min(d, r.MaxWait-d)
	}
	return d/2 + rand.N(d/2+1)
}

// target puts the ids into the route. An id is one segment whatever it holds: slashes
// and dots are escaped, or "..": would name another resource.
func (c *Client) target(q call) (string, error) {
	path := q.route
	for _, id := range q.ids {
		open, end := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
		name := path[open+1 : end]
		if id == "" {
			return "", fmt.Errorf("%s %s: %w: %s is empty", q.method, q.route, ErrInput, name)
		}
		path = path[:open] + strings.ReplaceAll(url.PathEscape(id), ".", "%2E") + path[end+1:]
	}
	target := strings.TrimRight(c.base.String(), "/") + path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	return target, nil
}

// attempt sends a call once.
func (c *Client) attempt(ctx context.Context, q call, target string, out any) error {
	req, err := http.NewRequestWithContext(ctx, q.method, target, bytes.NewReader(q.body))
	if err != nil {
		return fmt.Errorf("%w: %s", ErrInput, c.clean(err.Error()))
	}
	if q.kind != "" {
		req.Header.Set("Content-Type", q.kind)
	}
	req.Header.Set("Accept", typeJSON)
	req.Header.Set("User-Agent", c.agent)
	c.authorize(req.Header)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	res, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 400:
		return c.problem(ctx, res)
	case res.StatusCode >= 300:
		return fmt.Errorf("%w: status %d sends to %s; redirects are not followed, give the URL meant", ErrAnswer, res.StatusCode, c.place(res))
	}
	body, err := c.read(ctx, res, c.limit)
	if err != nil || out == nil {
		return err
	}
	return c.decode(res, body, out)
}

// read takes a whole body of at most limit bytes.
func (c *Client) read(ctx context.Context, res *http.Response, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, c.failed(ctx, fmt.Errorf("status %d, then the answer broke off after %d bytes: %w", res.StatusCode, len(body), err))
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes; ask for less at once", ErrAnswer, limit)
	}
	return body, nil
}

func (c *Client) decode(res *http.Response, body []byte, out any) error {
	if kind := res.Header.Get("Content-Type"); !isJSON(kind) {
		return fmt.Errorf("%w: status %d with content type %q, want JSON; check that a whereto service listens at %s", ErrAnswer, res.StatusCode, c.short(kind), c.base)
	}
	if bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return fmt.Errorf("%w: status %d with an empty value", ErrAnswer, res.StatusCode)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%w: status %d with %d bytes that do not fit: %s", ErrAnswer, res.StatusCode, len(body), c.short(err.Error()))
	}
	return nil
}

// failed makes the error of a request that got no whole answer. The address stays
// out: it holds the ids of people.
func (c *Client) failed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("stopped: %w", cause)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if text := err.Error(); c.clean(text) != text {
		err = errors.New(c.short(text)) // a service that repeats the key
	}
	return fmt.Errorf("no answer from %s: %w", c.base, err)
}

// place is where a redirect leads, without what may be secret in it.
func (c *Client) place(res *http.Response) string {
	to, err := res.Location()
	if err != nil {
		return "nowhere"
	}
	return c.short((&url.URL{Scheme: to.Scheme, Host: to.Host}).String())
}

// short is a cleaned text of at most 300 characters.
func (c *Client) short(s string) string {
	r := []rune(c.clean(s))
	if len(r) > 300 {
		return string(r[:300]) + "..."
	}
	return string(r)
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == typeJSON || strings.HasSuffix(kind, "+json"))
}

// sleep waits for d or for the end of the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
