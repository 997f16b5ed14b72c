package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEmbed(t *testing.T) {
	f := serve(t, embed)
	c, _ := client(t, f.URL, func(c *Config) { c.Batch = 4; c.Cache = t.TempDir() })
	in := append(texts(10), Input{Text: "place number 3"}, Input{Text: "  place\n number\t 3 "})
	for round := range 2 {
		out, err := c.Embed(context.Background(), in, 3)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out {
			want := vectorOf(strings.Join(strings.Fields(in[i].Text), " "))
			if !slices.Equal(v, want) {
				t.Errorf("round %d, vector %d is %v, want %v", round, i, v, want)
			}
		}
		out[3][0] = -1 // equal inputs share no memory
		if out[10][0] == -1 {
			t.Error("two answers share memory")
		}
	}
	// 10 distinct texts in batches of 4, the second round all from the cache.
	if got, want := c.Stats(), (Stats{Calls: 3, Hits: 10, PromptTokens: 10}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	for i, r := range f.asked {
		if r.Model != "tiny" || r.EncodingFormat != "float" || f.auth[i] != "Bearer "+secret {
			t.Errorf("request %d: model %q, format %q, authorization %q", i, r.Model, r.EncodingFormat, f.auth[i])
		}
	}
	if out, err := c.Embed(context.Background(), nil, 3); err != nil || len(out) != 0 {
		t.Errorf("no inputs: %v, %v", out, err)
	}
}

// Images go as {"image": ...}, apart from texts, and without a key no header is sent.
func TestEmbedImages(t *testing.T) {
	const png = "data:image/png;base64,AAAA"
	f := serve(t, func(n int, r request, w http.ResponseWriter) {
		var images []struct {
			Image string `json:"image"`
		}
		if err := json.Unmarshal(r.Input, &images); err != nil { // the batch of texts
			embed(n, r, w)
			return
		}
		if len(images) != 1 || images[0].Image != png {
			t.Errorf("images %v", images)
		}
		say(w, map[string]any{"data": []any{map[string]any{"embedding": []float32{7, 8, 9}}}})
	})
	c, _ := client(t, f.URL, func(c *Config) { c.KeyEnv = "" })
	out, err := c.Embed(context.Background(), []Input{{Text: "a"}, {Image: png}, {Text: "b"}}, 3)
	if err != nil || !slices.Equal(out[1], []float32{7, 8, 9}) || !slices.Equal(out[2], vectorOf("b")) {
		t.Errorf("vectors %v, error %v", out, err)
	}
	if f.auth[0] != "" {
		t.Errorf("authorization %q without a key", f.auth[0])
	}
}

// Servers that fail for a while: the call ends well, after the waits they ask for.
func TestRetries(t *testing.T) {
	hang := func(_ int, _ request, w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	after := func(name, value string, code int) func(int, request, http.ResponseWriter) {
		return func(n int, r request, w http.ResponseWriter) {
			w.Header().Set(name, value)
			status(code, `{"error":{"message":"slow down"}}`)(n, r, w)
		}
	}
	for _, tc := range []struct {
		what  string
		first []func(int, request, http.ResponseWriter)
		waits []time.Duration // exact where the server says so, 0 for our own
	}{
		{"429 with Retry-After", []func(int, request, http.ResponseWriter){after("Retry-After", "7", 429)}, []time.Duration{7 * time.Second}},
		{"429 with milliseconds", []func(int, request, http.ResponseWriter){after("Retry-After-Ms", "30", 429)}, []time.Duration{30 * time.Millisecond}},
		{"flapping", []func(int, request, http.ResponseWriter){status(500, "no JSON"), status(503, ""), hang, status(502, "<html>")}, make([]time.Duration, 4)},
		{"cut off answer", []func(int, request, http.ResponseWriter){func(_ int, _ request, w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"data":[`)
		}}, make([]time.Duration, 1)},
	} {
		f := serve(t, func(n int, r request, w http.ResponseWriter) {
			if n < len(tc.first) {
				tc.first[n](n, r, w)
				return
			}
			embed(n, r, w)
		})
		c, waits := client(t, f.URL, nil)
		out, err := c.Embed(context.Background(), texts(1), 3)
		if err != nil || len(out) != 1 {
			t.Errorf("%s: %v", tc.what, err)
			continue
		}
		if len(*waits) != len(tc.waits) || c.Stats().Retries != int64(len(tc.first)) {
			t.Errorf("%s: waits %v, want %v; stats %+v", tc.what, *waits, tc.waits, c.Stats())
			continue
		}
		for i, want := range tc.waits {
			got := (*waits)[i]
			if own := c.cfg.Backoff << i; (want > 0 && got != want) || (want == 0 && (got < own/2 || got > own)) {
				t.Errorf("%s: wait %d is %s, want %s, or %s of our own", tc.what, i, got, want, own)
			}
		}
	}
}

// Servers that never answer well: the right sentinel, the right number of calls, no
// secret in the message.
func TestErrors(t *testing.T) {
	data := func(s string) func(int, request, http.ResponseWriter) {
		return func(_ int, _ request, w http.ResponseWriter) { _, _ = io.WriteString(w, s) }
	}
	one := func(v string) func(int, request, http.ResponseWriter) {
		return data(`{"data":[{"index":0,"embedding":` + v + `}]}`)
	}
	for _, tc := range []struct {
		what  string
		reply func(int, request, http.ResponseWriter)
		want  error
		calls int
		says  string
	}{
		{"always 500", status(500, "broken: "+secret), ErrUnreachable, 3, "status 500"},
		{"always 429", status(429, `{"error":{"message":"quota"}}`), ErrRateLimited, 3, "per_minute"},
		{"long wait", func(n int, r request, w http.ResponseWriter) {
			w.Header().Set("Retry-After", "86400")
			status(429, "")(n, r, w)
		}, ErrRateLimited, 1, "max_wait"},
		{"wrong key", status(401, `{"error":{"message":"Incorrect key sk-te***89"}}`), ErrRefused, 1, "WHERETO_API_KEY"},
		{"no such path", status(404, `{"detail":"Not Found"}`), ErrRefused, 1, "/v1"},
		{"bad input", status(400, `{"error":{"message":"too long for `+secret+`"}}`), ErrRefused, 1, "too long"},
		{"invalid JSON", data(`{"data":[{"index":0,"embedding":[1,2`), ErrAnswer, 1, "JSON"},
		{"a web page", data(`<html>`), ErrAnswer, 1, "JSON"},
		{"nothing", data(``), ErrAnswer, 1, "JSON"},
		{"no vectors", data(`{"data":[]}`), ErrAnswer, 1, "0 vectors for 1"},
		{"too many", data(`{"data":[{"embedding":[1,2,3]},{"embedding":[1,2,3]}]}`), ErrAnswer, 1, "2 vectors for 1"},
		{"bad index", data(`{"data":[{"index":9,"embedding":[1,2,3]}]}`), ErrAnswer, 1, "index 9"},
		{"wrong dimension", one(`[1,2,3,4]`), ErrAnswer, 1, "4 numbers, want 3"},
		{"empty vector", one(`[]`), ErrAnswer, 1, "zero"},
		{"NaN", one(`[1,NaN,3]`), ErrAnswer, 1, "JSON"},
		{"null", one(`[1,null,3]`), ErrAnswer, 1, "null"},
		{"infinity", one(`[1,1e60,3]`), ErrAnswer, 1, "float32"},
		{"text", one(`"AACAPw=="`), ErrAnswer, 1, "float32"},
		{"zeros", one(`[0,0,0]`), ErrAnswer, 1, "zero"},
		{"huge", data(`{"data":"` + strings.Repeat("x", 1<<17) + `"}`), ErrAnswer, 1, "max_answer"},
	} {
		f := serve(t, tc.reply)
		c, _ := client(t, f.URL, func(c *Config) { c.Attempts = 3; c.MaxAnswer = 1 << 16 })
		_, err := c.Embed(context.Background(), texts(1), 3)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || f.calls() != tc.calls {
			t.Errorf("%s: %d calls, error %v; want %d calls, %v and %q", tc.what, f.calls(), err, tc.calls, tc.want, tc.says)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) || strings.Contains(text, "sk-te") {
			t.Errorf("%s: the key is in the message %s", tc.what, text)
		}
	}
}

func TestUnreachableAndSlow(t *testing.T) {
	gone := serve(t, embed)
	gone.Close()
	c, waits := client(t, gone.URL, func(c *Config) { c.Attempts = 4 })
	_, err := c.Embed(context.Background(), texts(1), 3)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "attempt 4 of 4") || len(*waits) != 3 {
		t.Errorf("nobody listens: %v after %d waits", err, len(*waits))
	}
	release := make(chan struct{})
	slow := serve(t, func(n int, r request, w http.ResponseWriter) { <-release })
	defer close(release)
	c, _ = client(t, slow.URL, func(c *Config) { c.Attempts = 2; c.Timeout = 20 * time.Millisecond })
	if _, err = c.Embed(context.Background(), texts(1), 3); !errors.Is(err, ErrUnreachable) || slow.calls() != 2 || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("slow: %d calls, %v", slow.calls(), err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stopped by hand")
	f := serve(t, func(n int, r request, w http.ResponseWriter) { cancel(stop); <-ctx.Done() })
	c, _ = client(t, f.URL, nil)
	if _, err = c.Embed(ctx, texts(1), 3); !errors.Is(err, stop) || f.calls() != 1 {
		t.Errorf("cancelled: %d calls, %v; want 1 and the cause", f.calls(), err)
	}
}

// A run stopped in the middle, by the user or by the server, asks only for what is
// missing when it goes on, also from another client of the same cache.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	f := serve(t, func(n int, r request, w http.ResponseWriter) {
		if n == 3 {
			cancel()
		}
		embed(n, r, w)
	})
	one := func(c *Config) { c.Batch, c.Concurrency, c.Cache, c.Attempts = 2, 1, dir, 1 }
	c, _ := client(t, f.URL, one)
	if _, err := c.Embed(ctx, texts(20), 3); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run says %v", err)
	}
	kept := cached(t, dir)
	if kept < 6 || kept > 8 { // the fourth answer may or may not have come through
		t.Fatalf("%d vectors kept of 4 answers of 2", kept)
	}
	c, _ = client(t, f.URL, one)
	out, err := c.Embed(context.Background(), texts(20), 3)
	if err != nil || len(out) != 20 || !slices.Equal(out[19], vectorOf("place number 19")) {
		t.Fatalf("the resumed run: %d vectors, %v", len(out), err)
	}
	if s := c.Stats(); s.Hits != int64(kept) || s.Calls != int64(20-kept)/2 {
		t.Errorf("%+v after %d were kept", s, kept)
	}
}

func cached(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A cache entry that was damaged, or is of another dimension, is asked for again.
func TestStaleEntries(t *testing.T) {
	dir := t.TempDir()
	f := serve(t, embed)
	c, _ := client(t, f.URL, func(c *Config) { c.Cache = dir })
	if _, err := c.Embed(context.Background(), texts(2), 3); err != nil {
		t.Fatal(err)
	}
	path := c.cache.path(KeyOf("embedding", "tiny", "text", "place number 0"))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	other := KeyOf("embedding", "tiny", "text", "place number 1")
	if err := c.cache.Put(other, Vector, encodeVector([]float32{1, 2})); err != nil {
		t.Fatal(err)
	}
	out, err := c.Embed(context.Background(), texts(2), 3)
	if err != nil || !slices.Equal(out[0], vectorOf("place number 0")) || !slices.Equal(out[1], vectorOf("place number 1")) {
		t.Errorf("vectors %v, error %v", out, err)
	}
	if s := c.Stats(); s.Corrupt != 1 || s.Calls != 2 || s.Hits != 0 {
		t.Errorf("%+v, want one damaged entry and one call more", s)
	}
	// With no dimension given, a cache of two lengths is a lie that someone told.
	if err := c.cache.Put(other, Vector, encodeVector([]float32{1, 2})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Embed(context.Background(), texts(2), 0); !errors.Is(err, ErrAnswer) {
		t.Errorf("vectors of 3 and 2 numbers: %v", err)
	}
}

func TestBadInputs(t *testing.T) {
	f := serve(t, embed)
	c, _ := client(t, f.URL, nil)
	for _, in := range []Input{{}, {Text: " \n\t"}, {Text: "a", Image: "data:image/png;base64,AA"}, {Image: "http://elsewhere/x.png"},
		{Text: strings.Repeat("a", maxText+1)}} {
		if _, err := c.Embed(context.Background(), []Input{in}, 3); !errors.Is(err, ErrInput) {
			t.Errorf("input %.40v: %v", in, err)
		}
	}
	if _, err := c.Embed(context.Background(), texts(1), -1); !errors.Is(err, ErrInput) || f.calls() != 0 {
		t.Errorf("dimension -1: %v after %d calls", err, f.calls())
	}
}
