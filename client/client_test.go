package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/whereto/whereto/api"
)

const testKey = "wt_read_7f3a9c"

// fast asks again at once, so that tests need no waiting.
var fast = Retry{Attempts: 3, Backoff: time.Microsecond, MaxWait: time.Second}

// newTest returns a client of a server that answers as h does.
func newTest(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL, Options{Key: testKey, Retry: fast})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err) // a value of this test that is not JSON
	}
}

func problem(w http.ResponseWriter, status int, doc string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	io.WriteString(w, doc)
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		base string
		o    Options
		want string // part of the error; "" for none
	}{
		{"http://localhost:8080", Options{}, ""},
		{"https://example.org/whereto/", Options{Key: testKey}, ""},
		{"localhost:8080", Options{}, "must look like"},
		{"ftp://localhost", Options{}, "must look like"},
		{"http://", Options{}, "must look like"},
		{"http://me:sesame@localhost", Options{}, "no user, password"},
		{"http://localhost?key=sesame", Options{}, "no user, password"},
		{"http://localhost", Options{Key: "sesame\nX: y"}, "no header can carry"},
		{"http://localhost", Options{Retry: Retry{Attempts: -1}}, "attempts -1"},
	} {
		_, err := New(c.base, c.o)
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrInput) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("New(%q): %v, want an error with %q", c.base, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("New(%q) shows a secret: %v", c.base, err)
		}
	}
}

// echo answers, and returns what was asked.
func echo(t *testing.T, w http.ResponseWriter, r *http.Request, answer string) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	got := fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, strings.TrimSpace(string(body)))
	if a := r.Header.Get("Authorization"); a != "Bearer "+testKey {
		t.Errorf("%s: authorization %q", got, a)
	}
	if kind := r.Header.Get("Content-Type"); len(body) > 0 && kind != "application/json" {
		t.Errorf("%s: content type %q", got, kind)
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, answer)
	return got
}

// Each method sends what the interface says and returns what the service says.
func TestRoutes(t *testing.T) {
	when := time.Date(2013, 2, 1, 12, 30, 0, 0, time.FixedZone("", -5*3600))
	var got, answer string
	c := newTest(t, func(w http.ResponseWriter, r *http.Request) { got = echo(t, w, r, answer) })
	ctx := t.Context()
	for _, tc := range []struct {
		want, answer string
		call         func() (any, error)
		value        string // of the answer, as %v prints it
	}{
		{`POST /v1/recommend {"user":"u1","time":"2013-02-01T12:30:00-05:00","k":5}`, `{"history":7}`, func() (any, error) {
			r, err := c.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: "u1", Time: when}, K: 5})
			return r.History, err
		}, "7"},
		{`POST /v1/rank {"user":"u1","candidates":["a","b"]}`, `{"places":[{"poi":"b"}]}`, func() (any, error) {
			r, err := c.Rank(ctx, api.RankRequest{Who: api.Who{User: "u1"}, Candidates: []string{"a", "b"}})
			return r.Places[0].POI, err
		}, "b"},
		{`POST /v1/embed {"pois":["a"]}`, `{"dim":3,"poi_vectors":{"a":[1,2,3]}}`, func() (any, error) {
			r, err := c.Embed(ctx, api.EmbedRequest{POIs: []string{"a"}})
			return r.POIs["a"], err
		}, "[1 2 3]"},
		{`POST /v1/similar {"poi":"a"}`, `{"places":[{"poi":"b","score":0.5}]}`, func() (any, error) {
			r, err := c.Similar(ctx, api.SimilarRequest{POI: "a"})
			return r.Places[0].Score, err
		}, "0.5"},
		{`POST /v1/explain {"user":"u1","poi":"a"}`, `{"copy_gate":0.25}`, func() (any, error) {
			r, err := c.Explain(ctx, api.ExplainRequest{Who: api.Who{User: "u1"}, POI: "a"})
			return r.CopyGate, err
		}, "0.25"},
		{`GET /v1/status `, `{"users":12}`, func() (any, error) { r, err := c.Status(ctx); return r.Users, err }, "12"},
		{`GET /v1/models `, `{"items":[{"version":"v1"}]}`, func() (any, error) { r, err := c.Models(ctx); return r[0].Version, err }, "v1"},
		{`POST /v1/models {"version":"v2"}`, `{"version":"v2"}`, func() (any, error) { r, err := c.Load(ctx, "v2"); return r.Version, err }, "v2"},
		{`GET /v1/traffic `, `{"shadow":"v3"}`, func() (any, error) { r, err := c.Traffic(ctx); return r.Shadow, err }, "v3"},
		{`PUT /v1/traffic {"split":[{"version":"v2","share":0.5}]}`, ``, func() (any, error) {
			return "", c.SetTraffic(ctx, api.Traffic{Split: []api.Share{{Version: "v2", Share: 0.5}}})
		}, ""},
		{`POST /v1/models/v%2E2/activate `, `{"state":"active"}`, func() (any, error) { r, err := c.Activate(ctx, "v.2"); return r.State, err }, "active"},
		{`POST /v1/models/rollback `, `{"version":"v1"}`, func() (any, error) { r, err := c.RollBack(ctx); return r.Version, err }, "v1"},
		{`DELETE /v1/users/a%2Fb `, `{"actions":3}`, func() (any, error) { r, err := c.DeleteUser(ctx, "a/b"); return r.Actions, err }, "3"},
		{`GET /v1/pois/%E9%A4%90 `, `{"lat":1.5}`, func() (any, error) { r, err := c.POI(ctx, "餐"); return r.Lat, err }, "1.5"},
		{`DELETE /v1/pois/%2E%2E `, ``, func() (any, error) { return "", c.DeletePOI(ctx, "..") }, ""},
		{`GET /readyz `, ``, func() (any, error) { return "", c.Ready(ctx) }, ""},
		{`GET /livez `, ``, func() (any, error) { return "", c.Live(ctx) }, ""},
	} {
		answer = tc.answer
		value, err := tc.call()
		if err != nil || got != tc.want || fmt.Sprint(value) != tc.value {
			t.Errorf("sent %q, want %q; answer %v, want %s (%v)", got, tc.want, value, tc.value, err)
		}
	}
}

