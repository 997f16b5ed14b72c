package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an answer that says what went wrong, as RFC 9457 writes it down.
type Problem struct {
	Type       string // URI of the kind of problem; stable
	Title      string // the kind in words
	Status     int    // of the answer, whatever the document says
	Detail     string // what went wrong this time
	Instance   string
	Errors     []Field       // one for each field at fault
	RequestID  string        // names the request in the log of the service
	RetryAfter time.Duration // what the service asks to wait; 0: nothing
}

// Field is one field at fault.
type Field struct {
	Location string // body.k, query.limit
	Message  string
	Value    string // as JSON, or "" if the service does not repeat it
}

// Busy says that the same call may work later: the service limits the rate (429) or
// is not ready (503).
func (p *Problem) Busy() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
}

func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d", p.Status)
	if p.Title != "" {
		b.WriteString(" " + p.Title)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, f := range p.Errors {
		fmt.Fprintf(&b, "; %s: %s", f.Location, f.Message)
		if f.Value != "" {
			fmt.Fprintf(&b, " (it is %s)", f.Value)
		}
	}
	if p.RetryAfter > 0 {
		fmt.Fprintf(&b, "; ask again after %s", p.RetryAfter)
	}
	if p.RequestID != "" {
		fmt.Fprintf(&b, "; request %s", p.RequestID)
	}
	return b.String()
}

// problemWire is the document itself.
type problemWire struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"`
	RequestID string `json:"request_id"`
	Errors    []struct {
		Location string          `json:"location"`
		Message  string          `json:"message"`
		Value    json.RawMessage `json:"value"`
	} `json:"errors"`
}

const maxFields = 20 // fields at fault that a Problem holds

// problem reads the body of an error answer. One that is no problem document, as a
// proxy sends it, becomes the detail.
func (c *Client) problem(ctx context.Context, res *http.Response) error {
	p := &Problem{Status: res.StatusCode, RetryAfter: retryAfter(res.Header, time.Now()), RequestID: c.short(res.Header.Get("X-Request-Id"))}
	body, err := c.read(ctx, res, maxProblem)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		p.Title, p.Detail = http.StatusText(p.Status), "the explanation could not be read: "+c.short(err.Error())
		return p // the status is the answer; only the explanation is lost
	}
	var w problemWire
	if isJSON(res.Header.Get("Content-Type")) && json.Unmarshal(body, &w) == nil {
		p.Type, p.Title, p.Detail, p.Instance = c.short(w.Type), c.short(w.Title), c.short(w.Detail), c.short(w.Instance)
		if p.RequestID == "" {
			p.RequestID = c.short(w.RequestID)
		}
		for _, f := range w.Errors[:min(len(w.Errors), maxFields)] {
			p.Errors = append(p.Errors, Field{Location: c.short(f.Location), Message: c.short(f.Message), Value: c.value(f.Value)})
		}
	} else {
		p.Detail = c.short(strings.TrimSpace(string(body)))
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	return p
}

// value is a repeated value as JSON. It is written anew, because the key could hide
// behind escapes.
func (c *Client) value(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "" // cannot be: the document was read as a whole
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return c.short(strings.TrimSpace(b.String()))
}

// retryAfter reads Retry-After, in seconds or as a date (RFC 9110, 10.2.3); 0 if the
// service asks for nothing that can be understood.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const most = 1000 * time.Hour // beyond any MaxWait, and no overflow
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) {
			return 0
		}
		return time.Duration(min(s, most.Seconds()) * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, min(t.Sub(now), most))
	}
	return 0
}
