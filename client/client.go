// Package client is the Go client of the HTTP interface: package api gives the words,
// this package carries them to a service and back.
//
// A call returns the answer, or an error: a *Problem if the service answered with an
// error (find it with errors.As), one that wraps ErrAnswer if it answered nonsense
// (no JSON, half of it, too much of it), one that wraps ErrInput if the call was never
// sent, or the cause of a connection that failed or a context that ended. Failed
// connections are not tried again: only the caller knows whether the service is meant
// to be up.
//
// A service that is busy (status 429) or not ready (503) is asked again after the wait
// it names, within the bounds of Retry, if asking twice does no more than asking once:
// all questions, lists, deletions and places; actions if each of them has an id; never
// Load, Activate and RollBack.
//
// The key goes into the header of requests to the base URL only. Redirects are not
// followed, so that it cannot be sent elsewhere, and it is cut out of every message.
// A trace of the caller's context goes along as a W3C trace context.
//
// A Client is safe for concurrent use.
package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Sentinel errors; every message also says what to do.
var (
	// ErrInput is returned for a setting or an argument that cannot be sent.
	ErrInput = errors.New("bad input for the client")
	// ErrAnswer is returned for an answer that cannot be right: not JSON, cut off, of
	// the wrong count, larger than 64 MiB, or a redirect.
	ErrAnswer = errors.New("the service gave a wrong answer")
)

const (
	defaultAgent   = "whereto-go"
	defaultTimeout = 5 * time.Minute // of one request without a deadline: loading a model takes a while
	maxAnswer      = 64 << 20        // bytes of one answer
	maxProblem     = 64 << 10        // bytes of one problem document
)

// Options of a client; the zero value is one without a key.
type Options struct {
	Key       string       // API key; "" sends none
	HTTP      *http.Client // nil: one of its own, whose requests end after 5 minutes
	UserAgent string       // "": whereto-go
	Retry     Retry
}

// Retry bounds how a busy service is asked again. Zero fields take the defaults.
type Retry struct {
	Attempts int           // of one call, the first included; 4 if 0, 1 never asks again
	Backoff  time.Duration // first wait if the service names none, doubled each time; 200 ms if 0
	MaxWait  time.Duration // longest wait, also of one the service names; 30 s if 0
}

// Client asks one service.
type Client struct {
	base  *url.URL
	http  http.Client
	agent string
	retry Retry
	limit int64 // bytes of one answer

	// The key lives in these two functions only: printing the struct cannot show it.
	authorize func(http.Header)
	clean     func(string) string
}

// New makes a client of the service at base, such as http://localhost:8080. It sends
// nothing. It returns ErrInput for a base or a key that cannot work.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("client: %w: the base URL must look like https://host:port", ErrInput) // not quoted: it may hold a password
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("client: %w: the base URL must hold no user, password, query or fragment; give the key as an option", ErrInput)
	}
	for _, r := range o.Key {
		if r <= ' ' || r > '~' {
			return nil, fmt.Errorf("client: %w: the key holds characters that no header can carry; set it again", ErrInput)
		}
	}
	retry, err := o.Retry.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{base: u, agent: o.UserAgent, retry: retry, limit: maxAnswer, http: http.Client{Timeout: defaultTimeout}}
	if o.HTTP != nil {
		c.http = *o.HTTP
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.agent == "" {
		c.agent = defaultAgent
	}
	key := o.Key
	c.authorize, c.clean = func(http.Header) {}, printable
	if key != "" {
		c.authorize = func(h http.Header) { h.Set("Authorization", "Bearer "+key) }
		c.clean = func(s string) string { return printable(strings.ReplaceAll(s, key, "[key]")) }
	}
	return c, nil
}

// Base is the URL of the service.
func (c *Client) Base() string { return c.base.String() }

func (r Retry) withDefaults() (Retry, error) {
	if r.Attempts < 0 || r.Backoff < 0 || r.MaxWait < 0 {
		return r, fmt.Errorf("client: %w: attempts %d, backoff %s and longest wait %s must not be negative", ErrInput, r.Attempts, r.Backoff, r.MaxWait)
	}
	if r.Attempts == 0 {
		r.Attempts = 4
	}
	if r.Backoff == 0 {
		r.Backoff = 200 * time.Millisecond
	}
	if r.MaxWait == 0 {
		r.MaxWait = 30 * time.Second
	}
	return r, nil
}

// printable replaces what could forge lines of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