// Mistakes that need no service are found before anything is sent.
func TestNeverSent(t *testing.T) {
	c := newTest(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) })
	for name, call := range map[string]func() error{
		"no user":       func() error { _, err := c.DeleteUser(t.Context(), ""); return err },
		"no version":    func() error { _, err := c.Activate(t.Context(), ""); return err },
		"load nothing":  func() error { _, err := c.Load(t.Context(), ""); return err },
		"endless point": func() error { _, err := c.Recommend(t.Context(), endless()); return err },
	} {
		if err := call(); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v, want ErrInput", name, err)
		}
	}
}

func endless() api.RecommendRequest {
	x := 0.0
	x = 1 / x
	return api.RecommendRequest{Who: api.Who{Lat: &x, Lng: &x}}
}

func TestProblem(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   Problem
		text   string
	}{
		{"document", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "r-7")
			problem(w, 422, `{"type":"https://whereto.example/problems/input","title":"Unprocessable Entity","status":200,"detail":"validation failed","errors":[{"location":"body.k","message":"expected number <= 100","value":1000},{"location":"body","message":"unknown <field>"}]}`)
		}, Problem{Type: "https://whereto.example/problems/input", Title: "Unprocessable Entity", Status: 422, Detail: "validation failed", RequestID: "r-7"},
			"POST /v1/similar: status 422 Unprocessable Entity: validation failed; body.k: expected number <= 100 (it is 1000); body: unknown <field>; request r-7"},
		{"text of a proxy", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad\ngateway", 502) },
			Problem{Title: "Bad Gateway", Status: 502, Detail: "bad gateway"}, "POST /v1/similar: status 502 Bad Gateway: bad gateway"},
		{"empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
			Problem{Title: "Not Found", Status: 404}, "POST /v1/similar: status 404 Not Found"},
		{"half a document", func(w http.ResponseWriter, _ *http.Request) { problem(w, 400, `{"detail":"x`) },
			Problem{Title: "Bad Request", Status: 400, Detail: `{"detail":"x`}, `POST /v1/similar: status 400 Bad Request: {"detail":"x`},
		{"key repeated", func(w http.ResponseWriter, r *http.Request) {
			problem(w, 401, fmt.Sprintf(`{"title":"%[1]s","detail":"no key %[1]s","request_id":"%[1]s","errors":[{"location":"%[1]s","message":"%[1]s","value":{"wt_r\u0065ad_7f3a9c":["%[1]s"]}}]}`, testKey))
		}, Problem{Title: "[key]", Status: 401, Detail: "no key [key]", RequestID: "[key]"},
			`POST /v1/similar: status 401 [key]: no key [key]; [key]: [key] (it is {"[key]":["[key]"]}); request [key]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newTest(t, c.answer).Similar(t.Context(), api.SimilarRequest{POI: "a"})
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("%v is no problem", err)
			}
			if p.Type != c.want.Type || p.Title != c.want.Title || p.Status != c.want.Status || p.Detail != c.want.Detail || p.RequestID != c.want.RequestID || err.Error() != c.text {
				t.Errorf("got %+v\n%s\nwant %+v\n%s", *p, err, c.want, c.text)
			}
		})
	}
	_, err := newTest(t, func(w http.ResponseWriter, _ *http.Request) {
		problem(w, 500, `{"detail":"`+strings.Repeat("x", 2*maxProblem)+`"}`)
	}).Status(t.Context())
	var p *Problem
	if !errors.As(err, &p) || p.Status != 500 || !strings.Contains(p.Detail, "could not be read") || len(err.Error()) > 1000 {
		t.Errorf("a huge problem: %.200v", err)
	}
}

// Answers that cannot be right are errors, never half an answer.
func TestWrongAnswers(t *testing.T) {
	for _, c := range []struct {
		name, want string
		wrong      bool // wraps ErrAnswer
		answer     http.HandlerFunc
	}{
		{"not JSON", "content type \"text/html", true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }},
		{"no content type", "content type", true, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; w.WriteHeader(200) }},
		{"other JSON", "do not fit", true, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, []int{1}) }},
		{"null", "empty value", true, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, nil) }},
		{"half", "do not fit", true, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, json.RawMessage("{}"))
			io.WriteString(w, "{")
		}},
		{"key repeated", "[key]", true, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/"+testKey) }},
		{"huge", "more than 1000 bytes", true, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, api.Status{Version: strings.Repeat("x", 2000)})
		}},
		{"cut off", "broke off after 2 bytes", false, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "20")
			io.WriteString(w, "{}")
		}},
		{"closed", "no answer from", false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newTest(t, c.answer)
			cl.limit = 1000
			got, err := cl.Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrAnswer) != c.wrong || strings.Contains(err.Error(), testKey) {
				t.Errorf("%+v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

// A key does not leave for where a redirect points, be it another host or another
// port of the same one.
func TestRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with %v", r.Header)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := newTest(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/v1/status?token="+testKey, status)
		})
		_, err := c.Status(t.Context())
		if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "sends to "+other.URL+";") || strings.Contains(err.Error(), testKey) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// A service that never answers is left when the context ends, and the cause is named.
func TestSlow(t *testing.T) {
	c := newTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" { // begins, then stalls
			writeJSON(w, map[string]int{})
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	cause := errors.New("the user went home")
	for name, ask := range map[string]func(context.Context) error{
		"before the head": c.Ready,
		"in the body":     func(ctx context.Context) error { _, err := c.Status(ctx); return err },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- ask(ctx) }()
		cancel(cause)
		if err := <-done; !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
}

// Printing a client or its options in any way does not show the key.
func TestKeyIsNotPrinted(t *testing.T) {
	c, err := New("http://localhost:1", Options{Key: testKey, Retry: fast})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, c); strings.Contains(s, testKey) {
			t.Errorf("%s shows the key: %s", format, s)
		}
	}
}

// Only a context that has a trace sends one.
func TestTrace(t *testing.T) {
	var parent atomic.Value
	c := newTest(t, func(_ http.ResponseWriter, r *http.Request) { parent.Store(r.Header.Get("Traceparent")) })
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled})
	for _, tc := range []struct {
		ctx  context.Context
		want string
	}{
		{t.Context(), ""},
		{trace.ContextWithSpanContext(t.Context(), span), "00-01020000000000000000000000000000-0300000000000000-01"},
	} {
		if err := c.Live(tc.ctx); err != nil || parent.Load() != tc.want {
			t.Errorf("traceparent %q, want %q (%v)", parent.Load(), tc.want, err)
		}
	}
}
