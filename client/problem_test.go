package client

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 1.5 ": 1500 * time.Millisecond, "0": 0, "-3": 0, "NaN": 0, "soon": 0,
		"Inf": 1000 * time.Hour, "1e300": 1000 * time.Hour,
		"Sun, 22 Nov 2026 12:00:30 GMT": 30 * time.Second, "Sun, 22 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", text, got, want)
		}
	}
}

// Whatever a service answers, the error names its status, stays short, holds the key
// nowhere and is one line.
func FuzzProblem(f *testing.F) {
	f.Add(uint16(422), "application/problem+json", "r-1", `{"title":"x","errors":[{"location":"body.k","message":"m","value":{"a":[1,"wt_read_7f3a9c"]}}]}`)
	f.Add(uint16(401), "text/plain", "wt_read_7f3a9c", "no key wt_read_7f3a9c\r\nforged line")
	f.Add(uint16(500), "application/json", "", `{"errors":[{"value":"wt\u005fread_7f3a9c"}]}`)
	f.Add(uint16(503), "application/json", "", `{"errors":7}`)
	c, err := New("http://localhost:1", Options{Key: testKey})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status uint16, kind, id, body string) {
		res := &http.Response{StatusCode: 400 + int(status%200), Header: http.Header{"Content-Type": {kind}, "X-Request-Id": {id}}, Body: io.NopCloser(strings.NewReader(body))}
		var p *Problem
		err := c.problem(t.Context(), res)
		if !errors.As(err, &p) || p.Status != res.StatusCode {
			t.Fatalf("%v of status %d", err, res.StatusCode)
		}
		text := err.Error()
		if strings.Contains(text, testKey) || len(text) > 100_000 || strings.ContainsFunc(text, unicode.IsControl) {
			t.Fatalf("%.2000q", text)
		}
	})
}
