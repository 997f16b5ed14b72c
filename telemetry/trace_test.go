package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clearEnv takes the machine's own tracing settings out of the way.
func clearEnv(t *testing.T) {
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"} {
		t.Setenv(name, "")
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestOpenTracingSettings(t *testing.T) {
	for _, tc := range []struct {
		name, endpoint string
		env            map[string]string
		on, bad        bool
	}{
		{name: "nothing"},
		{name: "flag", endpoint: "http://127.0.0.1:4318", on: true},
		{name: "environment", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector/base"}, on: true},
		{name: "environment of traces", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, on: true},
		{name: "disabled", endpoint: "http://c", env: map[string]string{"OTEL_SDK_DISABLED": "TRUE"}},
		{name: "no exporter", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		{name: "other exporter", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, bad: true},
		{name: "no scheme", endpoint: "collector:4318", bad: true},
		{name: "password", endpoint: "http://u:hunter2@c:4318", bad: true},
		{name: "no URL", endpoint: "http://u:hunter2/@c:4318", bad: true},
		{name: "gRPC", endpoint: "http://c", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, bad: true},
		{name: "ratio", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "0.1"}, on: true},
		{name: "ratio above 1", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "10"}, bad: true},
		{name: "ratio no number", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_SAMPLER_ARG": "NaN"}, bad: true},
		{name: "sampler", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_SAMPLER": "always_off"}, on: true},
		{name: "unknown sampler", endpoint: "http://c", env: map[string]string{"OTEL_TRACES_SAMPLER": "sometimes"}, bad: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clearEnv(t)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			tr, err := OpenTracing("v", tc.endpoint, quiet())
			if tr.On() != tc.on || errors.Is(err, ErrBadTracing) != tc.bad {
				t.Errorf("on %v, %v; want on %v, bad %v", tr.On(), err, tc.on, tc.bad)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in %v", err)
			}
			if err := tr.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// collector is a server that keeps the spans it is sent, by name.
type collector struct {
	mu    sync.Mutex
	spans map[string]map[string]any
	path  string
	body  string
}

func newCollector(t *testing.T) (*collector, string) {
	c := &collector{spans: map[string]map[string]any{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var sent struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []map[string]any }
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.path = r.URL.Path
		c.body += string(body)
		for _, rs := range sent.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					for _, id := range []string{"traceId", "spanId", "parentSpanId"} { // hexadecimal digits of either case
						text, _ := s[id].(string)
						s[id] = strings.ToLower(text)
					}
					c.spans[s["name"].(string)] = s
				}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	return c, s.URL
}

const callersTrace = "0af7651916cd43dd8448eb211c80319c"

// One request with a stage, as a part of its caller's trace, reaches the collector
// when tracing closes.
func TestTraceReachesTheCollector(t *testing.T) {
	clearEnv(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	c, url := newCollector(t)
	tr, err := OpenTracing("v9", url+"/otel", quiet())
	if err != nil {
		t.Fatal(err)
	}
	in := http.Header{"Traceparent": {"00-" + callersTrace + "-b7ad6b7169203331-01"}}
	ctx, request := tr.Request(t.Context(), in, "POST", "/v1/users/{user}/actions")
	below, stage := StageSpan(ctx, StageDecode)
	stage.Count("beam_width", 10)
	stage.Fail(errors.New("dial postgres://app:hunter2@db: refused for user walker-395"))
	stage.Fail(nil)
	out := http.Header{}
	Pass(below, out)
	stage.End()
	request.Status(503)
	request.End()
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	req, st := c.spans["POST /v1/users/{user}/actions"], c.spans["decode"]
	if req == nil || st == nil || c.path != "/otel/v1/traces" {
		t.Fatalf("at %s: %v", c.path, c.spans)
	}
	if req["traceId"] != callersTrace || st["traceId"] != callersTrace || req["parentSpanId"] != "b7ad6b7169203331" || st["parentSpanId"] != req["spanId"] {
		t.Errorf("not one trace:\n%v\n%v", req, st)
	}
	if got := out.Get("Traceparent"); got != "00-"+callersTrace+"-"+st["spanId"].(string)+"-01" {
		t.Errorf("passed on %q", got)
	}
	for _, want := range []string{"whereto.beam_width", "http.response.status_code", "service.version", "v9", "deployment.environment.name"} {
		if !strings.Contains(c.body, want) {
			t.Errorf("no %s in %s", want, c.body)
		}
	}
	if strings.Contains(c.body, "hunter2") || strings.Contains(c.body, "walker-395") { // digits alone may stand in a time
		t.Errorf("a secret or a person in %s", c.body)
	}
}

func TestSampling(t *testing.T) {
	for _, tc := range []struct {
		name, parent, sampler, arg string
		want                       bool
	}{
		{"no parent", "", "", "", true},
		{"no parent, ratio 0", "", "", "0", false},
		{"traced parent, ratio 0", "-01", "", "0", true},
		{"untraced parent", "-00", "", "", false},
		{"untraced parent, always on", "-00", "always_on", "", true},
		{"traced parent, always off", "-01", "always_off", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clearEnv(t)
			t.Setenv("OTEL_TRACES_SAMPLER", tc.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", tc.arg)
			c, url := newCollector(t)
			tr, err := OpenTracing("v", url, quiet())
			if err != nil {
				t.Fatal(err)
			}
			in := http.Header{}
			if tc.parent != "" {
				in.Set("Traceparent", "00-"+callersTrace+"-b7ad6b7169203331"+tc.parent)
			}
			ctx, s := tr.Request(t.Context(), in, "GET", "/r")
			_, stage := StageSpan(ctx, StageQueue)
			stage.End()
			s.End()
			if err := tr.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := len(c.spans) == 2; got != tc.want || (!tc.want && len(c.spans) != 0) {
				t.Errorf("%d spans, want recorded: %v", len(c.spans), tc.want)
			}
		})
	}
}

// A collector that hangs holds nothing up beyond the deadline.
func TestCloseKeepsItsDeadline(t *testing.T) {
	clearEnv(t)
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer s.Close()
	defer close(done)
	tr, err := OpenTracing("v", s.URL, quiet())
	if err != nil {
		t.Fatal(err)
	}
	_, span := tr.Request(t.Context(), http.Header{}, "GET", "/r")
	span.End()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tr.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// A collector that refuses is told of in the log, not to the caller.
func TestFailedExportIsLogged(t *testing.T) {
	clearEnv(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer s.Close()
	var out syncBuffer
	l, err := NewLogger(&out, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := OpenTracing("v", s.URL, l)
	if err != nil {
		t.Fatal(err)
	}
	_, span := tr.Request(t.Context(), http.Header{}, "GET", "/r")
	span.End()
	closeErr := tr.Close(t.Context())
	if closeErr == nil && !strings.Contains(out.String(), "403") {
		t.Errorf("nobody was told: %v, log %q", closeErr, out.String())
	}
}

// syncBuffer may be written by the exporter while the test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestTracingOffCostsNothing(t *testing.T) {
	var off Tracing
	h := http.Header{"Traceparent": {"00-" + callersTrace + "-b7ad6b7169203331-01"}}
	ctx := t.Context()
	failed := errors.New("x")
	allocs := testing.AllocsPerRun(100, func() {
		inner, s := off.Request(ctx, h, "GET", "/r")
		inner, stage := StageSpan(inner, StageSearch)
		stage.Count("candidates", 100)
		stage.Fail(failed)
		stage.End()
		s.Status(500)
		s.End()
		if inner != ctx {
			t.Error("the context changed")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func BenchmarkSpanOff(b *testing.B) {
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_, s := StageSpan(ctx, StageSearch)
		s.End()
	}
}
